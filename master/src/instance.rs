//! The instance file: where Apptainer's commands look for a container of its oci engine.
//!
//! `<home>/.apptainer/instances/oci/<host>/<user>/<id>/<id>.json`, mode 0644 in directories of
//! mode 0700, appears whole, by rename. The sockets and the default log are beside it.

use crate::store;
use alloc::format;
use alloc::string::{String, ToString};
use base64::Engine;
use kickstage_config::engine::Common;
use kickstage_config::monitored::Monitored;
use kickstage_config::state::{State, Status};
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file::{self, Entry, Resolve};
use kickstage_sys::{Errno, Fd, FdRef, process};
use oci_spec::runtime::LinuxNamespaceType;
use serde::Serialize;

/// The keys of the file, in its order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    pid: i32,
    ppid: i32,
    name: &'a str,
    user: &'a str,
    image: &'a str,
    config: String,
    userns: bool,
    cgroup: bool,
    ip: &'a str,
    log_err_path: &'a str,
    log_out_path: &'a str,
    checkpoint: &'a str,
    sharens_mode: bool,
}

/// The file of one container, and what is in it.
pub(crate) struct Instance {
    dir: Fd,
    path: String,
    user: String,
    pid: i32,
    user_namespace: bool,
    log: String,
    common: Common,
}

impl Instance {
    /// Makes the directory of a new container. It must not have a file yet.
    pub(crate) fn create(common: Common, pid: i32, user_namespace: bool) -> Result<Self> {
        let (base, user) = base()?;
        let path = format!("{base}/{}", common.container_id);
        let dir = make_directories(&path)?;
        let name = file_name(&common)?;
        if file::stat_entry(dir.borrow(), &name).is_ok() {
            return Err(Error::new(Role::Master, "create container")
                .on(&common.container_id)
                .because("container with given ID already exists")
                .remedy("choose another name, or delete it first"));
        }
        let log = format!("{path}/{}.log", common.container_id);
        let mut instance = Self { dir, path, user, pid, user_namespace, log, common };
        if let Some(path) = instance.common.engine_config.log_path() {
            instance.log = path.display().to_string();
        }
        Ok(instance)
    }

    pub(crate) fn dir(&self) -> FdRef<'_> {
        self.dir.borrow()
    }

    pub(crate) const fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn log(&self) -> &str {
        &self.log
    }

    /// Whoever joins the container finds its namespaces by its process.
    pub(crate) fn name_namespaces(&mut self) {
        let Some(spec) = &mut self.common.engine_config.oci_config else { return };
        let Some(linux) = spec.linux_mut() else { return };
        let mut namespaces = linux.namespaces().clone().unwrap_or_default();
        for namespace in &mut namespaces {
            let name = match namespace.typ() {
                LinuxNamespaceType::Mount => "mnt",
                LinuxNamespaceType::Cgroup => "cgroup",
                LinuxNamespaceType::Uts => "uts",
                LinuxNamespaceType::Ipc => "ipc",
                LinuxNamespaceType::User => "user",
                LinuxNamespaceType::Pid => "pid",
                LinuxNamespaceType::Network => "net",
                LinuxNamespaceType::Time => "time",
            };
            namespace.set_path(Some(format!("/proc/{}/ns/{name}", self.pid).into()));
        }
        linux.set_namespaces(Some(namespaces));
    }

    /// Writes the file; gives the state that it now tells.
    pub(crate) fn store(&mut self, status: Status, monitored: Option<&Monitored>) -> Result<State> {
        let engine = &mut self.common.engine_config;
        let spec = engine.oci_config.as_ref();
        let version = spec.map_or_else(String::new, |spec| spec.version().clone());
        let mut state = State::new(version, self.common.container_id.clone(), status);
        state.pid = self.pid;
        state.bundle = engine.bundle_path().display().to_string();
        let annotations = spec.and_then(|spec| spec.annotations().clone()).unwrap_or_default();
        state.annotations = annotations.into_iter().collect();
        if let Some(monitored) = monitored {
            monitored.tell(&mut state);
        }
        engine.set_state(state.clone());
        let failed = |error: serde_json::Error| {
            Error::new(Role::Master, "write the instance file").because(error.to_string())
        };
        let config = serde_json::to_vec(&self.common).map_err(failed)?;
        let content = File {
            pid: self.pid,
            ppid: process::own_pid(),
            name: &self.common.container_id,
            user: &self.user,
            image: "",
            config: base64::engine::general_purpose::STANDARD.encode(config),
            userns: self.user_namespace,
            cgroup: false,
            ip: "",
            log_err_path: "",
            log_out_path: "",
            checkpoint: "",
            sharens_mode: false,
        };
        self.write(&serde_json::to_vec(&content).map_err(failed)?)?;
        Ok(state)
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        let name = file_name(&self.common)?;
        let write = || {
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_NOFOLLOW;
            let new = file::open(self.dir(), c".new", flags, 0o644, Resolve::NoSymlinks)?;
            file::write_all(new.borrow(), bytes)?;
            file::rename(self.dir(), c".new", &name)
        };
        write().during_on(Role::Master, "write the instance file", &name)
    }
}

/// There is no such container.
pub(crate) fn remove(path: &str) {
    let Ok(path) = Text::new(path) else { return };
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    if let Ok(dir) = file::open_host(&path, flags) {
        for name in file::entries(dir.borrow()).unwrap_or_default() {
            let _ = file::unlink(dir.borrow(), &name, Entry::File);
        }
    }
    let _ = file::unlink(FdRef::CWD, &path, Entry::Directory);
}

fn file_name(common: &Common) -> Result<Text> {
    Text::new(format!("{}.json", common.container_id))
        .map_err(|_| Error::new(Role::Master, "name the instance file").because("a NUL in the ID"))
}

/// The directory of all containers of this user on this host, and the user's name.
fn base() -> Result<(String, String)> {
    let failed = |what: &str, cause: &str| Error::new(Role::Master, "find").on(what).because(cause);
    let host = nix::unistd::gethostname()
        .map_err(|errno| failed("the host's name", errno.desc()))?
        .into_string()
        .map_err(|_| failed("the host's name", "it is not UTF-8"))?;
    let uid = nix::unistd::Uid::from_raw(process::effective_uid());
    let user = nix::unistd::User::from_uid(uid)
        .map_err(|errno| failed("the user", errno.desc()))?
        .ok_or_else(|| failed("the user", "passwd(5) does not have one with our id"))?;
    let home = user.dir.display();
    Ok((format!("{home}/.apptainer/instances/oci/{host}/{}", user.name), user.name))
}

/// Each with mode 0700 where it is missing. What others could write to is refused.
fn make_directories(path: &str) -> Result<Fd> {
    let text = |path: &str| {
        Text::new(path).map_err(|_| {
            Error::new(Role::Master, "make directory").on(path).because("it holds a NUL")
        })
    };
    let ends = path.match_indices('/').map(|(end, _)| end).skip(1).chain([path.len()]);
    for end in ends {
        let part = text(&path[..end])?;
        match file::mkdir(FdRef::CWD, &part, 0o700) {
            Ok(()) | Err(Errno(libc::EEXIST)) => {}
            Err(errno) => return Err(errno).during_on(Role::Master, "make directory", part),
        }
    }
    let own = text(path)?;
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let dir = file::open_host(&own, flags).during_on(Role::Master, "open", &own)?;
    store::refuse_what_others_write(dir.borrow(), &own)?;
    Ok(dir)
}
