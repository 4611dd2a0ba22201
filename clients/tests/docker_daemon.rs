//! dockerd with our program as a runtime: what its configuration and its restart do.

use kickstage_clients::daemon::until;
use kickstage_clients::docker::{Docker, IMAGE, RUNTIMES};
use kickstage_clients::world::{is_v2, not_here};
use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::is_alive;
use serde_json::json;
use std::fs;

#[test]
fn containers_go_on_while_dockerd_is_restarted() {
    let mut docker = Docker::start();
    for runtime in RUNTIMES {
        let name = unique_id();
        let script = "while :; do echo alive; sleep 0.2; done";
        docker.run(runtime, &["--detach", "--name", &name], &["sh", "-c", script]).ok();
        let pid: i64 = docker.inspect(&name, ".State.Pid").parse().unwrap();
        docker.restart();
        assert!(is_alive(pid), "{runtime}");
        assert_eq!(docker.inspect(&name, ".State.Status"), "running", "{runtime}");
        assert_eq!(docker.docker(&["exec", &name, "echo", "in"]).ok().stdout, "in\n", "{runtime}");
        let lines = || docker.docker(&["logs", &name]).ok().stdout.lines().count();
        let before = lines();
        until("its output comes", || lines() > before);
        docker.docker(&["kill", &name]).ok();
        docker.wait_for(&name, ".State.ExitCode", "137");
        docker.remove(&name);
    }
}

#[test]
fn the_default_runtime_builds_images_and_is_listed() {
    let docker = Docker::start();
    let info = docker.docker(&["info", "--format", "{{json .}}"]).ok().json();
    assert_eq!(info["DefaultRuntime"], "kickstage");
    assert!(info["Runtimes"]["kickstage"]["path"].as_str().unwrap().ends_with("kickstage"));
    let context = docker.scratch("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("file"), "copied\n").unwrap();
    let build = |text: &str| {
        fs::write(context.join("Dockerfile"), format!("FROM {IMAGE}\n{text}")).unwrap();
        let context = context.display().to_string();
        docker.docker(&["build", "--no-cache", "--tag", "kickstage.test/built", &context])
    };
    build("RUN echo built > /built && id -u >> /built\nWORKDIR /work\nCOPY file .\nUSER user\nRUN id -u > /dev/shm/x\nCMD cat /built file; id -u\n").ok();
    let ran = docker.docker(&["run", "--rm", "kickstage.test/built"]).ok().stdout;
    assert_eq!(ran, "built\n0\ncopied\n1000\n");
    assert_eq!(build("RUN exit 9\n").code, 9);
    assert_eq!(build("RUN [\"nonexistent\"]\n").code, 1);
}

/// Docker's old flag for the kernel's memory: runc ignores it, we refuse it or are told not to.
#[test]
fn what_is_not_enforced_is_refused_or_let_pass_as_configured() {
    let docker = Docker::start();
    let flags = ["--rm", "--memory", "64m", "--kernel-memory", "50m"];
    if is_v2() {
        docker.run("kickstage", &flags, &["true"]).ok();
        not_here("docker itself drops the flag on cgroup v2");
        return;
    }
    docker.run("runc", &flags, &["true"]).ok();
    docker.run("lenient", &flags, &["true"]).ok();
    let refused = docker.run("kickstage", &flags, &["true"]);
    assert_eq!(refused.code, 125, "{refused:?}");
    assert!(refused.stderr.contains("/linux/resources/memory/kernel"), "{refused:?}");
}

#[test]
fn users_are_mapped_when_the_daemon_remaps_them() {
    let ids = tempfile::NamedTempFile::new().unwrap();
    fs::write(ids.path(), "daemon:200000:65536\n").unwrap();
    let bind = |file: &str| format!("mount --bind {} {file}", ids.path().display());
    let script = format!("{} && {} && exec \"$@\"", bind("/etc/subuid"), bind("/etc/subgid"));
    // the host's own files stay as they are
    let through = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", &script, "sh"];
    let docker = Docker::with(&json!({"userns-remap": "daemon:daemon"}), &through);
    for runtime in RUNTIMES {
        let name = unique_id();
        docker.run(runtime, &["--detach", "--name", &name], &["sleep", "1000"]).ok();
        let map = docker.docker(&["exec", &name, "cat", "/proc/self/uid_map"]).ok().stdout;
        let words: Vec<_> = map.split_whitespace().collect();
        assert_eq!(words, ["0", "200000", "65536"], "{runtime}");
        let pid = docker.inspect(&name, ".State.Pid");
        let owner = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(owner.contains("Uid:\t200000\t"), "{runtime}: {owner}");
        docker.docker(&["exec", &name, "sh", "-c", "echo x > /file && ls -ln /file"]).ok();
        docker.remove(&name);
        let host =
            docker.run(runtime, &["--rm", "--userns", "host"], &["cat", "/proc/self/uid_map"]);
        assert!(host.ok().stdout.contains("4294967295"), "{runtime}");
    }
}
