//! A further process in a container: from config.json and what the caller wants changed.

use crate::model::Document;
use crate::text::invalid;
use crate::{Judge, host_work, process, scheduling};
use kickstage_config::plan::Listener;
use kickstage_config::process::ProcessSpec;
use kickstage_config::state::State;
use kickstage_config::{Error, Result, Role, Text};
use kickstage_sys::{Errno, file};
use oci_spec::runtime::{Capabilities, LinuxCapabilities, Process, Spec};

/// What the caller wants, beside what config.json says of the container's own process.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// A whole process instead of config.json's; the others are then not looked at. What limits and
    /// confines the container's own process holds for it too, unless it says something else.
    pub process: Option<Process>,
    /// Program and arguments.
    pub args: Vec<String>,
    /// Working directory.
    pub cwd: Option<String>,
    /// Further variables, `NAME=value`.
    pub env: Vec<String>,
    /// User id.
    pub uid: Option<u32>,
    /// Group id.
    pub gid: Option<u32>,
    /// Further groups, beside config.json's.
    pub additional_gids: Vec<u32>,
    /// Further capabilities, in all sets but the inheritable and the ambient one
    /// (CVE-2022-29162).
    pub capabilities: Vec<String>,
    /// No exec gives more privilege.
    pub no_new_privs: bool,
    /// AppArmor profile.
    pub apparmor: Option<String>,
    /// SELinux label.
    pub label: Option<String>,
    /// Whether it gets a terminal.
    pub terminal: bool,
}

/// All that is decided of such a process.
pub struct Decided {
    /// What to become.
    pub process: ProcessSpec,
    /// Score for the out-of-memory killer.
    pub oom_score_adj: Option<i32>,
    /// The CPUs until it is in the container's cgroup, one bit each; empty: any.
    pub affinity: Vec<u64>,
    /// Who is asked about system calls.
    pub listener: Option<Listener>,
}

/// Decides. `spec` is the container's config.json.
pub fn exec(
    spec: &Spec,
    id: &Text,
    changes: &Changes,
    preserve_fds: u32,
    new_keyring: bool,
    judge: &Judge,
) -> Result<Decided> {
    let mut spec = spec.clone();
    let changed = match &changes.process {
        Some(process) => within(process.clone(), spec.process().as_ref()),
        None => change(spec.process().clone().unwrap_or_default(), changes)?,
    };
    spec.set_process(Some(changed));
    crate::platforms(&spec, judge)?;
    let asked = spec.process().as_ref().expect("it has just been set");
    let (affinity, last) = scheduling::affinity(asked)?;
    let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let around = process::Around {
        id,
        new_keyring,
        preserve_fds,
        mount_console: false,
        empty: false,
        start_container: Vec::new(),
    };
    let process = process::decide(&spec, around, judge)?;
    Ok(Decided {
        process: ProcessSpec { affinity: last, ..process },
        oom_score_adj: process::oom_score_adj(&spec)?,
        affinity,
        listener: profile.map(host_work::listener).transpose()?.flatten(),
    })
}

/// What a listener is told, beside the descriptor.
pub fn with_state(
    listener: Option<Listener>,
    state: impl FnOnce() -> Result<State>,
) -> Result<Option<(Listener, String)>> {
    let Some(listener) = listener else { return Ok(None) };
    let state = serde_json::to_string(&state()?)
        .map_err(|error| Error::new(Role::Stage1, "write the state").because(error.to_string()))?;
    Ok(Some((listener, state)))
}

/// A process that comes as a whole, in a container whose own is `own`: as runc fills it up.
fn within(mut process: Process, own: Option<&Process>) -> Process {
    let Some(own) = own else { return process };
    if process.apparmor_profile().is_none() {
        process.set_apparmor_profile(own.apparmor_profile().clone());
    }
    if process.selinux_label().is_none() {
        process.set_selinux_label(own.selinux_label().clone());
    }
    if process.capabilities().is_none() {
        process.set_capabilities(own.capabilities().clone());
    }
    if process.rlimits().as_ref().is_none_or(Vec::is_empty) {
        process.set_rlimits(own.rlimits().clone());
    }
    process.set_oom_score_adj(process.oom_score_adj().or(own.oom_score_adj()));
    if process.scheduler().is_none() {
        process.set_scheduler(own.scheduler().clone());
    }
    if process.io_priority().is_none() {
        process.set_io_priority(*own.io_priority());
    }
    if process.exec_cpu_affinity().is_none() {
        process.set_exec_cpu_affinity(own.exec_cpu_affinity().clone());
    }
    let mut user = process.user().clone();
    user.set_umask(user.umask().or(own.user().umask()));
    process.set_user(user);
    process
}

/// As runc changes it.
fn change(mut process: Process, changes: &Changes) -> Result<Process> {
    process.set_args(Some(changes.args.clone()));
    process.set_terminal(Some(changes.terminal));
    if let Some(cwd) = &changes.cwd {
        process.set_cwd(cwd.into());
    }
    // of two with the same name the last holds
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(changes.env.iter().cloned());
    process.set_env(Some(env));
    let mut user = process.user().clone();
    user.set_uid(changes.uid.unwrap_or(user.uid()));
    user.set_gid(changes.gid.unwrap_or(user.gid()));
    let mut groups = user.additional_gids().clone().unwrap_or_default();
    groups.extend(&changes.additional_gids);
    user.set_additional_gids(Some(groups));
    process.set_user(user);
    if changes.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    if changes.apparmor.is_some() {
        process.set_apparmor_profile(changes.apparmor.clone());
    }
    if changes.label.is_some() {
        process.set_selinux_label(changes.label.clone());
    }
    if !changes.capabilities.is_empty() {
        let sets = process.capabilities().clone().unwrap_or_default();
        process.set_capabilities(Some(with_more(sets, &changes.capabilities)?));
    }
    Ok(process)
}

fn with_more(mut sets: LinuxCapabilities, names: &[String]) -> Result<LinuxCapabilities> {
    let mut more = Capabilities::new();
    for name in names {
        let quoted = serde_json::Value::String(name.clone());
        let capability = serde_json::from_value(quoted).map_err(|_| {
            invalid("/process/capabilities", format!("unknown capability {name:?}"))
        })?;
        more.insert(capability);
    }
    let add = |set: &Option<Capabilities>| {
        let mut all = set.clone().unwrap_or_default();
        all.extend(&more);
        Some(all)
    };
    sets.set_bounding(add(sets.bounding()));
    sets.set_permitted(add(sets.permitted()));
    sets.set_effective(add(sets.effective()));
    Ok(sets)
}

/// Reads a `--process` file.
pub fn read_process(path: &Text) -> Result<Process> {
    const LIMIT: usize = 16 << 20;
    let bytes = file::read_host(path, LIMIT)
        .map_err(|errno: Errno| Error::new(Role::Stage1, "read").on(path).errno(errno))?;
    Document::Process
        .read(&bytes)
        .map_err(|why| why.told_by(Error::new(Role::Stage1, "parse").on(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec() -> Spec {
        serde_json::from_value(json!({
            "ociVersion": "1.0.2", "root": {"path": "rootfs"},
            "process": {
                "cwd": "/", "args": ["first"], "env": ["A=1"], "terminal": true,
                "user": {"uid": 5, "gid": 6, "additionalGids": [7]},
                "capabilities": {"bounding": ["CAP_KILL"], "inheritable": ["CAP_KILL"]},
                "oomScoreAdj": 9,
            },
        }))
        .unwrap()
    }

    fn decided(changes: &Changes) -> Result<Decided> {
        exec(&spec(), &Text::new("box").unwrap(), changes, 2, true, &Judge::strict())
    }

    fn words(texts: &[Text]) -> Vec<&str> {
        texts.iter().map(Text::as_str).collect()
    }

    #[test]
    fn what_is_not_changed_is_the_containers() {
        let changes = Changes { args: vec!["id".into()], ..Changes::default() };
        let Decided { process, oom_score_adj, .. } = decided(&changes).unwrap();
        assert_eq!((words(&process.args), words(&process.env)), (vec!["id"], vec!["A=1"]));
        assert_eq!((process.uid, process.gid, process.groups), (5, 6, vec![7]));
        assert_eq!((process.console, process.preserve_fds), (None, 2));
        assert_eq!(oom_score_adj, Some(9));
    }

    #[test]
    fn changes_are_added_or_take_the_place() {
        let changes = Changes {
            args: vec!["id".into()],
            cwd: Some("/tmp".into()),
            env: vec!["B=2".into()],
            uid: Some(50),
            additional_gids: vec![8],
            capabilities: vec!["CAP_CHOWN".into()],
            no_new_privs: true,
            terminal: true,
            ..Changes::default()
        };
        let process = decided(&changes).unwrap().process;
        assert_eq!(words(&process.env), ["A=1", "B=2"]);
        assert_eq!((process.uid, process.gid, process.groups), (50, 6, vec![7, 8]));
        assert_eq!((process.cwd.as_str(), process.no_new_privs), ("/tmp", true));
        assert!(process.console.is_some_and(|console| !console.mount));
        let sets = process.capabilities;
        assert_eq!((sets.bounding, sets.permitted, sets.effective), (1 | 1 << 5, 1, 1));
        assert_eq!((sets.inheritable, sets.ambient), (1 << 5, 0), "CVE-2022-29162");
    }

    #[test]
    fn a_whole_process_replaces_everything_and_nonsense_is_refused() {
        let process = serde_json::from_value(
            json!({"cwd": "/x", "args": ["sh"], "user": {"uid": 1, "gid": 2}}),
        );
        let changes =
            Changes { process: Some(process.unwrap()), uid: Some(9), ..Changes::default() };
        let process = decided(&changes).unwrap().process;
        assert_eq!((process.uid, process.cwd.as_str(), process.env.len()), (1, "/x", 0));
        assert!(decided(&Changes::default()).is_err(), "there is no program");
        let capabilities = vec!["CAP_NOPE".into()];
        let changes = Changes { args: vec!["id".into()], capabilities, ..Changes::default() };
        let error = decided(&changes).err().expect("it is refused").to_string();
        assert!(error.contains("CAP_NOPE"), "{error}");
    }
}
