//! Resource limits that a process in a user namespace could not set itself.

use kickstage_config::Result;
use kickstage_config::process::Rlimit;
use kickstage_sys::process::{self, clone};

/// Raises our own hard limits to those that the process asks for, so that it inherits them: to raise
/// one takes CAP_SYS_RESOURCE of the first user namespace (getrlimit(2)), which nobody in another
/// has. Where we have no such right either, the process is told so when it sets the limit.
pub(crate) fn make_room(namespaces: u64, limits: &[Rlimit]) -> Result<()> {
    if namespaces & clone::NEWUSER == 0 {
        return Ok(());
    }
    for limit in limits {
        let (soft, hard) = process::limit(limit.resource).map_err(|errno| limit.refused(errno))?;
        if limit.hard > hard {
            let _ = process::set_limit(limit.resource, soft, limit.hard);
        }
    }
    Ok(())
}
