//! Finding and executing the user's program.

use alloc::format;
use alloc::vec::Vec;
use core::ffi::c_char;
use core::ptr::null;
use kickstage_config::process::{Handler, ProcessSpec};
use kickstage_config::{Error, Result, Role, Text};
use kickstage_sys::{Errno, FdRef, file, process};

/// Everything that execve(2) takes.
pub(crate) struct Program {
    path: Text,
    args: Vec<Text>,
    env: Vec<Text>,
    /// Whether the exec changes to an SELinux label.
    labelled: bool,
    /// Who executes it, if not the kernel, and the descriptor of that program.
    handler: Option<(Handler, FdRef<'static>)>,
}

const DEFAULT_PATH: &str = "/bin:/usr/bin";

impl Program {
    /// Looks for the program as the user, in the container, so that a mistake is told by
    /// `create` and not later. `handler` is the number that an open handler has.
    pub(crate) fn find(spec: &ProcessSpec, env: Vec<Text>, handler: Option<i32>) -> Result<Self> {
        let name = spec.args.first().ok_or_else(|| {
            Error::new(Role::Stage2, "find the program")
                .because("there are no arguments")
                .at("/process/args")
        })?;
        let path = if name.to_bytes().contains(&b'/') {
            usable(name, spec.handler).map_err(|errno| not_found(name, errno))?;
            name.clone()
        } else {
            search(name, &env, spec.handler)?
        };
        let labelled = spec.selinux_label.is_some();
        // a number that is not open makes the exec fail
        let handler = spec.handler.map(|kind| (kind, FdRef::of_raw(handler.unwrap_or(-1))));
        Ok(Self { path, args: spec.args.clone(), env, labelled, handler })
    }

    /// Becomes the program. Returns only the reason why not.
    pub(crate) fn execute(&self) -> Error {
        let list = |texts: &[Text]| -> Vec<*const c_char> {
            texts.iter().map(|text| text.as_ptr()).chain([null()]).collect()
        };
        let (mut args, env) = (list(&self.args), list(&self.env));
        let Some((kind, handler)) = self.handler else {
            // SAFETY: both lists point to NUL-terminated strings and end with a null.
            let errno = unsafe { process::exec_path(&self.path, &args, &env) };
            return self.not_executed(errno);
        };
        // as the kernel calls an interpreter: its own name, the path, the other arguments
        args[0] = self.path.as_ptr();
        args.insert(0, kind.program().as_ptr());
        // SAFETY: as above.
        let errno = unsafe { process::exec(handler, &args, &env) };
        Error::new(Role::Stage2, "exec").on(kind.program().to_string_lossy()).errno(errno).remedy(
            "the seccomp filter has to allow execveat, and the handler is part of the package",
        )
    }

    fn not_executed(&self, errno: Errno) -> Error {
        let error =
            Error::new(Role::Stage2, "exec").on(&self.path).errno(errno).at("/process/args");
        match errno.0 {
            libc::ENOENT => error.remedy("it is there: its interpreter or loader is missing"),
            libc::EACCES | libc::EPERM if self.labelled => error.remedy(
                "the SELinux policy does not let it have its label: see ausearch -m avc; with \
                 noNewPrivileges it has to allow nnp_transition",
            ),
            libc::ENOEXEC => error.remedy("it is neither a program of this machine nor has it #!"),
            _ => error,
        }
    }
}

fn search(name: &Text, env: &[Text], handler: Option<Handler>) -> Result<Text> {
    let path = env.iter().find_map(|entry| entry.as_str().strip_prefix("PATH="));
    let mut denied = false;
    for directory in path.unwrap_or(DEFAULT_PATH).split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate =
            Text::new(format!("{directory}/{name}")).expect("made of Texts, which have no NUL");
        match usable(&candidate, handler) {
            Ok(()) => return Ok(candidate),
            Err(Errno(libc::EACCES)) => denied = true,
            Err(_) => {}
        }
    }
    let errno = if denied { libc::EACCES } else { libc::ENOENT };
    Err(not_found(name, Errno(errno)))
}

/// podman and docker turn these words into the exit codes 126 and 127.
fn not_found(name: &Text, errno: Errno) -> Error {
    let error = Error::new(Role::Stage2, "find").on(name).at("/process/args");
    match errno.0 {
        libc::ENOENT if !name.to_bytes().contains(&b'/') => {
            error.because("executable file not found in $PATH")
        }
        _ => error.errno(errno),
    }
}

/// A handler reads what it executes, and nobody makes a module executable.
fn usable(path: &Text, handler: Option<Handler>) -> kickstage_sys::Result<()> {
    match handler {
        None => file::may_execute(FdRef::CWD, path),
        Some(_) => file::may_read(FdRef::CWD, path),
    }
}

/// Enters the working directory and makes sure that it is the container's: a path like
/// `/proc/self/fd/7` could lead to the host (CVE-2024-21626).
pub(crate) fn enter_directory(cwd: &Text) -> Result<()> {
    let failed = |errno| Error::new(Role::Stage2, "enter").on(cwd).errno(errno).at("/process/cwd");
    file::change_dir_to(cwd).map_err(failed)?;
    if file::cwd_is_inside_root().map_err(failed)? {
        return Ok(());
    }
    // do not stay there, whatever happens next
    file::change_dir_to(c"/").map_err(failed)?;
    Err(failed(Errno(libc::ENOENT)).because("it leads out of the container's root"))
}
