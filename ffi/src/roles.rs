//! The roles, for a C `main` that runs after a starter's constructor.

use crate::{engine_config, guard};
use kickstage_config::engine::{Common, NO_FD, Stream};
use kickstage_config::plan::Hook;
use kickstage_config::state::{State, Status};
use kickstage_config::{Assembly, Context, Error, Result, Role};
use kickstage_master::engine::{Remote, Tree, master};
use kickstage_master::monitor::Streams;
use kickstage_rpc::Client;
use kickstage_stage1::engine;
use kickstage_stage2::hosted::{self, Place};
use kickstage_starter_sys::abi::starterConfig;
use kickstage_sys::poll::poll;
use kickstage_sys::process::{self, Exit, clone};
use kickstage_sys::{Fd, FdRef, signal};
use std::ffi::c_int;

/// What an engine that fails exits with.
const FAILURE: c_int = 255;

/// PrepareConfig; see `kickstage.h`.
///
/// # Safety
///
/// `config` must be null, misaligned, or a whole `struct starterConfig` with its JSON, that nobody
/// else uses until this returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_stage1(config: *mut starterConfig) -> c_int {
    guard::role("ks_stage1", 1, || {
        // SAFETY: the caller vouches for it.
        let (c, mut common) = unsafe { engine_config::read(config) }?;
        let starter = engine::prepare_config(&mut common, c.starter.isSuid != 0)?;
        if common.engine_config.exec {
            let assembly = engine::decide(&common)?;
            // the starter: what it forks from now on is born there, and has its score
            let parent = process::parent_pid();
            kickstage_cgroups::move_into(&engine::cgroups(&assembly), parent)?;
            kickstage_master::set_oom_score(assembly.plan.oom_score_adj, parent)?;
        }
        // SAFETY: as above.
        unsafe { engine_config::write(config, &starter, &common) }?;
        Ok(0)
    })
}

/// Serves the master in the container's namespaces; see `kickstage.h`.
///
/// # Safety
///
/// As for [`ks_stage1`]; `rpc_socket` must be a socket that nobody else in this process uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_rpc_server(config: *mut starterConfig, rpc_socket: c_int) -> c_int {
    guard::role("ks_rpc_server", 1, || {
        // SAFETY: the caller vouches for it.
        unsafe { engine_config::read(config) }?;
        kickstage_rpc::serve_with(FdRef::of_raw(rpc_socket), |kind, value| match kind {
            NEW_CGROUP_NAMESPACE => {
                process::unshare(clone::NEWCGROUP).during(Role::Rpc, "unshare the cgroup namespace")
            }
            HOOKS => {
                let (moment, hooks, state): (String, Vec<Hook>, String) =
                    kickstage_rpc::unpack(value)?;
                let state: State = serde_json::from_str(&state).map_err(|error| {
                    Error::new(Role::Rpc, "read the state").because(error.to_string())
                })?;
                kickstage_hooks::run(&moment, &hooks, &state)
            }
            _ => Err(Error::new(Role::Rpc, "receive a request").because("not a request")),
        })?;
        Ok(0)
    })
}

const NEW_CGROUP_NAMESPACE: u8 = b'n';
const HOOKS: u8 = b'h';

struct Server(Client);

impl Remote for Server {
    fn run(&self, steps: &[kickstage_config::plan::Step]) -> Result<()> {
        self.0.run(steps)
    }

    fn new_cgroup_namespace(&self) -> Result<()> {
        self.0.ask_other(NEW_CGROUP_NAMESPACE, &())
    }

    fn run_hooks(&self, moment: &str, hooks: &[Hook], state: &State) -> Result<()> {
        let state = serde_json::to_string(state)
            .map_err(|error| Error::new(Role::Rpc, "write the state").because(error.to_string()))?;
        self.0.ask_other(HOOKS, &(moment, hooks, state))
    }
}

/// StartProcess; see `kickstage.h`.
///
/// # Safety
///
/// As for [`ks_stage1`]; the process must be the container's, with one thread, and its
/// descriptors those that stage1 has opened; `master_socket` is a socket, or negative.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_stage2(config: *mut starterConfig, master_socket: c_int) -> c_int {
    guard::role("ks_stage2", 1, || {
        // SAFETY: the caller vouches for it.
        let (_, common) = unsafe { engine_config::read(config) }?;
        let exec = common.engine_config.exec;
        let spec = engine::process(&common)?;
        let streams = theirs(&common)?;
        let assembly_state = state(&common);
        let mut run_hooks =
            |hooks: &[Hook]| kickstage_hooks::run("startContainer", hooks, &assembly_state);
        let place = Place {
            streams,
            master: (!exec && master_socket >= 0).then(|| inherit(master_socket)).transpose()?,
            new_cgroup_namespace: !exec && new_cgroup_namespace(&common),
            run_hooks: &mut run_hooks,
            tell: &mut |error| guard::tell(&error.to_string()),
        };
        hosted::start_process(&spec, place);
        Ok(1)
    })
}

/// The whole life of the master; see `kickstage.h`.
///
/// # Safety
///
/// As for [`ks_stage1`]; the process must be the parent of the container process, with one
/// thread; both sockets are its ends of those that the other roles have.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_master(
    config: *mut starterConfig,
    rpc_socket: c_int,
    master_socket: c_int,
) -> c_int {
    guard::role("ks_master", FAILURE, || {
        // SAFETY: the caller vouches for it.
        let (c, common) = unsafe { engine_config::read(config) }?;
        let mut assembly: Assembly = engine::decide(&common)?;
        assembly.report.debug = guard::message_level() >= 5;
        let tree = Tree {
            pid: c.container.pid,
            stage2: inherit(master_socket)?,
            streams: ours(&common)?,
            new_cgroup_namespace: new_cgroup_namespace(&common),
            detach: c.container.isInstance != 0,
        };
        // the container's ends: we must see when the container closes them
        drop(theirs(&common));
        let remote = Server(Client::new(inherit(rpc_socket)?));
        match master(common, &assembly, tree, remote, |table| poll(table, -1))? {
            Exit::Code(code) => Ok(code.into()),
            Exit::Signal(number) => {
                // whoever waits for us sees what has happened to the container
                let _ = signal::set_default(number);
                let _ = process::kill(process::own_pid(), number);
                let _ = signal::unblock_all();
                Ok(128 + number)
            }
        }
    })
}

fn ours(common: &Common) -> Result<Streams> {
    let engine = &common.engine_config;
    if engine.master_pts != NO_FD {
        return Ok(Streams::Terminal(inherit(engine.master_pts)?));
    }
    Ok(Streams::Pipes {
        stdin: inherit(engine.input_streams.ours)?,
        outputs: [inherit(engine.output_streams.ours)?, inherit(engine.error_streams.ours)?],
    })
}

fn theirs(common: &Common) -> Result<hosted::Streams> {
    let engine = &common.engine_config;
    if engine.exec {
        return Ok(hosted::Streams::Inherited);
    }
    if engine.slave_pts != NO_FD {
        return Ok(hosted::Streams::Terminal(inherit(engine.slave_pts)?));
    }
    let end = |stream: Stream| inherit(stream.container);
    Ok(hosted::Streams::Pipes([
        end(engine.input_streams)?,
        end(engine.output_streams)?,
        end(engine.error_streams)?,
    ]))
}

fn new_cgroup_namespace(common: &Common) -> bool {
    let spec = common.engine_config.oci_config.as_ref();
    let namespaces = spec.and_then(|spec| spec.linux().as_ref()?.namespaces().as_ref());
    namespaces.into_iter().flatten().any(|namespace| {
        namespace.typ() == oci_spec::runtime::LinuxNamespaceType::Cgroup
            && namespace.path().as_ref().is_none_or(|path| path.as_os_str().is_empty())
    })
}

fn state(common: &Common) -> State {
    let engine = &common.engine_config;
    let version = engine.oci_config.as_ref().map_or("", |spec| spec.version());
    let mut state = State::new(version, common.container_id.clone(), Status::Created);
    state.bundle = engine.bundle_path().display().to_string();
    state
}

fn inherit(raw: i32) -> Result<Fd> {
    Fd::inherit(raw).map_err(|errno| Error::new(Role::Starter, "inherit").on(raw).errno(errno))
}
