//! PrepareConfig: the engine's own configuration, as a container CLI writes it, made ready for a
//! starter that makes the processes.
//!
//! Needs no privilege but to open a terminal or pipes, and in `exec` to enter the container's
//! cgroups.

use crate::cgroup::Manager;
use crate::model::Document;
use crate::text::invalid;
use crate::{Bundle, Host, Judge, Request, process};
use kickstage_config::engine::{Common, EngineConfig, NAME, NO_FD, Stream};
use kickstage_config::plan::{Goal, HostWork, LogOptions, Monitoring, Supervision};
use kickstage_config::process::ProcessSpec;
use kickstage_config::record::CgroupDir;
use kickstage_config::starter::{NamespaceFlags, StarterConfig};
use kickstage_config::{Assembly, Context, Error, Report, Result, Role, Text};
use kickstage_sys::process::clone;
use kickstage_sys::{Fd, file, tty};
use oci_spec::runtime::Spec;
use std::path::Path;

/// Lets stage2 install a filter without `no_new_privs`; it gives the capability up itself.
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// What stage1 opens for the processes after it. Each descriptor stays open.
#[derive(Debug)]
struct Opened {
    kept: Vec<Fd>,
}

/// Reads the JSON of a configuration; mistakes in its config.json are told as in a bundle's.
pub fn read(json: &[u8]) -> Result<Common> {
    Document::Engine
        .read(json)
        .map_err(|why| why.told_by(Error::new(Role::Stage1, "read the engine's configuration")))
}

/// Checks the configuration, completes it, and says what the starter has to do. What it opens
/// stays open, and is named in both.
pub fn prepare_config(common: &mut Common, is_suid: bool) -> Result<StarterConfig> {
    if common.engine_name != NAME {
        return Err(refused(format!("the engine {:?} is not ours", common.engine_name)));
    }
    if is_suid {
        return Err(refused("suid workflow disabled by administrator".into()));
    }
    let exec = common.engine_config.exec;
    let decided = decide(common)?;
    let mut starter = decided.starter;
    if exec && starter.container.namespaces.paths.mount.is_none() {
        let error =
            invalid("/linux/namespaces", "no mount namespace leads to the container's root");
        return Err(error.remedy("make the container with a mount namespace"));
    }
    complete(&mut starter, exec)?;
    let engine = &mut common.engine_config;
    // the default, if none is named
    engine.set_log_format(engine.log_format());
    engine.clear_state();
    let mut opened = Opened { kept: Vec::new() };
    if exec {
        (engine.master_pts, engine.slave_pts) = (NO_FD, NO_FD);
        let none = Stream::NONE;
        (engine.input_streams, engine.output_streams, engine.error_streams) = (none, none, none);
    } else {
        opened.streams(engine, &decided.process, &starter)?;
    }
    let bundle = path("bundlePath", common.engine_config.bundle_path())?;
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let bundle = file::open_host(&bundle, flags).during_on(Role::Stage1, "open", &bundle)?;
    starter.starter.working_directory_fd = Some(opened.keep(bundle));
    for fd in opened.kept {
        starter.starter.fds.push(fd.into_raw()).map_err(|why| refused(why.to_string()))?;
    }
    Ok(starter)
}

/// What differs from a process tree of our own.
fn complete(starter: &mut StarterConfig, exec: bool) -> Result<()> {
    let container = &mut starter.container;
    container.is_instance = !exec;
    let namespaces = &mut container.namespaces;
    namespaces.join_only = exec;
    // only who is in the cgroup can make its namespace: the roles do it when it is time
    let flags = namespaces.flags.bits() & !(clone::NEWCGROUP as u32);
    namespaces.flags =
        NamespaceFlags::new(flags).map_err(|why| invalid("/linux/namespaces", why.to_string()))?;
    if flags & clone::NEWUSER as u32 != 0 {
        starter.starter.hybrid_workflow = true;
    }
    let capabilities = &mut container.privileges.capabilities;
    capabilities.effective |= CAP_SYS_ADMIN;
    capabilities.permitted |= CAP_SYS_ADMIN;
    Ok(())
}

impl Opened {
    fn keep(&mut self, fd: Fd) -> i32 {
        let raw = fd.raw();
        self.kept.push(fd);
        raw
    }

    /// A pty of the host, or three pipes, which belong to the container's user.
    fn streams(
        &mut self,
        engine: &mut EngineConfig,
        process: &ProcessSpec,
        starter: &StarterConfig,
    ) -> Result<()> {
        let owner = host_id(starter, process.uid);
        let own = |fd: &Fd| {
            // one that is not mapped stays ours
            let _ = file::chown(fd.borrow(), c"", owner, u32::MAX);
        };
        let none = Stream::NONE;
        (engine.input_streams, engine.output_streams, engine.error_streams) = (none, none, none);
        (engine.master_pts, engine.slave_pts) = (NO_FD, NO_FD);
        if let Some(console) = process.console {
            let open = || {
                let master = file::open_host(c"/dev/ptmx", libc::O_RDWR)?;
                let terminal = tty::open_peer(master.borrow())?;
                if console.height != 0 && console.width != 0 {
                    let size = tty::Size { height: console.height, width: console.width };
                    tty::set_size(terminal.borrow(), size)?;
                }
                Ok((master, terminal))
            };
            let (master, terminal) = open()
                .during(Role::Stage1, "open a terminal")
                .map_err(|error| error.at("/process/terminal"))?;
            own(&terminal);
            (engine.master_pts, engine.slave_pts) = (self.keep(master), self.keep(terminal));
            return Ok(());
        }
        let mut pipe = || {
            let (read, write) = file::pipe().during(Role::Stage1, "make a pipe")?;
            own(&read);
            Ok::<_, Error>((self.keep(read), self.keep(write)))
        };
        let (read, write) = pipe()?;
        engine.input_streams = Stream { ours: write, container: read };
        let (read, write) = pipe()?;
        engine.output_streams = Stream { ours: read, container: write };
        let (read, write) = pipe()?;
        engine.error_streams = Stream { ours: read, container: write };
        Ok(())
    }
}

/// What the host calls a user of the container.
fn host_id(starter: &StarterConfig, uid: u32) -> u32 {
    let maps = starter.container.privileges.uid_map.mappings();
    let found =
        maps.iter().find(|map| (map.container_id..map.container_id + map.size).contains(&uid));
    found.map_or(uid, |map| map.host_id + (uid - map.container_id))
}

/// The whole decision about the container that the engine is asked for.
pub fn decide(common: &Common) -> Result<Assembly> {
    let (engine, id) = (&common.engine_config, id(common)?);
    let spec = spec(common)?;
    let bundle = Bundle::with_spec(&path("bundlePath", engine.bundle_path())?, spec)?;
    let optional = |key, path_of: Option<&Path>| path_of.map(|found| path(key, found)).transpose();
    let sync = Some(&*engine.sync_socket).filter(|path| !path.as_os_str().is_empty());
    let monitoring = Monitoring {
        log: LogOptions {
            path: optional("logPath", engine.log_path())?,
            format: engine.log_format(),
            size_max: 0,
            kept: 0,
        },
        sync_socket: optional("syncSocket", sync)?,
        ..Monitoring::default()
    };
    let supervision = Supervision::Resident(Box::new(monitoring));
    let request = Request {
        keep: true,
        pid_file: optional("pidFile", engine.pid_file())?,
        empty_process: engine.empty_process,
        report: Report { command: "oci".into(), ..Report::default() },
        cgroup_manager: if engine.systemd_cgroups() { Manager::SYSTEMD } else { Manager::Cgroupfs },
        ..Request::new(id, Text::from_literal("/"), Goal::Created, supervision)
    };
    let assembly = crate::prepare(&bundle, &request, &Host::read(request.rootless)?)?;
    refuse_host_work(&assembly.plan.host)?;
    // struct starterConfig has no flag for it
    if assembly.plan.new_time_namespace || assembly.plan.time_namespace.is_some() {
        return Err(not_through_a_starter("/linux/namespaces"));
    }
    if assembly.process.handler.is_some() {
        return Err(not_through_a_starter("/annotations"));
    }
    Ok(assembly)
}

/// The conversations of a C starter have no words for it.
fn refuse_host_work(work: &HostWork) -> Result<()> {
    let asked = [
        work.mapped.first().map(|tree| &*tree.key),
        work.net_devices.first().map(|device| &*device.key),
        work.listener.as_ref().map(|_| "/linux/seccomp/listenerPath"),
        work.rdt.as_ref().map(|_| "/linux/intelRdt"),
    ];
    match asked.into_iter().flatten().next() {
        Some(pointer) => Err(not_through_a_starter(pointer)),
        None => Ok(()),
    }
}

fn not_through_a_starter(pointer: &str) -> Error {
    invalid(pointer, "not through a C starter").remedy("make the container with kickstage create")
}

/// What the process becomes; needs nothing of the host.
pub fn process(common: &Common) -> Result<ProcessSpec> {
    let (spec, id) = (spec(common)?, id(common)?);
    let around = process::Around {
        id: &id,
        new_keyring: true,
        preserve_fds: 0,
        mount_console: false,
        // a further process has a program
        empty: common.engine_config.empty_process && !common.engine_config.exec,
        start_container: crate::hooks::decide(&spec)?.start_container,
    };
    process::decide(&spec, around, &Judge::strict())
}

/// Where the container's cgroups are: for a further process.
pub fn cgroups(assembly: &Assembly) -> Vec<CgroupDir> {
    assembly.plan.cgroup.groups.iter().map(|group| CgroupDir::of(group, 0)).collect()
}

/// config.json with the engine's own defaults: cgroups are at `/apptainer-oci/ID`, or with systemd
/// in the unit `apptainer-oci-ID.scope` of `system.slice`.
fn spec(common: &Common) -> Result<Spec> {
    let given = common.engine_config.oci_config.as_ref();
    let mut spec =
        given.cloned().ok_or_else(|| refused("there is no configuration (ociConfig)".into()))?;
    let linux = spec.linux_mut().as_mut().ok_or_else(|| invalid("/linux", "it is missing"))?;
    if linux.cgroups_path().as_ref().is_none_or(|path| path.as_os_str().is_empty()) {
        let id = &common.container_id;
        let path = if common.engine_config.systemd_cgroups() {
            format!("system.slice:apptainer-oci:{id}")
        } else {
            format!("/apptainer-oci/{id}")
        };
        linux.set_cgroups_path(Some(path.into()));
    }
    if spec.process().is_none() {
        return Err(invalid("/process", "it is missing"));
    }
    Ok(spec)
}

fn id(common: &Common) -> Result<Text> {
    let id = &common.container_id;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let valid = !matches!(&**id, "" | "." | "..") && id.len() <= 255 && id.bytes().all(allowed);
    match Text::new(id.as_str()) {
        Ok(text) if valid => Ok(text),
        _ => Err(refused(format!("invalid container ID {id:?}"))),
    }
}

fn path(key: &str, path: &Path) -> Result<Text> {
    let text = path.to_str().filter(|path| path.starts_with('/'));
    let text = text.and_then(|path| Text::new(path).ok());
    text.ok_or_else(|| refused(format!("{key} {} is not an absolute path", path.display())))
}

fn refused(cause: String) -> Error {
    Error::new(Role::Stage1, "prepare the engine's configuration").because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cve_2023_30549_a_starter_that_is_set_user_id_gets_nothing_decided() {
        let mut common = Common::new("box", EngineConfig::default());
        let error = prepare_config(&mut common, true).unwrap_err().to_string();
        assert!(error.contains("suid workflow disabled"), "{error}");
    }
}
