//! Starting a hook.

use crate::Running;
use alloc::vec::Vec;
use core::ffi::c_char;
use core::ptr::null;
use kickstage_config::{Text, plan::Hook};
use kickstage_sys::process::{self, Forked};
use kickstage_sys::{Fd, Result, file, signal};

/// Starts a hook in a process group of its own, with pipes for its standard streams.
pub(crate) fn start(hook: &Hook) -> Result<Running> {
    let (stdin_theirs, stdin) = file::pipe()?;
    let (stdout, stdout_theirs) = file::pipe()?;
    // everything is allocated before the fork
    let name = [hook.path.clone()];
    let args = pointers(if hook.args.is_empty() { &name } else { &hook.args });
    let env = pointers(&hook.env);
    match process::fork(0, None)? {
        Forked::Child => become_hook(hook, &stdin_theirs, &stdout_theirs, &args, &env),
        Forked::Parent(group, process) => {
            file::never_wait(stdin.borrow())?;
            file::never_wait(stdout.borrow())?;
            let output = Vec::new();
            Ok(Running { process, group, stdin: Some(stdin), stdout, output })
        }
    }
}

fn pointers(texts: &[Text]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([null()]).collect()
}

/// In the child: no way back. A failure is told on the hook's own output.
fn become_hook(
    hook: &Hook,
    stdin: &Fd,
    stdout: &Fd,
    args: process::Strings<'_>,
    env: process::Strings<'_>,
) -> ! {
    let prepared = process::new_session()
        .and_then(|()| file::place(stdin.borrow(), 0))
        .and_then(|()| file::place(stdout.borrow(), 1))
        .and_then(|()| file::place(stdout.borrow(), 2))
        .and_then(|()| file::close_on_exec_from(3))
        .and_then(|()| signal::set_default(libc::SIGPIPE))
        .and_then(|()| signal::unblock_all());
    let errno = match prepared {
        // SAFETY: both lists point to NUL-terminated strings and end with a null.
        Ok(()) => unsafe { process::exec_path(&hook.path, args, env) },
        Err(errno) => errno,
    };
    let _ = file::write(stdout.borrow(), errno.text().as_bytes());
    process::exit(127)
}
