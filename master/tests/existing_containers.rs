//! Containers as later commands find them: made here by hand, in a directory of our own.

use kickstage_config::record::{ProcessMark, Record};
use kickstage_config::state::Status;
use kickstage_config::{Report, Text, Timestamp};
use kickstage_master::container::Container;
use kickstage_master::delete::Force;
use kickstage_master::list::{list, names};
use kickstage_sys::{file, identity, process};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whoever spawns, and whoever counts on being the only one to hold a descriptor: a new process
/// holds a copy of every one until its exec.
static FORKS: Mutex<()> = Mutex::new(());

fn nobody_forks() -> MutexGuard<'static, ()> {
    FORKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A state root that goes with its processes at the end of a test.
struct Root {
    path: PathBuf,
    children: Vec<Child>,
}

impl Root {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kickstage-{test}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self { path, children: Vec::new() }
    }

    fn text(&self) -> Text {
        Text::new(self.path.to_str().unwrap()).unwrap()
    }

    fn open(&self, id: &str) -> Container {
        Container::open(&self.text(), &Text::new(id).unwrap()).unwrap()
    }

    fn directory(&self, id: &str) -> PathBuf {
        let directory = self.path.join(id);
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    fn write(&self, id: &str, name: &str, record: &Record) {
        let bytes = serde_json::to_vec(record).unwrap();
        fs::write(self.directory(id).join(name), bytes).unwrap();
    }

    /// A process that lives until the end of the test, or until it is killed.
    fn sleeper(&mut self) -> i32 {
        self.child(Command::new("sleep").arg("1000"))
    }

    fn child(&mut self, command: &mut Command) -> i32 {
        let alone = nobody_forks();
        let child = command.spawn().unwrap();
        drop(alone);
        let pid = child.id() as i32;
        self.children.push(child);
        pid
    }

    fn status(&self, id: &str) -> Status {
        self.open(id).status().unwrap()
    }

    fn listed_status(&self, id: &str) -> Result<Status, String> {
        let all = list(&self.text()).unwrap();
        let found = all.into_iter().find(|listed| listed.id == id).unwrap();
        found.status.map_err(|error| error.to_string())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn mark(pid: i32) -> ProcessMark {
    identity::of(process::pidfd(pid).unwrap().borrow(), pid).unwrap().into()
}

fn record(id: &str, pid: i32) -> Record {
    Record {
        oci_version: "1.0.2".into(),
        id: id.into(),
        pid,
        process: Some(mark(pid)),
        boot_id: None,
        bundle: "/b".into(),
        rootfs: "/b/rootfs".into(),
        namespaces: 0,
        created: Timestamp(1),
        owner_uid: process::effective_uid(),
        annotations: [("key".to_owned(), "\"value\"\n".to_owned())].into(),
        freezer: None,
        monitored: false,
        cgroups: Vec::new(),
        unit: None,
        without_process: false,
        rdt_group: None,
        rdt: Vec::new(),
        poststart: Vec::new(),
        poststop: Vec::new(),
    }
}

#[test]
fn the_kernel_tells_running_created_creating_and_stopped_apart() {
    let mut root = Root::new("status");
    let pid = root.sleeper();
    root.write("running", "state.json", &record("running", pid));
    root.write("creating", "creating.json", &record("creating", pid));
    root.write("created", "state.json", &record("created", pid));
    let gate = root.directory("created").join("gate");
    let gate = Text::new(gate.to_str().unwrap()).unwrap();
    file::mknod(kickstage_sys::FdRef::CWD, &gate, libc::S_IFIFO | 0o600, 0).unwrap();
    let alone = nobody_forks();
    let held = file::open_host(&gate, libc::O_RDWR).unwrap();
    let dead = Record { process: Some(ProcessMark::StartTime(1)), ..record("stopped", pid) };
    root.write("stopped", "state.json", &dead);
    root.directory("begun");
    for (id, status) in [
        ("running", Status::Running),
        ("creating", Status::Creating),
        ("created", Status::Created),
        ("stopped", Status::Stopped),
        ("begun", Status::Creating),
    ] {
        assert_eq!(root.status(id), status, "{id}");
        assert_eq!(root.listed_status(id), Ok(status), "{id}");
    }
    drop(held);
    assert_eq!(root.status("created"), Status::Running);
    assert_eq!(root.listed_status("created"), Ok(Status::Running));
    drop(alone);
}

#[test]
fn a_process_that_has_ended_is_gone_before_its_parent_has_waited_for_it() {
    let mut root = Root::new("zombie");
    let pid = root.sleeper();
    root.write("web", "state.json", &record("web", pid));
    let pidfd = process::pidfd(pid).unwrap();
    root.open("web").kill(libc::SIGKILL).unwrap();
    let wait = kickstage_sys::poll::Wait::readable(pidfd.borrow());
    assert!(kickstage_sys::poll::poll(&mut [wait], 10_000).unwrap());
    assert_eq!(root.status("web"), Status::Stopped);
    assert_eq!(root.listed_status("web"), Ok(Status::Stopped));
    let error = root.open("web").kill(libc::SIGTERM).unwrap_err();
    assert!(error.to_string().contains("container not running"), "{error}");
}

#[test]
fn another_process_with_the_same_number_is_never_signalled() {
    let mut root = Root::new("reuse");
    let (stranger, other) = (root.sleeper(), root.sleeper());
    let reused = Record { process: Some(mark(other)), ..record("web", stranger) };
    root.write("web", "state.json", &reused);
    root.write("old", "state.json", &Record { boot_id: Some("x".into()), ..record("old", other) });
    for id in ["web", "old"] {
        assert!(root.open(id).kill(libc::SIGKILL).is_err());
        assert_eq!(root.status(id), Status::Stopped);
        assert_eq!(root.listed_status(id), Ok(Status::Stopped));
        root.open(id).delete(Force::Yes, &Report::default()).unwrap();
    }
    assert!(root.children.iter_mut().all(|child| child.try_wait().unwrap().is_none()));
}

#[test]
fn a_damaged_container_is_listed_refused_and_deleted_by_force() {
    let root = Root::new("damaged");
    for (id, bytes) in [("cut", "{\"ociVersion\":\"1"), ("empty", ""), ("other", "[]")] {
        fs::write(root.directory(id).join("state.json"), bytes).unwrap();
        let says_so = |error: String| assert!(error.contains("delete --force"), "{error}");
        says_so(root.listed_status(id).unwrap_err());
        says_so(root.open(id).kill(libc::SIGTERM).unwrap_err().to_string());
        says_so(root.open(id).kill_all(libc::SIGTERM).unwrap_err().to_string());
        says_so(root.open(id).start(&Report::default(), None).unwrap_err().to_string());
        says_so(root.open(id).delete(Force::No, &Report::default()).unwrap_err().to_string());
        root.open(id).delete(Force::Yes, &Report::default()).unwrap();
    }
    assert_eq!(names(&root.text()).unwrap(), [""; 0]);
}

#[test]
fn a_record_longer_than_one_read_is_read_whole() {
    let mut root = Root::new("long");
    let pid = root.sleeper();
    let long = Record { bundle: "b".repeat(10_000), ..record("web", pid) };
    root.write("web", "state.json", &long);
    assert_eq!(root.open("web").record().unwrap(), &long);
    let all = list(&root.text()).unwrap();
    assert_eq!(all[0].summary.as_ref().unwrap().bundle, long.bundle);
}

#[test]
fn a_half_made_container_needs_force_to_be_deleted() {
    let root = Root::new("half");
    root.directory("web");
    assert!(root.open("web").delete(Force::No, &Report::default()).is_err());
    root.open("web").delete(Force::Yes, &Report::default()).unwrap();
    assert!(!root.path.join("web").exists());
}

#[test]
fn a_running_container_needs_force_to_be_deleted() {
    let mut root = Root::new("delete");
    let pid = root.sleeper();
    root.write("web", "state.json", &record("web", pid));
    let error = root.open("web").delete(Force::No, &Report::default()).unwrap_err();
    let words = "cannot delete container web that is not stopped: running";
    assert!(error.to_string().contains(words), "{error}");
    root.open("web").delete(Force::Yes, &Report::default()).unwrap();
    assert!(!root.path.join("web").exists());
    let status = root.children[0].wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
}

#[test]
fn a_list_has_every_container_in_order_and_nothing_else() {
    let mut root = Root::new("list");
    assert!(list(&Text::new("/nowhere/at/all").unwrap()).unwrap().is_empty());
    assert!(names(&Text::new("/nowhere/at/all").unwrap()).unwrap().is_empty());
    let pid = root.sleeper();
    // more than are looked at together
    let mut ids: Vec<String> = (0..300).map(|number| format!("c{number}")).collect();
    for id in &ids {
        root.write(id, "state.json", &record(id, pid));
    }
    fs::write(root.path.join("file"), "").unwrap();
    root.directory("bad name");
    std::os::unix::fs::symlink("c0", root.path.join("link")).unwrap();
    ids.sort();
    assert_eq!(names(&root.text()).unwrap(), ids);
    let all = list(&root.text()).unwrap();
    assert_eq!(
        all.iter().map(|listed| &listed.id).collect::<Vec<_>>(),
        ids.iter().collect::<Vec<_>>()
    );
    for listed in all {
        let summary = listed.summary.unwrap();
        assert_eq!((listed.status, summary.pid), (Ok(Status::Running), pid));
        assert_eq!(summary.annotations, record("", pid).annotations);
        assert_eq!(listed.owner_uid, process::effective_uid());
    }
}

#[test]
fn what_is_not_there_does_not_exist() {
    let root = Root::new("absent");
    let id = Text::new("web").unwrap();
    assert!(Container::find(&root.text(), &id).unwrap().is_none());
    let error = Container::open(&root.text(), &id).err().unwrap().to_string();
    assert!(error.contains("container does not exist"), "{error}");
}

#[test]
fn start_lets_the_program_run_once() {
    let mut root = Root::new("start");
    let directory = root.directory("web");
    for name in ["gate", "result"] {
        let path = Text::new(directory.join(name).to_str().unwrap()).unwrap();
        file::mknod(kickstage_sys::FdRef::CWD, &path, libc::S_IFIFO | 0o600, 0).unwrap();
    }
    // as the container's first process does
    let script = "exec 3<>gate 4<>result; echo ready; dd bs=1 count=1 <&3 2>/dev/null; \
                  exec 3>&-; exec 4>&-; exec sleep 1000";
    let mut waiting = Command::new("sh");
    let pid =
        root.child(waiting.args(["-c", script]).current_dir(&directory).stdout(Stdio::piped()));
    let mut line = String::new();
    let stdout = root.children[0].stdout.take().unwrap();
    let mut stdout = BufReader::new(stdout);
    stdout.read_line(&mut line).unwrap();
    root.write("web", "state.json", &record("web", pid));
    assert_eq!(root.status("web"), Status::Created);
    let alone = nobody_forks();
    root.open("web").start(&Report::default(), None).unwrap();
    assert_eq!(root.status("web"), Status::Running);
    drop(alone);
    let error = root.open("web").start(&Report::default(), None).unwrap_err().to_string();
    assert!(error.contains("cannot start a container that is running"), "{error}");
}
