//! What holds for every command.

use crate::arguments::{Arguments, Parsed, absolute};
use kickstage_config::{Context, Error, Level, LineFormat, Report, Result, Role, Text};
use kickstage_master::container::Container;
use kickstage_stage1::cgroup::Manager;
use kickstage_stage1::{Judge, Rootless, is_in_user_namespace};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::{FdRef, process};
use std::env;

/// The meaning of the global flags.
pub(crate) struct Global {
    /// Where messages go, whether debug lines and the phases are wanted.
    pub(crate) report: Report,
    /// Where to write the phases.
    pub(crate) trace: Option<Text>,
    /// What becomes of values that can't be enforced.
    pub(crate) judge: Judge,
    /// The criu program, if another than that in `$PATH`.
    pub(crate) criu: Option<Text>,
    /// Who makes control groups.
    pub(crate) cgroup_manager: Manager,
    /// Whether to do without what takes power over the host.
    pub(crate) rootless: Rootless,
    root: Option<Text>,
    /// How many seconds systemd may take, if that was said.
    patience: Option<u32>,
}

impl Global {
    /// Reads the global flags and opens the log, to which `report` goes from then on.
    pub(crate) fn new(arguments: &Arguments, report: &mut Report) -> Result<Self> {
        let flags = &arguments.global;
        report.command = arguments.command.map_or("arguments", |command| command.name).into();
        report.debug = flags.is_on("debug") || flags.choice("log-level") == "debug";
        report.format = match flags.choice("log-format") {
            "json" => LineFormat::Json,
            _ => LineFormat::Text,
        };
        report.log_fd = flags.path("log")?.as_ref().map(open_log).transpose()?;
        let (root, trace) = (flags.path("root")?, flags.path("trace")?);
        let judge = if flags.is_on("compat") { Judge::lenient() } else { Judge::strict() };
        let criu = flags.text("criu").map(|name| {
            Text::new(name)
                .map_err(|_| Error::new(Role::Cli, "use --criu").because("it holds a NUL"))
        });
        let criu = criu.transpose()?;
        let rootless = match flags.choice("rootless") {
            "true" => Rootless::Yes,
            "false" => Rootless::No,
            _ => Rootless::Auto,
        };
        let cgroup_manager = cgroup_manager(flags)?;
        let patience = flags.text("systemd-timeout").map(|_| flags.number("systemd-timeout"));
        let report = report.clone();
        Ok(Self { report, trace, judge, criu, cgroup_manager, rootless, root, patience })
    }

    /// A container that keeps what it was made with but for what is asked for now.
    pub(crate) fn as_patient(&self, mut container: Container) -> Container {
        if let Some(seconds) = self.patience {
            container.be_patient(seconds);
        }
        container
    }

    /// Says what has not been enforced.
    pub(crate) fn warn(&self) {
        for warning in self.judge.warnings() {
            self.report.line(Level::Warning, &warning.to_string());
        }
    }

    /// The directory of the containers' states. It need not exist.
    pub(crate) fn root(&self) -> Result<Text> {
        if let Some(root) = &self.root {
            return Ok(root.clone());
        }
        let own = env::var("XDG_RUNTIME_DIR").ok().filter(|dir| dir.starts_with('/'));
        if process::effective_uid() == 0 && !(own.is_some() && is_root_of_a_user()) {
            return Ok(Text::new("/run/kickstage").expect("a literal without a NUL"));
        }
        let own = own.ok_or_else(|| {
            Error::new(Role::Cli, "find the state directory")
                .because("XDG_RUNTIME_DIR is not the absolute path of a directory")
                .remedy("name one with --root, or log in by a way that sets it")
        })?;
        absolute("XDG_RUNTIME_DIR", &format!("{own}/kickstage"))
    }
}

/// Whether we are root only in a user namespace of a user, as rootless engines call us: /run is
/// not ours then. Root of a container says so in `USER`.
fn is_root_of_a_user() -> bool {
    env::var_os("USER").is_none_or(|user| user != "root") && is_in_user_namespace()
}

/// `--systemd-cgroup`, and the flags that say more.
fn cgroup_manager(flags: &Parsed) -> Result<Manager> {
    let patience = flags.number("systemd-timeout");
    let systemd = Manager::Systemd { patience };
    match (flags.text("cgroup-manager"), flags.is_on("systemd-cgroup")) {
        (None, true) | (Some("systemd"), _) => Ok(systemd),
        (Some("disabled"), false) => Ok(Manager::Disabled),
        (None | Some("cgroupfs"), false) => Ok(Manager::Cgroupfs),
        (Some(other), true) => Err(Error::new(Role::Cli, "parse arguments")
            .because(format!("--systemd-cgroup and --cgroup-manager {other} exclude each other"))),
        (Some(_), false) => unreachable!("the definition lists the managers"),
    }
}

/// Opens it for us and all that inherit it, until the end of the last.
fn open_log(path: &Text) -> Result<i32> {
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT;
    let log = file::open(FdRef::CWD, path, flags, 0o644, Resolve::Anywhere).during_on(
        Role::Cli,
        "open log",
        path,
    )?;
    Ok(log.into_raw())
}
