//! What a service manager has given to the caller, for the program (sd_listen_fds(3),
//! sd_notify(3)).

use crate::Request;
use crate::namespaces::Namespaces;
use kickstage_config::plan::{
    AttributeChange, Bind, HostWork, MappedTree, Mapping, Op, SourceSymlink, Step, TargetSymlink,
};
use kickstage_config::process::ProcessSpec;
use kickstage_config::{Error, Result, Role, Text};
use kickstage_sys::mount::attribute;
use kickstage_sys::process::clone;

/// Sockets, and somebody who wants to know when the program is ready.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// How many sockets are open, from descriptor 3 on.
    pub sockets: u32,
    /// Address of the manager's own socket; `@` begins an abstract one.
    pub notify_socket: Option<Text>,
}

/// Where the container finds the socket, as runc has it.
const PLACE: &str = "/run/notify";

/// Gives both to the program.
pub(crate) fn pass(request: &Request, process: &mut ProcessSpec) -> Result<()> {
    let Service { sockets, notify_socket } = &request.service;
    if *sockets > 0 {
        set(process, &format!("LISTEN_FDS={sockets}"))?;
        // whoever executes it is the first process of its namespace
        set(process, "LISTEN_PID=1")?;
    }
    match notify_socket {
        Some(_) => set(process, &format!("NOTIFY_SOCKET={PLACE}/notify.sock")),
        None => Ok(()),
    }
}

/// Some programs take the first of two variables of a name, others the last.
fn set(process: &mut ProcessSpec, variable: &str) -> Result<()> {
    let name = variable.split_inclusive('=').next().unwrap_or(variable);
    process.env.retain(|other| !other.as_str().starts_with(name));
    let text = Text::new(variable).map_err(|_| Error::new(Role::Stage1, "set").on(name))?;
    process.env.push(text);
    Ok(())
}

/// Shows the directory in which the master makes the socket. Without a mount namespace there is
/// nowhere to show it.
pub(crate) fn show(
    request: &Request,
    namespaces: &Namespaces,
    work: &mut HostWork,
) -> Result<Option<Step>> {
    if request.service.notify_socket.is_none() {
        return Ok(None);
    }
    if !namespaces.separates(clone::NEWNS) {
        return Err(Error::new(Role::Stage1, "pass $NOTIFY_SOCKET on")
            .because("the container has no mount namespace to show it in")
            .at("/linux/namespaces")
            .remedy("unset NOTIFY_SOCKET, or add {\"type\": \"mount\"}"));
    }
    let source = Text::new(format!("{}/{}/notify", request.state_root, request.id))
        .expect("made of Texts, which have no NUL");
    // the container may have no right to go where the state is kept
    let mapped = work.mapped.len();
    work.mapped.push(MappedTree {
        key: String::new(),
        source: source.clone(),
        recursive: false,
        map_recursive: false,
        mapping: Mapping::Same,
    });
    let set = attribute::RDONLY | attribute::NOSUID | attribute::NODEV | attribute::NOEXEC;
    Ok(Some(Step {
        key: String::new(),
        op: Op::Bind(Bind {
            source,
            target: Text::from_literal(PLACE),
            recursive: false,
            mapped: Some(mapped),
            source_symlink: SourceSymlink::Follow,
            target_symlink: TargetSymlink::Follow,
            // it is a copy of the host's, which may be shared
            propagation: vec![libc::MS_PRIVATE],
            changes: vec![AttributeChange { set, clear: 0, recursive: false }],
        }),
    }))
}
