//! From the command line to what `create`, `run`, `plan` and `try` are asked for.

use super::launch::{self, LaunchOptions};
use crate::arguments::Parsed;
use crate::global::Global;
use crate::service;
use crate::timeline::Timeline;
use kickstage_config::plan::{LogOptions, Monitoring, Residence, Streams};
use kickstage_config::{Error, Result, Role};
use kickstage_stage1::Service;

/// The log driver that is none.
const PASSTHROUGH: &str = "passthrough";

/// Paths are made absolute here, before anything changes the working directory.
pub(super) fn options(parsed: &Parsed) -> Result<LaunchOptions> {
    let path = |flag| parsed.path(flag).map(|path| path.map(|path| path.as_str().into()));
    Ok(LaunchOptions {
        id: name(parsed)?,
        bundle: path("bundle")?,
        console_socket: path("console-socket")?,
        pid_file: path("pid-file")?,
        pidfd_socket: path("pidfd-socket")?,
        preserve_fds: parsed.number("preserve-fds"),
        service: Service::default(),
        no_pivot: parsed.is_on("no-pivot"),
        no_new_keyring: parsed.is_on("no-new-keyring"),
        empty_process: parsed.is_on("empty-process"),
        detach: parsed.is_on("detach"),
        keep: parsed.is_on("keep"),
        standalone: parsed.is_on("standalone"),
        split_cgroup: parsed.is_on("split-cgroup"),
        monitor: parsed.text("monitor").map(|text| text == "true"),
        monitoring: monitoring(parsed)?,
    })
}

fn monitoring(parsed: &Parsed) -> Result<Monitoring> {
    let format = parsed.choice("log-driver");
    let size_max = parsed.text("log-size-max").map_or(Ok(0), bytes)?;
    Ok(Monitoring {
        log: LogOptions {
            path: parsed.path("log-path")?,
            format: format.parse().unwrap_or_default(),
            size_max,
            kept: parsed.number("log-files"),
        },
        sync_socket: parsed.path("sync-socket")?,
        streams: if format == PASSTHROUGH { Streams::Caller } else { Streams::Monitor },
        residence: if parsed.is_on("stay") { Residence::Caller } else { Residence::Daemon },
        manager: None,
    })
}

/// A number of bytes, with k, m or g behind it for 2^10, 2^20 and 2^30.
fn bytes(text: &str) -> Result<u64> {
    let (digits, shift) = match text.to_ascii_lowercase().as_bytes() {
        [.., b'k'] => (&text[..text.len() - 1], 10),
        [.., b'm'] => (&text[..text.len() - 1], 20),
        [.., b'g'] => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit())).ok_or_else(|| {
        Error::new(Role::Cli, "parse arguments")
            .because(format!("--log-size-max: {text:?} is not a size"))
            .remedy("write bytes, or a number with k, m or g behind it")
    })
}

/// `plan` can do without one.
fn name(parsed: &Parsed) -> Result<String> {
    if parsed.words.is_empty() {
        return Ok("plan".into());
    }
    parsed.container().map(|id| id.as_str().to_owned())
}

pub(super) fn launching(global: &Global) -> Result<launch::Global> {
    let trace = global.trace.as_ref().map(|path| path.as_str().into());
    Ok(launch::Global {
        root: global.root()?.as_str().into(),
        report: global.report.clone(),
        timeline: Timeline::new(global.report.debug, trace),
        judge: global.judge.clone(),
        cgroup_manager: global.cgroup_manager,
        rootless: global.rootless,
    })
}

/// With what a service manager has given us for the program.
fn served(parsed: &Parsed) -> Result<LaunchOptions> {
    let mut options = LaunchOptions { service: service::given()?, ..options(parsed)? };
    if options.stays() {
        if options.detach || options.monitor == Some(false) {
            return Err(Error::new(Role::Cli, "parse arguments")
                .because("--stay excludes --detach and --monitor=false"));
        }
        options.monitoring.manager = options.service.notify_socket.take();
    }
    Ok(options)
}

/// `kickstage create [FLAGS] ID`
pub(crate) fn create(global: &Global, parsed: &Parsed) -> Result<i32> {
    launch::create(&launching(global)?, &served(parsed)?)
}

/// `kickstage run [FLAGS] ID`
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    launch::run(&launching(global)?, &served(parsed)?)
}

/// `kickstage try [COMMAND]`
pub(crate) fn try_it(global: &Global, parsed: &Parsed) -> Result<i32> {
    launch::try_it(&launching(global)?, &parsed.words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;
    use std::path::{Path, PathBuf};

    fn parsed(line: &str) -> LaunchOptions {
        let mut arguments = Arguments::default();
        arguments.parse(line.split_ascii_whitespace().map(Into::into)).unwrap();
        options(&arguments.own).unwrap()
    }

    #[test]
    fn what_conmon_passes_is_understood() {
        let options = parsed(
            "--root /r --log /l --log-format=json --systemd-cgroup create --bundle /b \
             --pid-file /p --no-pivot --no-new-keyring --console-socket /s --preserve-fds 2 web",
        );
        assert_eq!((options.id.as_str(), options.preserve_fds), ("web", 2));
        assert_eq!(options.bundle.as_deref(), Some(Path::new("/b")));
        assert_eq!(options.pid_file.as_deref(), Some(Path::new("/p")));
        assert_eq!(options.console_socket.as_deref(), Some(Path::new("/s")));
        assert!(options.no_pivot && options.no_new_keyring);
        assert!(!options.detach && !options.keep && !options.standalone);
    }

    #[test]
    fn every_switch_of_run_arrives() {
        let options = parsed("run --detach --keep --standalone --no-pivot=false web");
        assert!(options.detach && options.keep && options.standalone);
        assert!(!options.no_pivot && !options.no_new_keyring);
    }

    #[test]
    fn who_stays_is_a_monitor_and_does_not_leave_one_behind() {
        let staying = |line: &str| {
            let mut arguments = Arguments::default();
            arguments.parse(line.split_ascii_whitespace().map(Into::into)).unwrap();
            served(&arguments.own)
        };
        let options = staying("run --stay --log-driver passthrough web").unwrap();
        assert!(options.stays() && options.monitoring.streams == Streams::Caller);
        for refused in ["run --stay --detach web", "run --stay --monitor=false web"] {
            assert!(staying(refused).unwrap_err().to_string().contains("--stay excludes"));
        }
    }

    #[test]
    fn relative_paths_become_absolute_without_following_anything() {
        let here = std::env::current_dir().unwrap();
        let options = parsed("run -b ./a/../b --pid-file p web");
        assert_eq!(options.bundle, Some(PathBuf::from(format!("{}/a/../b", here.display()))));
        assert_eq!(options.pid_file, Some(here.join("p")));
    }
}
