//! `kickstage restore [FLAGS] ID`

use super::checkpoint::common;
use super::given;
use super::launch::{self, LaunchOptions};
use super::launch_options::launching;
use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_checkpoint::Restore;
use kickstage_config::plan::{Goal, Supervision};
use kickstage_config::{Result, Text};

/// Makes a container out of images.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    let path = |flag| parsed.path(flag).map(|path| path.map(|path: Text| path.as_str().into()));
    let options = LaunchOptions {
        id: parsed.container()?.as_str().into(),
        bundle: path("bundle")?,
        pid_file: path("pid-file")?,
        keep: parsed.is_on("keep"),
        ..LaunchOptions::default()
    };
    let detach = parsed.is_on("detach");
    // before the bundle is entered: it may be relative
    let common = common(global, parsed)?;
    let socket = parsed.path("console-socket")?;
    let supervision = if detach { Supervision::Foreign } else { Supervision::Foreground };
    let assembly = launch::decide(&launching(global)?, &options, Goal::Running, supervision)?;
    let terminal = assembly.process.console.is_some();
    let asked = Restore {
        console: given::console_socket(socket.as_ref(), terminal, detach)?,
        tcp_close: parsed.is_on("tcp-close"),
        lsm_profile: parsed.text("lsm-profile").map(String::from),
        lsm_mount_context: parsed.text("lsm-mount-context").map(String::from),
    };
    global.warn();
    kickstage_checkpoint::restore(&assembly, &common, &asked)
}
