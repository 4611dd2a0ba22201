//! What is open while paths of the container are looked up.

use alloc::vec::Vec;
use kickstage_config::{Context, Result, Role};
use kickstage_sys::file;

/// Closes all but the standard streams, the next `preserved` ones, which are the program's, and
/// those in `kept`, which the exec closes.
///
/// That alone would be too late for the others: the kernel looks up the program, its `#!` and its
/// loader before, and through /proc/self/fd each of them may lead on from whatever is open
/// (CVE-2024-21626). So `kept` must hold no directory, and nothing opened with `O_PATH`.
pub(crate) fn close_the_rest(preserved: u32, kept: impl IntoIterator<Item = i32>) -> Result<()> {
    let programs = 3 + preserved;
    let mut open: Vec<i32> = (0..programs.cast_signed()).chain(kept).collect();
    open.sort_unstable();
    open.dedup();
    // SAFETY: who called us ends this process without dropping what it had opened before.
    unsafe { file::close_all_but(&open) }
        .and_then(|()| file::close_on_exec_from(programs))
        .during(Role::Stage2, "close what is not the program's")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kickstage_sys::process::{self, Exit, Forked};
    use kickstage_sys::{FdRef, file};

    fn is_open(number: i32) -> bool {
        file::stat(FdRef::of_raw(number)).is_ok()
    }

    #[test]
    fn what_is_not_named_is_closed_before_any_exec() {
        let open = || file::open_host(c"/", libc::O_PATH | libc::O_DIRECTORY).unwrap().into_raw();
        let (first, kept, last) = (open(), open(), open());
        match process::fork(0, None).unwrap() {
            Forked::Child => {
                let closed = close_the_rest(0, [kept, 2]).is_ok();
                let right = is_open(2) && is_open(kept) && !is_open(first) && !is_open(last);
                process::exit(i32::from(!closed || !right))
            }
            Forked::Parent(_, child) => {
                assert_eq!(process::wait(child.borrow()), Ok(Exit::Code(0)));
            }
        }
    }
}
