//! `create`, `run`, `try` and `plan`: from a bundle to a running stage image.

use super::given::{check_preserved, connect_pidfd, console_socket};
use crate::timeline::Timeline;
use kickstage_config::exec::Task;
use kickstage_config::handoff::{self, Descriptors, Form};
use kickstage_config::plan::{Goal, Monitoring, Residence, Streams, Supervision};
use kickstage_config::process::ProcessSpec;
use kickstage_config::{Assembly, Context, Error, Level, Report, Result, Role, Text};
use kickstage_master::attach::Input;
use kickstage_master::container::Container;
use kickstage_master::delete::Force;
use kickstage_master::name_is_valid;
use kickstage_stage1::cgroup::{Layout, Manager};
use kickstage_stage1::{Bundle, Finding, Host, Judge, Request, Rootless, Service};
use kickstage_sys::process::{self, Exit, Forked};
use kickstage_sys::{Fd, FdRef, file, tty};
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::ptr::null;

/// What every command gets from the global flags.
#[derive(Clone, Debug, Default)]
pub(crate) struct Global {
    /// Where states are kept.
    pub(crate) root: PathBuf,
    /// Where messages go.
    pub(crate) report: Report,
    /// Where the phase timeline goes, if anywhere.
    pub(crate) timeline: Timeline,
    /// What becomes of values that can't be enforced.
    pub(crate) judge: Judge,
    /// Who makes control groups.
    pub(crate) cgroup_manager: Manager,
    /// Whether to do without what takes power over the host.
    pub(crate) rootless: Rootless,
}

/// The flags of `create` and `run`.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag of the command line")]
pub(crate) struct LaunchOptions {
    /// The container's name.
    pub(crate) id: String,
    /// Its bundle; the working directory if absent.
    pub(crate) bundle: Option<PathBuf>,
    /// A socket that takes the other end of the terminal.
    pub(crate) console_socket: Option<PathBuf>,
    /// A socket that takes a pidfd.
    pub(crate) pidfd_socket: Option<PathBuf>,
    /// Where to write the pid.
    pub(crate) pid_file: Option<PathBuf>,
    /// Descriptors from 3 on that the program keeps.
    pub(crate) preserve_fds: u32,
    /// What a service manager has given us.
    pub(crate) service: Service,
    /// Not pivot_root.
    pub(crate) no_pivot: bool,
    /// Not a new session keyring.
    pub(crate) no_new_keyring: bool,
    /// No program.
    pub(crate) empty_process: bool,
    /// `run`: do not wait.
    pub(crate) detach: bool,
    /// `run`: the state stays.
    pub(crate) keep: bool,
    /// `run`: every role as a program of its own.
    pub(crate) standalone: bool,
    /// `run`: the container's cgroup is to be below the service's.
    pub(crate) split_cgroup: bool,
    /// Whether a monitor of ours stays; if nothing is said, only with `run --detach`.
    pub(crate) monitor: Option<bool>,
    /// What it is asked for.
    pub(crate) monitoring: Monitoring,
}

impl LaunchOptions {
    /// `run --detach` is ours alone, unless somebody else takes the terminal.
    /// The command becomes the monitor.
    pub(super) fn stays(&self) -> bool {
        self.monitoring.residence == Residence::Caller
    }

    fn wants_monitor(&self) -> bool {
        let by_default =
            self.stays() || self.detach && self.console_socket.is_none() && !self.standalone;
        self.monitor.unwrap_or(by_default)
    }

    fn resident(&self) -> Supervision {
        Supervision::Resident(Box::new(self.monitoring.clone()))
    }
}

/// `kickstage create`.
pub(crate) fn create(global: &Global, options: &LaunchOptions) -> Result<i32> {
    let bundle = open_bundle(options)?;
    let supervision =
        if options.wants_monitor() { options.resident() } else { Supervision::Foreign };
    launch(global, options, &bundle, Goal::Created, supervision)
}

/// `kickstage run`.
pub(crate) fn run(global: &Global, options: &LaunchOptions) -> Result<i32> {
    let bundle = open_bundle(options)?;
    if options.split_cgroup {
        split_cgroup(global.rootless)?;
    }
    match (options.wants_monitor(), options.detach) {
        (true, _) if options.stays() => {
            launch(global, options, &bundle, Goal::Running, options.resident())
        }
        (true, true) if options.service.notify_socket.is_some() => {
            announced(global, options, &bundle)
        }
        (true, true) => launch(global, options, &bundle, Goal::Running, options.resident()),
        (true, false) if options.monitoring.streams == Streams::Caller => {
            Err(Error::new(Role::Cli, "run in the foreground")
                .because("--log-driver=passthrough leaves nothing for a visitor to see")
                .remedy("add --detach or --stay, or do without --monitor"))
        }
        (true, false) => attached(global, options, &bundle),
        (false, true) => launch(global, options, &bundle, Goal::Running, Supervision::Foreign),
        (false, false) => launch(global, options, &bundle, Goal::Running, Supervision::Foreground),
    }
}

/// Before anything is decided: the container's cgroup is relative to ours. On v1 it is inside of
/// ours anyway.
fn split_cgroup(rootless: Rootless) -> Result<()> {
    match Host::read(rootless)?.cgroups.layout {
        Layout::Unified { own } => kickstage_cgroups::split(&text("our control group", &own)?),
        Layout::None | Layout::Legacy { .. } => Ok(()),
    }
}

/// A monitored container that waits for start, made by a child of ours, for we have more to do;
/// or the exit status to give, where the child has told why there is none.
fn created(
    global: &Global,
    options: &LaunchOptions,
    bundle: &Bundle,
) -> Result<std::result::Result<Container, i32>> {
    let forked = process::fork(0, None).during(Role::Cli, "fork")?;
    let Forked::Parent(_, child) = forked else {
        let launched = launch(global, options, bundle, Goal::Created, options.resident());
        let status = launched.unwrap_or_else(|error| {
            global.report.error(&error);
            1
        });
        process::exit(status)
    };
    let made = process::wait(child.borrow()).during(Role::Cli, "wait for the container")?;
    if made != Exit::Code(0) {
        // the reason has been told
        return Ok(Err(made.status()));
    }
    let id = text("the container's name", &options.id)?;
    Container::open(&absolute(&global.root)?, &id).map(Ok)
}

/// A monitored container, of which the service manager that waits for us is told that it is ready.
fn announced(global: &Global, options: &LaunchOptions, bundle: &Bundle) -> Result<i32> {
    let container = match created(global, options, bundle)? {
        Ok(container) => container,
        Err(status) => return Ok(status),
    };
    let started = container.start(&global.report, options.service.notify_socket.as_ref());
    if let Err(error) = started {
        container.delete(Force::Yes, &global.report)?;
        return Err(error);
    }
    Ok(0)
}

/// A monitored container with us as its first visitor, who has come before anything is said.
fn attached(global: &Global, options: &LaunchOptions, bundle: &Bundle) -> Result<i32> {
    let container = match created(global, options, bundle)? {
        Ok(container) => container,
        Err(status) => return Ok(status),
    };
    let ended = container.visit().and_then(|visit| {
        // what it prints before it is ready waits in our visit
        container.start(&global.report, options.service.notify_socket.as_ref())?;
        container.attend(visit, Input::Ours)
    });
    if matches!(ended, Ok(None)) {
        return Ok(0);
    }
    if !options.keep {
        container.delete(Force::Yes, &global.report)?;
    }
    ended.map(Option::unwrap_or_default)
}

/// `kickstage try`: this host's own files, no bundle.
pub(crate) fn try_it(global: &Global, command: &[String]) -> Result<i32> {
    let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".into());
    let command = if command.is_empty() { &[shell][..] } else { command };
    let env: Vec<String> = ["PATH", "TERM", "HOME", "LANG"]
        .iter()
        .filter_map(|name| Some(format!("{name}={}", std::env::var(name).ok()?)))
        .collect();
    let terminal = tty::settings(FdRef::STDIN).is_ok();
    let bundle = Bundle::of_this_host(command, &env, terminal)?;
    let id = format!("try-{}", std::process::id());
    let options = LaunchOptions { id, ..LaunchOptions::default() };
    launch(global, &options, &bundle, Goal::Running, Supervision::Foreground)
}

/// `kickstage plan`: what `run` would do.
pub(crate) fn plan(global: &Global, options: &LaunchOptions) -> Result<Assembly> {
    decide(global, options, Goal::Running, Supervision::Foreground)
}

/// Reads the bundle, goes there, and decides.
pub(super) fn decide(
    global: &Global,
    options: &LaunchOptions,
    goal: Goal,
    supervision: Supervision,
) -> Result<Assembly> {
    let bundle = open_bundle(options)?;
    let request = request(global, options, goal, supervision)?;
    kickstage_stage1::prepare(&bundle, &request, &Host::read(request.rootless)?)
}

/// `kickstage check`: what is wrong with a bundle.
pub(crate) fn check(
    global: &Global,
    options: &LaunchOptions,
) -> Result<(Vec<Finding>, Option<Assembly>)> {
    let path = absolute(options.bundle.as_deref().unwrap_or_else(|| Path::new(".")))?;
    let request = request(global, options, Goal::Created, Supervision::Foreign)?;
    kickstage_stage1::check(&path, &request)
}

/// Reads the bundle and goes there: hooks find their relative paths.
fn open_bundle(options: &LaunchOptions) -> Result<Bundle> {
    let path = absolute(options.bundle.as_deref().unwrap_or_else(|| Path::new(".")))?;
    let bundle = Bundle::read(&path)?;
    file::change_dir_to(&path).during_on(Role::Cli, "enter the bundle", &path)?;
    Ok(bundle)
}

fn launch(
    global: &Global,
    options: &LaunchOptions,
    bundle: &Bundle,
    goal: Goal,
    supervision: Supervision,
) -> Result<i32> {
    check_preserved(options.service.sockets.saturating_add(options.preserve_fds))?;
    global.timeline.start()?;
    let mut request = request(global, options, goal, supervision.clone())?;
    let process = bundle.spec.process().as_ref();
    let terminal = process.is_some_and(|process| process.terminal().unwrap_or(false));
    let socket = options.console_socket.as_deref().map(absolute).transpose()?;
    let resident = matches!(supervision, Supervision::Resident(_));
    if resident && (socket.is_some() || options.standalone) {
        return Err(Error::new(Role::Cli, "set the monitor up").because(
            "the monitor takes the terminal itself and runs no standalone programs: \
             --monitor excludes --console-socket and --standalone",
        ));
    }
    if resident && options.monitoring.streams == Streams::Caller {
        check_passthrough(options, terminal)?;
    }
    let console = console_socket(socket.as_ref(), terminal, supervision == Supervision::Foreign)?;
    if options.standalone && options.pidfd_socket.is_some() {
        return Err(Error::new(Role::Cli, "run standalone programs")
            .because("--standalone excludes --pidfd-socket"));
    }
    if options.standalone {
        return crate::standalone::run(global, options, console.as_ref());
    }
    let pidfd = options.pidfd_socket.as_deref().map(connect_pidfd).transpose()?;
    let monitor = resident.then(own_program).transpose()?;
    request.descriptors = Descriptors {
        console_socket: console.as_ref().map(Fd::raw),
        pidfd_socket: pidfd.as_ref().map(Fd::raw),
        timeline: global.timeline.descriptor(),
        monitor: monitor.as_ref().map(Fd::raw),
        handler: None,
    };
    let mut assembly = kickstage_stage1::prepare(bundle, &request, &Host::read(request.rootless)?)?;
    if supervision == Supervision::Foreground && console.is_none() {
        take_our_size(&mut assembly.process);
    }
    for warning in request.judge.warnings() {
        global.report.line(Level::Warning, &warning.to_string());
    }
    Role::Stage1.mark("plan made");
    let handler = assembly.process.handler.map(kickstage_embed::handler::sealed).transpose()?;
    assembly.descriptors.handler = handler.as_ref().map(Fd::raw);
    let handoff = handoff::seal(&Task::Make(Box::new(assembly)), Form::Compact)?;
    let program = kickstage_embed::sealed_from_program()?;
    Role::Cli.mark("image sealed");
    let log = global.report.log_fd.map(FdRef::of_raw);
    let [console, pidfd, monitor, handler] =
        [&console, &pidfd, &monitor, &handler].map(|fd| fd.as_ref().map(Fd::borrow));
    let kept = [Some(handoff.borrow()), console, pidfd, log, monitor, handler];
    global.timeline.around(|| execute(&program, &handoff, &kept))
}

/// Streams that are the caller's are nobody else's.
fn check_passthrough(options: &LaunchOptions, terminal: bool) -> Result<()> {
    let refused = |cause: &str| {
        Err(Error::new(Role::Cli, "pass the streams through")
            .because(format!("--log-driver=passthrough excludes {cause}")))
    };
    match options.monitoring.log.path {
        _ if terminal => refused("process.terminal"),
        Some(_) => refused("--log-path"),
        None => Ok(()),
    }
}

/// A terminal that we relay begins with the size of ours: the program may ask before we have a
/// chance to tell it.
pub(super) fn take_our_size(process: &mut ProcessSpec) {
    if let (Some(console), Ok(size)) = (&mut process.console, tty::size(FdRef::STDIN)) {
        (console.height, console.width) = (size.height, size.width);
    }
}

/// What becomes the monitor: this very program, whatever has happened to its file since.
fn own_program() -> Result<Fd> {
    file::open_host(c"/proc/self/exe", libc::O_PATH).during(Role::Cli, "open our own program")
}

fn request(
    global: &Global,
    options: &LaunchOptions,
    goal: Goal,
    supervision: Supervision,
) -> Result<Request> {
    if !name_is_valid(&options.id) {
        return Err(Error::new(Role::Cli, "check the container's name")
            .because(format!("invalid id {:?}", options.id))
            .remedy("use letters, digits and _+-. only, at most 255"));
    }
    let (id, root) = (text("the container's name", &options.id)?, absolute(&global.root)?);
    Ok(Request {
        keep: options.keep,
        pid_file: options.pid_file.as_deref().map(absolute).transpose()?,
        no_pivot: options.no_pivot,
        no_new_keyring: options.no_new_keyring,
        empty_process: options.empty_process,
        preserve_fds: options.preserve_fds,
        service: options.service.clone(),
        report: global.report.clone(),
        judge: global.judge.clone(),
        cgroup_manager: global.cgroup_manager,
        rootless: global.rootless,
        ..Request::new(id, root, goal, supervision)
    })
}

/// Becomes the stage image: the command has no more to do, and its memory is not needed.
pub(super) fn execute(program: &Fd, handoff: &Fd, kept: &[Option<FdRef<'_>>]) -> Error {
    let argument = CString::new(handoff.raw().to_string()).expect("digits have no NUL");
    for fd in kept.iter().flatten() {
        if let Err(errno) = fd.keep_on_exec(true) {
            return Error::new(Role::Cli, "pass descriptors on").errno(errno);
        }
    }
    let args = [c"kickstage".as_ptr(), argument.as_ptr(), null()];
    // SAFETY: both lists point to NUL-terminated strings and end with a null.
    let errno = unsafe { process::exec(program.borrow(), &args, &[null()]) };
    let error = Error::new(Role::Cli, "execute the stage image").errno(errno);
    match errno.0 {
        libc::EACCES => error.remedy("sysctl vm.memfd_noexec must not be 2"),
        _ => error,
    }
}

fn text(what: &str, value: &str) -> Result<Text> {
    Text::new(value).map_err(|_| Error::new(Role::Cli, "use").on(what).because("it holds a NUL"))
}

/// As the roles see it after the working directory has changed.
pub(crate) fn absolute(path: &Path) -> Result<Text> {
    let failed = || Error::new(Role::Cli, "use path").on(path.display());
    let absolute =
        std::path::absolute(path).map_err(|error| failed().because(error.to_string()))?;
    let absolute = absolute.to_str().ok_or_else(|| failed().because("it is not UTF-8"))?;
    text("a path", absolute)
}
