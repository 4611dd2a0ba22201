//! `run --standalone`: the whole assembly line out of the programs beside this one, to see that
//! they do what the linked roles do, or to put another one in the place of one of them.

use crate::commands::launch::{Global, LaunchOptions, absolute};
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::Fd;
use kickstage_sys::image::{self, Content};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Has stage1 print the assembly, and becomes the master that gets it.
pub(crate) fn run(global: &Global, options: &LaunchOptions, console: Option<&Fd>) -> Result<i32> {
    let assembly = stage1(global, options, console)?;
    let handoff = image::seal(c"kickstage handoff", &assembly, Content::Data)
        .during(Role::Cli, "seal the handoff")?;
    for fd in [Some(&handoff), console].into_iter().flatten() {
        fd.keep_on_exec(true).during(Role::Cli, "pass descriptors on")?;
    }
    let mut master = Command::new(beside("kickstage-master")?);
    let error = master.arg("--config-fd").arg(handoff.raw().to_string()).exec();
    Err(Error::new(Role::Cli, "execute kickstage-master").because(error.to_string()))
}

fn stage1(global: &Global, options: &LaunchOptions, console: Option<&Fd>) -> Result<Vec<u8>> {
    let mut stage1 = Command::new(beside("kickstage-stage1")?);
    let bundle = absolute(options.bundle.as_deref().unwrap_or_else(|| ".".as_ref()))?;
    stage1.arg("--bundle").arg(bundle.as_str()).arg("--id").arg(&options.id);
    stage1.arg("--root").arg(absolute(&global.root)?.as_str());
    if let Some(path) = &options.pid_file {
        stage1.arg("--pid-file").arg(absolute(path)?.as_str());
    }
    let switches = [
        ("--detach", options.detach),
        ("--keep", options.keep),
        ("--no-pivot", options.no_pivot),
        ("--no-new-keyring", options.no_new_keyring),
        ("--empty-process", options.empty_process),
        ("--compat", global.judge.is_lenient()),
    ];
    stage1.args(switches.into_iter().filter(|(_, given)| *given).map(|(name, _)| name));
    stage1.arg("--preserve-fds").arg(options.preserve_fds.to_string());
    stage1.arg("--sockets").arg(options.service.sockets.to_string());
    if let Some(manager) = &options.service.notify_socket {
        stage1.arg("--notify-socket").arg(manager.as_str());
    }
    if let Some(console) = console {
        stage1.arg("--console-fd").arg(console.raw().to_string());
    }
    let failed = |cause: String| Error::new(Role::Cli, "run kickstage-stage1").because(cause);
    let output = stage1
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed("it failed, and has told why".into()));
    }
    Ok(output.stdout)
}

fn beside(name: &str) -> Result<PathBuf> {
    let failed = |cause: &str| Error::new(Role::Cli, "find").on(name).because(cause.to_string());
    let own = std::env::current_exe().map_err(|error| failed(&error.to_string()))?;
    let path = own.with_file_name(name);
    if !path.exists() {
        return Err(failed("it is not beside kickstage").remedy("build all: make build"));
    }
    Ok(path)
}
