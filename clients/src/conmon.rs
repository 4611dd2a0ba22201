//! conmon, called as podman and CRI-O call it.

use crate::cgroup_manager::CgroupManager;
use crate::{program, rootless};
use kickstage_tests::bundle::unique_id;
use kickstage_tests::runtime::built;
use kickstage_tests::{Bundle, Ended};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket,
};
use nix::unistd::Uid;
use serde_json::{Value, json};
use std::env;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use tempfile::TempDir;

/// A conmon with a container, removed with the value.
pub struct Conmon {
    /// Directories of exit files, of what survives, and of sockets, the log, and pid files.
    pub dir: TempDir,
    /// Name of the container.
    pub id: String,
    runtime: PathBuf,
    bundle: Bundle,
    manager: CgroupManager,
}

/// The lines of a log of conmon: `STREAM F TEXT`, or `P` for a part of a line.
pub(crate) fn without_times(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter_map(|line| Some(line.split_once(' ')?.1))
}

/// Its descriptor 3 is where conmon tells what has become of the runtime.
const WITH_SYNC: &str = "exec 3>\"$1\"; shift; _OCI_SYNCPIPE=3 exec conmon \"$@\"";

impl Conmon {
    /// For a bundle of which nothing is made yet, and which is made fit for who runs the tests.
    pub fn of(mut bundle: Bundle) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        for name in ["kept", "sockets", "states"] {
            fs::create_dir(dir.path().join(name)).expect("a new name");
        }
        let (id, manager, uid) = (unique_id(), CgroupManager::asked(), Uid::effective());
        if !uid.is_root() {
            rootless::adapt(&mut bundle, uid.as_raw());
            rootless::add_subordinate_ids(&mut bundle);
        }
        if manager == CgroupManager::Systemd {
            // an empty name is the slice of root's or of the user's services
            bundle.config["linux"]["cgroupsPath"] = json!(format!(":conmon:{id}"));
        }
        let runtime = env::var_os("KICKSTAGE").map_or_else(|| built("kickstage"), PathBuf::from);
        Self { dir, id, runtime, bundle, manager }
    }

    /// A path below its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn call(&self, id: &str, flags: &[&str]) -> Ended {
        let path = |name: &str| self.path(name).display().to_string();
        let exits = path(&format!("exits-{id}"));
        fs::create_dir(&exits).expect("a new name");
        let mut command = program::limited(60, "sh");
        command.args(["-c", WITH_SYNC, "sh", &path(&format!("sync-{id}"))]);
        command.args(["--api-version", "1", "--cid", &self.id, "--cuuid", id, "--name", "box"]);
        command.arg("--runtime").arg(&self.runtime);
        command.arg("--bundle").arg(self.bundle.path());
        command.args(["--runtime-arg", "--root", "--runtime-arg", &path("states")]);
        if self.manager == CgroupManager::Systemd {
            command.arg("--systemd-cgroup");
        }
        command.args(["--container-pidfile", &path(&format!("pid-{id}"))]);
        command.args(["--exit-dir", &exits, "--persist-dir", &path("kept")]);
        command.args(["--socket-dir-path", &path("sockets")]);
        command.args(["--log-path", &format!("k8s-file:{}", path(&format!("log-{id}")))]);
        // it writes where it is, too
        program::run(command.args(flags).current_dir(self.dir.path()))
    }

    /// Has the container created; what conmon tells of it.
    #[track_caller]
    pub fn create(&self, flags: &[&str]) -> Value {
        self.call(&self.id, flags).ok();
        self.told(&self.id)
    }

    /// Has a process executed in it, and gives the name of that; what it is comes from a file.
    #[track_caller]
    pub fn exec(&self, process: &Value, flags: &[&str]) -> String {
        let (name, file) = (unique_id(), self.path("process.json"));
        fs::write(&file, process.to_string()).expect("writable");
        let file = file.display().to_string();
        self.call(&name, &[&["--exec", "--exec-process-spec", &file], flags].concat()).ok();
        name
    }

    /// What conmon has told of a container or exec: a JSON object a line.
    #[track_caller]
    pub fn told(&self, id: &str) -> Value {
        let path = self.path(&format!("sync-{id}"));
        crate::world::wait_until("conmon tells", || {
            fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'))
        });
        let text = fs::read_to_string(path).expect("it is there");
        serde_json::from_str(text.lines().next().expect("a line")).expect("conmon writes JSON")
    }

    /// Calls the runtime.
    #[track_caller]
    pub fn runtime(&self, word: &str, more: &[&str]) -> Ended {
        let mut command = program::limited(60, &self.runtime.display().to_string());
        command.arg("--root").arg(self.path("states")).args([word, &self.id]).args(more);
        program::run(&mut command)
    }

    /// The same call as words for a shell.
    pub fn words(&self, command: &[&str]) -> String {
        let (program, root) = (self.runtime.display(), self.path("states"));
        format!("{program} --root {} {} {}", root.display(), command.join(" "), self.id)
    }

    /// Its bundle.
    pub fn bundle(&self) -> PathBuf {
        self.bundle.path().to_path_buf()
    }

    /// Waits for the exit code that conmon writes down.
    #[track_caller]
    pub fn exit_code(&self, id: &str) -> String {
        // in a directory for each exec, but by the name of the container
        let path = self.path(&format!("exits-{id}")).join(&self.id);
        crate::world::wait_until("conmon writes the exit code down", || path.exists());
        fs::read_to_string(path).expect("it is there")
    }

    /// What a container or exec has printed, without times: `stdout F text` a line.
    pub fn log(&self, id: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(&format!("log-{id}"))).unwrap_or_default();
        without_times(&text).map(String::from).collect()
    }

    /// A connection to its attach socket.
    #[track_caller]
    pub fn attach(&self) -> Attached {
        let near = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
            .expect("sockets can be made");
        let path = self.path("sockets").join(&self.id).join("attach");
        let address = UnixAddr::new(&path).expect("a short path");
        connect(near.as_raw_fd(), &address)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Attached(near)
    }
}

impl Drop for Conmon {
    fn drop(&mut self) {
        self.runtime("delete", &["--force"]);
    }
}

/// Somebody who watches and types.
pub struct Attached(OwnedFd);

impl Attached {
    /// Types.
    #[track_caller]
    pub fn type_in(&self, text: &str) {
        send(self.0.as_raw_fd(), text.as_bytes(), MsgFlags::MSG_NOSIGNAL).expect("conmon listens");
    }

    /// Waits until a text has come on a stream: 2 is the output, 3 are messages.
    #[track_caller]
    pub fn expect(&self, stream: u8, text: &str) {
        let (mut seen, mut packet) = (String::new(), [0; 8192]);
        while !seen.contains(text) {
            match recv(self.0.as_raw_fd(), &mut packet, MsgFlags::empty()).expect("conmon lives") {
                0 => panic!("{text:?} did not come, but {seen:?}"),
                length if packet[0] == stream => {
                    seen += &String::from_utf8_lossy(&packet[1..length]);
                }
                _ => {}
            }
        }
    }
}
