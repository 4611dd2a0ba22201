//! podman: pods, play kube, and units for systemd.

use kickstage_clients::podman::{IMAGE, Podman};
use kickstage_clients::world::{Cgroup, not_here, wait_until};
use kickstage_tests::bundle::unique_id;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// A pod with a name, removed with the value.
struct Pod<'a> {
    podman: &'a Podman,
    name: String,
}

impl<'a> Pod<'a> {
    #[track_caller]
    fn new(podman: &'a Podman, flags: &[&str]) -> Self {
        let name = unique_id();
        podman.call(&[&["pod", "create", "--name", &name], flags].concat()).ok();
        Self { podman, name }
    }

    /// A member that does nothing.
    #[track_caller]
    fn add(&self, flags: &[&str]) -> String {
        let name = unique_id();
        let words = ["sh", "-c", "trap 'exit 0' TERM; while :; do busybox sleep 0.05; done"];
        let run = ["run", "--detach", "--pod", self.name.as_str(), "--name", &name];
        self.podman.call(&[&run, flags, &[IMAGE], &words].concat()).ok();
        name
    }

    #[track_caller]
    fn says(&self, member: &str, script: &str) -> String {
        self.podman.says(&["exec", member, "sh", "-c", script])
    }

    #[track_caller]
    fn call(&self, word: &str, flags: &[&str]) -> String {
        self.podman.says(&[&["pod", word], flags, &[self.name.as_str()]].concat())
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        let removed = self.podman.call(&["pod", "rm", "--force", "--time", "0", &self.name]);
        if !std::thread::panicking() {
            removed.ok();
        }
    }
}

#[test]
fn members_of_a_pod_share_the_namespaces_that_it_names() {
    let podman = Podman::new();
    let pod = Pod::new(
        &podman,
        &["--network", "none", "--share", "net,ipc,uts,pid", "--hostname", "together"],
    );
    let (one, two) = (pod.add(&[]), pod.add(&[]));
    let script =
        "for kind in net ipc uts pid; do readlink /proc/self/ns/$kind; done; busybox hostname";
    let seen = pod.says(&one, script);
    assert_eq!(seen, pod.says(&two, script));
    assert!(seen.ends_with("together"), "{seen}");
    let mounts = "readlink /proc/self/ns/mnt";
    assert_ne!(pod.says(&one, mounts), pod.says(&two, mounts));
    // each sees the others' processes, and the pod's own first one; podman may have denied them
    // /dev/null (docs/CLIENTS.md, note 11)
    let processes = pod.says(&one, "cat /proc/[0-9]*/comm; true");
    assert!(processes.lines().filter(|name| *name == "sh").count() >= 2, "{processes}");
    assert!(processes.contains("catatonit"), "{processes}");
    pod.says(&one, "busybox mkdir /dev/shm/seen");
    assert_eq!(pod.says(&two, "ls /dev/shm"), "seen");
}

#[test]
fn a_pod_is_stopped_started_paused_and_killed_as_a_whole() {
    let podman = Podman::new();
    let pod = Pod::new(&podman, &["--network", "none"]);
    let members = [pod.add(&[]), pod.add(&[])];
    let states = |expected: &str| {
        for member in &members {
            let state = podman.says(&["inspect", "--format", "{{.State.Status}}", member]);
            assert_eq!(state, expected);
        }
    };
    pod.call("pause", &[]);
    states("paused");
    pod.call("unpause", &[]);
    states("running");
    pod.call("stop", &["--time", "60"]);
    states("exited");
    pod.call("start", &[]);
    states("running");
    let top = pod.call("top", &[]);
    assert!(
        top.lines().filter(|line| line.contains("busybox sleep") || line.contains("sh -c")).count()
            >= 2,
        "{top}"
    );
    pod.call("kill", &[]);
    wait_until("podman has seen the end", || {
        let state =
            |name: &String| podman.says(&["inspect", "--format", "{{.State.Status}}", name]);
        members.iter().all(|member| state(member) == "exited")
    });
    pod.call("restart", &[]);
    states("running");
}

#[track_caller]
fn cgroup(podman: &Podman, container: &str) -> Cgroup {
    let pid = podman.says(&["inspect", "--format", "{{.State.Pid}}", container]);
    Cgroup::of(pid.parse().unwrap())
}

/// In bytes, as the kernel has it.
#[track_caller]
fn memory_limit(podman: &Podman, container: &str) -> String {
    cgroup(podman, container).read("memory", "memory.limit_in_bytes", "memory.max")
}

#[test]
fn a_limit_of_a_pod_is_above_those_of_its_members() {
    let podman = Podman::new();
    if !podman.names_cgroups() {
        not_here("podman has none for a pod of a user's without systemd");
        return;
    }
    let pod = Pod::new(&podman, &["--network", "none", "--cpus", "0.5"]);
    let member = pod.add(&["--memory", "40m"]);
    assert_eq!(memory_limit(&podman, &member), "41943040");
    let cgroup = cgroup(&podman, &member);
    let parent = podman.says(&["pod", "inspect", "--format", "{{.CgroupPath}}", &pod.name]);
    let own = cgroup.directory("cpu");
    assert!(own.to_str().unwrap().contains(parent.trim_start_matches('/')), "{parent} {own:?}");
}

/// Two containers, a first one that ends, a limit, a volume, a config map and a security context.
const KUBE: &str = "
apiVersion: v1
kind: ConfigMap
metadata:
  name: NAME-map
data:
  COLOUR: green
---
apiVersion: v1
kind: Pod
metadata:
  name: NAME
spec:
  # podman 4.3 takes a pod's policy for that of its first containers, too: by default it would
  # start them again while it removes them
  restartPolicy: OnFailure
  hostname: planned
  volumes:
  - name: shared
    emptyDir: {}
  initContainers:
  - name: first
    image: localhost/box
    command: [/bin/sh, -c, 'echo prepared > /shared/file']
    volumeMounts: [{name: shared, mountPath: /shared}]
  containers:
  - name: one
    image: localhost/box
    imagePullPolicy: Never
    command: [/bin/sh, -c, 'trap \"exit 0\" TERM; while :; do busybox sleep 0.05; done']
    envFrom: [{configMapRef: {name: NAME-map}}]
    env: [{name: SHAPE, value: round}, {name: PATH, value: /bin}]
    volumeMounts: [{name: shared, mountPath: /shared}]
    securityContext:
      runAsUser: 1000
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
  - name: two
    image: localhost/box
    imagePullPolicy: Never
    resources: {limits: {memory: 48Mi}}
    command: [/bin/sh, -c, 'trap \"exit 0\" TERM; while :; do busybox sleep 0.05; done']
";

#[test]
fn a_kubernetes_description_becomes_a_pod() {
    let podman = Podman::new();
    let name = unique_id();
    let file = podman.dir().join(format!("{name}.yaml"));
    fs::write(&file, KUBE.replace("NAME", &name)).unwrap();
    let file = file.display().to_string();
    podman.call(&["play", "kube", "--network", "none", &file]).ok();
    let exec = |member: &str, script: &str| {
        podman.says(&["exec", &format!("{name}-{member}"), "/bin/sh", "-c", script])
    };
    assert_eq!(exec("one", "cat /shared/file; echo $COLOUR $SHAPE"), "prepared\ngreen round");
    let seen: serde_json::Value = serde_json::from_str(&exec("one", "probe")).unwrap();
    let status = &seen["status"];
    assert_eq!(
        (&status["NoNewPrivs"], &status["CapBnd"]),
        (&"1".into(), &"0000000000000000".into())
    );
    assert_eq!(exec("one", "id -u; echo x > /new || echo refused"), "1000\nrefused");
    assert_eq!(
        exec("two", "PATH=/bin; busybox hostname; readlink /proc/self/ns/net"),
        format!("planned\n{}", exec("one", "readlink /proc/self/ns/net"))
    );
    assert_eq!(memory_limit(&podman, &format!("{name}-two")), "50331648");
    podman.call(&["play", "kube", "--down", &file]).ok();
    assert_eq!(podman.call(&["pod", "exists", &name]).code, 1);
}

/// What tells one container from another: its limit, and what it says of itself.
#[track_caller]
fn as_it_runs(podman: &Podman, container: &str) -> String {
    let script = "busybox hostname; id -u; echo $COLOUR; busybox grep CapBnd /proc/self/status; \
                  echo x > /new || echo refused; cat /proc/1/cmdline";
    let said = podman.says(&["exec", container, "sh", "-c", script]);
    format!("{}\n{said}", memory_limit(podman, container))
}

#[test]
fn a_pod_is_described_for_kubernetes_and_made_again() {
    let podman = Podman::new();
    let pod = Pod::new(&podman, &["--network", "none", "--hostname", "planned"]);
    let root = ["--read-only", "--read-only-tmpfs=false", "--user", "1000", "--cap-drop", "ALL"];
    let member = pod.add(&[&root[..], &["--env", "COLOUR=red", "--memory", "40m"]].concat());
    let before = as_it_runs(&podman, &member);
    let wanted = "41943040\nplanned\n1000\nred\nCapBnd:\t0000000000000000\nrefused\nsh\0-c\0trap";
    assert!(before.starts_with(wanted), "{before:?}");
    let file = podman.dir().join(format!("{}.yaml", pod.name)).display().to_string();
    fs::write(&file, podman.says(&["generate", "kube", &pod.name])).unwrap();
    podman.call(&["pod", "rm", "--force", "--time", "0", &pod.name]).ok();
    podman.call(&["play", "kube", "--network", "none", &file]).ok();
    assert_eq!(as_it_runs(&podman, &format!("{}-{member}", pod.name)), before);
}

#[test]
fn a_unit_for_systemd_runs_the_container() {
    let podman = Podman::new();
    let running = podman.idle(&[]);
    let unit = podman.says(&["generate", "systemd", "--new", "--name", &running.name]);
    assert!(unit.contains("Type=notify") && unit.contains("--sdnotify=conmon"), "{unit}");
    if !std::path::Path::new("/run/systemd/system").exists() {
        not_here("no systemd would run the unit");
        return;
    }
    unit::runs(&podman, &unit, &running.name);
}

/// What systemd does with a unit that podman has written.
mod unit {
    use super::{Podman, fs, wait_until};
    use kickstage_clients::program::{limited, run};
    use kickstage_tests::Ended;
    use std::env;

    fn systemctl(podman: &Podman, words: &[&str]) -> Ended {
        let mut command = limited(180, "systemctl");
        if podman.rootless() {
            command.arg("--user");
        }
        run(command.args(words))
    }

    #[track_caller]
    pub(super) fn runs(podman: &Podman, text: &str, container: &str) {
        podman.call(&["rm", "--force", "--time", "0", container]).ok();
        let directory = if podman.rootless() {
            format!("{}/systemd/user", env::var("XDG_RUNTIME_DIR").unwrap())
        } else {
            "/run/systemd/system".to_string()
        };
        fs::create_dir_all(&directory).unwrap();
        let unit = format!("{container}.service");
        let path = format!("{directory}/{unit}");
        let conf = |name: &str| podman.dir().join(name).display().to_string();
        let environment = format!(
            "[Service]\nEnvironment=CONTAINERS_CONF={} CONTAINERS_STORAGE_CONF={}\n",
            conf("containers.conf"),
            conf("storage.conf")
        );
        fs::write(&path, text.replace("[Service]\n", &environment)).unwrap();
        systemctl(podman, &["daemon-reload"]).ok();
        let started = systemctl(podman, &["start", &unit]);
        let status = systemctl(podman, &["status", &unit]).stdout;
        assert_eq!(started.code, 0, "{started:?} {status}");
        assert_eq!(systemctl(podman, &["is-active", &unit]).stdout.trim(), "active");
        assert_eq!(podman.says(&["exec", container, "echo", "inside"]), "inside");
        let main = systemctl(podman, &["show", "--value", "--property", "MainPID", &unit]);
        let name = fs::read_to_string(format!("/proc/{}/comm", main.stdout.trim())).unwrap();
        assert_eq!(name, "conmon\n");
        systemctl(podman, &["stop", &unit]).ok();
        wait_until("the container is gone", || {
            podman.call(&["container", "exists", container]).code == 1
        });
        fs::remove_file(path).unwrap();
        systemctl(podman, &["daemon-reload"]).ok();
        // the value that made the container expects to remove it
        podman.call(&["create", "--name", container, super::IMAGE, "true"]).ok();
    }
}

#[test]
fn readiness_that_a_container_tells_reaches_who_waits_for_it() {
    let podman = Podman::new();
    let shared = tempfile::tempdir_in(podman.dir()).unwrap();
    fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let socket = shared.path().join("socket");
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
    let running = podman.existing(unique_id());
    let volume = format!("{}:/shared", shared.path().display());
    let flags = ["--name", &running.name, "--sdnotify", "container", "--volume", &volume];
    let script = "until [ -e /shared/go ]; do busybox sleep 0.05; done; \
                  exec probe notify READY=1";
    let words = [&["run", "--detach"], &flags[..], &[IMAGE, "sh", "-c", script]].concat();
    kickstage_clients::program::run(podman.command(&words).env("NOTIFY_SOCKET", &socket)).ok();
    let told = || {
        let mut text = [0; 512];
        let length = listener.recv(&mut text).expect("something is told");
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    // podman's own word
    assert_eq!(told(), format!("MAINPID={}", running.inspect(".State.ConmonPid")));
    fs::write(shared.path().join("go"), "").unwrap();
    assert_eq!(told(), "READY=1");
}
