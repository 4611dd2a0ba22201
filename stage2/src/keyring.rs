//! The session keyring.

use crate::labels::Labels;
use kickstage_config::process::ProcessSpec;
use kickstage_config::{Error, Result, Role};
use kickstage_sys::{Errno, process};

/// Leaves the caller's for a new one, before the user changes: root's quota is the larger one.
///
/// Nobody may search it by name: another container whose root has the same user id on the host
/// could join it. So a further process has one of its own, of the same name.
pub(crate) fn leave_callers(spec: &ProcessSpec, labels: &Labels) -> Result<()> {
    let Some(name) = &spec.keyring else { return Ok(()) };
    labels.apply_to_keyring(spec)?;
    match process::join_session_keyring(name) {
        // a kernel without keyrings has none to share
        Ok(()) | Err(Errno(libc::ENOSYS)) => Ok(()),
        Err(errno) => {
            let error = Error::new(Role::Stage2, "make session keyring").on(name).errno(errno);
            Err(match errno.0 {
                libc::EDQUOT => error.remedy(
                    "the user's quota of keys is used up: raise kernel.keys.maxkeys, or use \
                     --no-new-keyring",
                ),
                _ => error.remedy("--no-new-keyring leaves the caller's to the container"),
            })
        }
    }
}
