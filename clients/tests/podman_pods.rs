//! podman: pods, play kube, and units for systemd.

use kickstage_clients::podman::{IMAGE, Podman};
use kickstage_clients::world::{not_here, wait_until};
use kickstage_tests::bundle::unique_id;
use std::fs;

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

#[test]
fn a_limit_of_a_pod_is_above_those_of_its_members() {
    let podman = Podman::new();
    if !podman.names_cgroups() {
        not_here("podman has none for a pod of a user's without systemd");
        return;
    }
    let pod = Pod::new(&podman, &["--network", "none", "--cpus", "0.5"]);
    let member = pod.add(&["--memory", "40m"]);
    let pid = podman.says(&["inspect", "--format", "{{.State.Pid}}", &member]);
    let cgroup = kickstage_clients::world::Cgroup::of(pid.parse().unwrap());
    assert_eq!(cgroup.read("memory", "memory.limit_in_bytes", "memory.max"), "41943040");
    let parent = podman.says(&["pod", "inspect", "--format", "{{.CgroupPath}}", &pod.name]);
    let own = cgroup.directory("cpu");
    assert!(own.to_str().unwrap().contains(parent.trim_start_matches('/')), "{parent} {own:?}");
}

/// Two containers, a first one that ends, limits, a volume, probes and a security context.
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
    podman.call(&["play", "kube", "--down", &file]).ok();
    assert_eq!(podman.call(&["pod", "exists", &name]).code, 1);
}

#[test]
fn a_pod_is_described_for_kubernetes_and_made_again() {
    let podman = Podman::new();
    let pod = Pod::new(&podman, &["--network", "none"]);
    pod.add(&["--env", "COLOUR=red"]);
    let text = podman.says(&["generate", "kube", &pod.name]);
    assert!(text.contains("COLOUR") && text.contains("kind: Pod"), "{text}");
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
    let socket = podman.dir().join(format!("{}.sock", unique_id()));
    let listener = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(std::time::Duration::from_mins(2))).unwrap();
    let name = unique_id();
    let flags = ["run", "--detach", "--name", &name, "--sdnotify", "container", IMAGE];
    // the container's own socket is in its environment
    let script = "test -S $NOTIFY_SOCKET && echo there; while :; do busybox sleep 0.05; done";
    let mut command = podman.command(&[&flags[..], &["sh", "-c", script]].concat());
    let mut child = command.env("NOTIFY_SOCKET", &socket).spawn().unwrap();
    let mut text = [0; 512];
    let length = listener.recv(&mut text).unwrap();
    let told = String::from_utf8_lossy(&text[..length]).into_owned();
    assert!(told.contains("MAINPID="), "{told}");
    wait_until("the container has looked", || podman.call(&["logs", &name]).stdout == "there\n");
    podman.call(&["rm", "--force", "--time", "0", &name]).ok();
    child.wait().unwrap();
}
