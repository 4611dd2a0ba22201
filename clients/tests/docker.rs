//! dockerd with our program as a runtime: what docker shows must be what it shows with runc.

use kickstage_clients::daemon::until;
use kickstage_clients::docker::{Docker, IMAGE, RUNTIMES};
use kickstage_clients::terminal::types;
use kickstage_clients::world::{OUT_OF_MEMORY, is_v2};
use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::is_alive;
use std::fs;
use std::process::Command;

/// A file of the container's own cgroup, by its name in version 1 (with the controller) and 2.
fn of_cgroup(v1: &str, v2: &str) -> String {
    format!("cat /sys/fs/cgroup/{}", if is_v2() { v2 } else { v1 })
}

/// Flags, a script, and how what it prints begins: an older kernel shows fewer options of mounts.
type Case<'a> = (&'a [&'a str], &'a str, &'a str);

#[track_caller]
fn assert_as_asked(docker: &Docker, cases: &[Case<'_>]) {
    for runtime in RUNTIMES {
        for (flags, script, wanted) in cases {
            let ended = docker.run(runtime, &[&["--rm"], *flags].concat(), &["sh", "-c", script]);
            assert!(ended.stdout.starts_with(wanted), "{runtime} {flags:?} {script}: {ended:?}");
        }
    }
}

#[test]
fn rights_and_files_are_as_docker_was_asked() {
    let docker = Docker::start();
    let host = docker.scratch("host");
    fs::create_dir(&host).unwrap();
    fs::write(host.join("file"), "of the host\n").unwrap();
    let volume = format!("{}:/host:ro", host.display());
    let filter = docker.scratch("seccomp.json");
    fs::write(
        &filter,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#,
    )
    .unwrap();
    let filter = format!("seccomp={}", filter.display());
    let cases: &[Case<'_>] = &[
        (&[], "busybox grep CapEff /proc/self/status", "CapEff:\t00000000a80425fb\n"),
        (&[], "busybox grep Seccomp: /proc/self/status", "Seccomp:\t2\n"),
        (
            &["--cap-add", "SYS_ADMIN", "--cap-drop", "CHOWN"],
            "busybox grep CapEff /proc/self/status",
            "CapEff:\t00000000a82425fa\n",
        ),
        (
            &["--cap-drop", "ALL"],
            "busybox grep CapBnd /proc/self/status",
            "CapBnd:\t0000000000000000\n",
        ),
        (&["--user", "1000:5", "--group-add", "7"], "id", "uid=1000(user) gid=5 groups=5,7\n"),
        (
            &["--security-opt", "no-new-privileges"],
            "busybox grep NoNewPrivs /proc/self/status",
            "NoNewPrivs:\t1\n",
        ),
        (
            &["--security-opt", "seccomp=unconfined"],
            "busybox grep Seccomp: /proc/self/status",
            "Seccomp:\t0\n",
        ),
        (
            &["--security-opt", &filter],
            "busybox mkdir /x 2>&1 || true",
            "mkdir: can't create directory '/x': Function not implemented\n",
        ),
        (
            &["--device", "/dev/cpu_dma_latency:/dev/other:r"],
            "busybox dd if=/dev/other count=0 2>/dev/null && echo read; (echo x > /dev/other) 2>&1",
            "read\nsh: can't create /dev/other: Operation not permitted\n",
        ),
        (
            &["--ulimit", "nofile=77:99", "--ulimit", "core=0"],
            "ulimit -n; ulimit -Hn; ulimit -c",
            "77\n99\n0\n",
        ),
        (
            &["--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.msgmax=4000"],
            "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax",
            "1\n4000\n",
        ),
        (
            &["--tmpfs", "/mnt:size=1m,mode=700"],
            "busybox grep ' /mnt ' /proc/mounts",
            "tmpfs /mnt tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k,mode=700",
        ),
        (
            &["--volume", &volume],
            "cat /host/file; (echo x > /host/file) 2>&1",
            "of the host\nsh: can't create /host/file: Read-only file system\n",
        ),
        (&["--volume", "/volume"], "echo written > /volume/file; cat /volume/file", "written\n"),
        (
            &["--read-only"],
            "(echo x > /file) 2>&1; echo x > /dev/shm/file && echo kept",
            "sh: can't create /file: Read-only file system\nkept\n",
        ),
        (&["--read-only", "--tmpfs", "/run"], "echo x > /run/file && echo kept", "kept\n"),
    ];
    assert_as_asked(&docker, cases);
}

#[test]
fn names_and_limits_are_as_docker_was_asked() {
    let docker = Docker::start();
    let host_network = fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    let pids = of_cgroup("pids/pids.max", "pids.max");
    let cpuset = of_cgroup("cpuset/cpuset.cpus", "cpuset.cpus");
    let cases: &[Case<'_>] = &[
        (&["--init"], "cat /proc/1/comm", "docker-init\n"),
        (&["--network", "none"], "ls /sys/class/net", "lo\n"),
        (&["--network", "host"], "readlink /proc/self/ns/net", &host_network),
        (&["--pids-limit", "20"], &pids, "20\n"),
        (&["--cpuset-cpus", "1"], &cpuset, "1\n"),
        (
            &["--hostname", "name", "--domainname", "domain"],
            "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname",
            "name\ndomain\n",
        ),
        (&["--workdir", "/new/directory"], "pwd", "/new/directory\n"),
        (&["--env", "NAME=value"], "echo $NAME", "value\n"),
        (&["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj", "500\n"),
        (
            &["--shm-size", "1m"],
            "busybox grep shm /proc/mounts",
            "shm /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k",
        ),
        (&["--pid", "host"], "test $$ -gt 100 && echo outside", "outside\n"),
        (&["--log-driver", "none"], "echo there", "there\n"),
    ];
    assert_as_asked(&docker, cases);
}

/// Whoever started the daemon has to have all capabilities for this: both are right to refuse
/// where that is not so.
#[test]
fn a_privileged_container_has_what_the_daemon_has() {
    let docker = Docker::start();
    let args = [
        "sh",
        "-c",
        "busybox grep CapEff /proc/self/status; test -c /dev/cpu_dma_latency && echo device",
    ];
    let [ours, runcs] =
        RUNTIMES.map(|runtime| docker.run(runtime, &["--rm", "--privileged"], &args));
    assert_eq!((ours.code, &ours.stdout), (runcs.code, &runcs.stdout), "{ours:?} {runcs:?}");
    if ours.code != 0 {
        let bounding = fs::read_to_string("/proc/self/status").unwrap();
        assert!(!bounding.contains("CapBnd:\t000001ffffffffff"), "{ours:?}");
        assert!(ours.stderr.contains("set capabilities: operation not permitted"), "{ours:?}");
    }
}

#[test]
fn exit_codes_and_reasons_reach_docker() {
    let docker = Docker::start();
    let file = docker.scratch("file");
    fs::write(&file, "").unwrap();
    let on_directory = format!("{}:/tmp", file.display());
    let cases: &[(&[&str], &[&str], i32, &str)] = &[
        (&[], &["sh", "-c", "exit 5"], 5, ""),
        (&[], &["nonexistent"], 127, "executable file not found in $PATH"),
        (&[], &["/bin/nonexistent"], 127, "no such file or directory"),
        (&[], &["/etc/passwd"], 126, "permission denied"),
        (&[], &["/tmp"], 126, "permission denied"),
        (
            &["--volume", &on_directory],
            &["true"],
            125,
            "Are you trying to mount a directory onto a file",
        ),
    ];
    for runtime in RUNTIMES {
        for (flags, args, code, reason) in cases {
            let ended = docker.run(runtime, &[&["--rm"], *flags].concat(), args);
            assert_eq!(ended.code, *code, "{runtime} {args:?}: {ended:?}");
            assert!(ended.stderr.contains(reason), "{runtime} {args:?}: {ended:?}");
        }
        let name = unique_id();
        docker.run(runtime, &["--name", &name], &["nonexistent"]);
        assert_eq!(docker.inspect(&name, ".State.ExitCode"), "127");
        assert!(docker.inspect(&name, ".State.Error").contains("executable file not found"));
        docker.remove(&name);
    }
}

#[test]
fn a_running_container_is_entered_watched_and_changed() {
    let docker = Docker::start();
    for runtime in RUNTIMES {
        let name = unique_id();
        let script = "echo up; while :; do sleep 0.1; done";
        let flags = ["--detach", "--name", &name, "--memory", "64m", "--memory-swap", "128m"];
        docker.run(runtime, &flags, &["sh", "-c", script]).ok();
        let exec = |flags: &[&str], args: &[&str]| {
            docker.docker(&[&["exec"], flags, &[name.as_str()], args].concat())
        };
        assert_eq!(exec(&[], &["sh", "-c", "exit 6"]).code, 6, "{runtime}");
        assert_eq!(exec(&[], &["sh", "-c", "kill -9 $$"]).code, 137, "{runtime}");
        let who = exec(
            &["--user", "user", "--workdir", "/tmp", "--env", "A=b"],
            &["sh", "-c", "id -u; pwd; echo $A"],
        );
        assert_eq!(who.ok().stdout, "1000\n/tmp\nb\n", "{runtime}");
        let missing = exec(&[], &["nonexistent"]);
        assert!(matches!(missing.code, 126 | 127), "{runtime}: {missing:?}");
        assert!(missing.stdout.contains("executable file not found"), "{runtime}: {missing:?}");
        assert_eq!(exec(&["--tty"], &["tty"]).ok().stdout.trim(), "/dev/pts/0", "{runtime}");
        exec(&["--detach"], &["sleep", "1000"]).ok();

        assert!(docker.docker(&["top", &name]).ok().stdout.contains("sleep 1000"), "{runtime}");
        let stats = docker.docker(&["stats", "--no-stream", "--format", "{{.MemUsage}}", &name]);
        assert!(stats.ok().stdout.contains("/ 64MiB"), "{runtime}");
        assert_eq!(docker.docker(&["logs", &name]).ok().stdout, "up\n", "{runtime}");

        let flags = [
            "--memory",
            "80m",
            "--memory-swap",
            "160m",
            "--cpus",
            "0.5",
            "--pids-limit",
            "50",
            "--cpuset-cpus",
            "0",
        ];
        docker.docker(&[&["update"], &flags[..], &[&name]].concat()).ok();
        for (v1, v2, wanted) in [
            ("memory/memory.limit_in_bytes", "memory.max", "83886080\n"),
            ("cpu/cpu.cfs_quota_us", "cpu.max", "50000"),
            ("pids/pids.max", "pids.max", "50\n"),
            ("cpuset/cpuset.cpus", "cpuset.cpus", "0\n"),
        ] {
            let seen = exec(&[], &["sh", "-c", &of_cgroup(v1, v2)]).ok().stdout;
            assert!(seen.starts_with(wanted), "{runtime} {v1}: {seen}");
        }
        docker.remove(&name);
    }
}

#[test]
fn a_container_is_paused_stopped_killed_and_started_again() {
    let docker = Docker::start();
    for runtime in RUNTIMES {
        let name = unique_id();
        let script = "trap 'echo term; exit 4' TERM; echo up; while :; do sleep 0.1; done";
        docker.run(runtime, &["--detach", "--name", &name], &["sh", "-c", script]).ok();
        docker.docker(&["pause", &name]).ok();
        assert_eq!(docker.inspect(&name, ".State.Status"), "paused", "{runtime}");
        let refused = docker.docker(&["exec", &name, "true"]);
        assert!(refused.stderr.contains("is paused"), "{runtime}: {refused:?}");
        docker.docker(&["unpause", &name]).ok();
        docker.docker(&["restart", "--time", "60", &name]).ok();
        assert_eq!(docker.inspect(&name, ".State.Status"), "running", "{runtime}");
        let logs = || docker.docker(&["logs", &name]).ok().stdout;
        until("it is up again", || logs() == "up\nterm\nup\n");
        docker.docker(&["stop", "--time", "60", &name]).ok();
        assert_eq!(docker.inspect(&name, ".State.ExitCode"), "4", "{runtime}");
        docker.docker(&["start", &name]).ok();
        let pid: i64 = docker.inspect(&name, ".State.Pid").parse().unwrap();
        docker.docker(&["kill", &name]).ok();
        assert_eq!(docker.docker(&["wait", &name]).ok().stdout, "137\n", "{runtime}");
        assert!(!is_alive(pid));
        docker.remove(&name);
    }
}

#[test]
fn a_container_that_ignores_being_stopped_is_killed() {
    let docker = Docker::start();
    for runtime in RUNTIMES {
        let name = unique_id();
        let script = "trap 'echo term' TERM; echo up; while :; do sleep 0.1; done";
        docker.run(runtime, &["--detach", "--name", &name], &["sh", "-c", script]).ok();
        let logs = || docker.docker(&["logs", &name]).ok().stdout;
        until("it listens", || logs() == "up\n");
        let pid: i64 = docker.inspect(&name, ".State.Pid").parse().unwrap();
        docker.docker(&["stop", "--time", "1", &name]).ok();
        assert_eq!(docker.inspect(&name, ".State.ExitCode"), "137", "{runtime}");
        assert!(!is_alive(pid), "{runtime}");
        assert_eq!(logs(), "up\nterm\n", "{runtime}");
        docker.remove(&name);
    }
}

/// Whether docker has been told that a process of a container ran out of memory.
fn is_told_of_oom(docker: &Docker, name: &str) -> bool {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().to_string();
    let container = format!("container={name}");
    let filters = ["--filter", "event=oom", "--filter", &container];
    let events = ["events", "--since", "0", "--until", &now];
    !docker.docker(&[&events[..], &filters].concat()).ok().stdout.is_empty()
}

/// The kernel's word of it and that of the end go different ways through containerd, and docker
/// heeds only the first to come: the process that is killed is not the container's first one.
#[test]
fn docker_knows_what_ran_out_of_memory() {
    let docker = Docker::start();
    let greedy = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done";
    let limits = ["--memory", "20m", "--memory-swap", "20m"];
    for runtime in RUNTIMES {
        let flags = [&["--rm"], &limits[..]].concat();
        assert_eq!(docker.run(runtime, &flags, &["sh", "-c", greedy]).code, 137, "{runtime}");
        let name = unique_id();
        let flags = [&["--detach", "--name", &name], &limits[..]].concat();
        docker.run(runtime, &flags, &["sh", "-c", OUT_OF_MEMORY]).ok();
        until(&format!("{runtime}: docker is told"), || is_told_of_oom(&docker, &name));
        docker.docker(&["kill", &name]).ok();
        docker.wait_for(&name, ".State.OOMKilled", "true");
        docker.remove(&name);
    }
}

#[test]
fn health_is_checked_and_failures_are_restarted() {
    let docker = Docker::start();
    for runtime in RUNTIMES {
        let name = unique_id();
        let flags = ["--detach", "--name", &name, "--restart", "on-failure:2"];
        docker.run(runtime, &flags, &["sh", "-c", "exit 8"]).ok();
        docker.wait_for(&name, ".RestartCount", "2");
        docker.wait_for(&name, ".State.Status", "exited");
        assert_eq!(docker.inspect(&name, ".State.ExitCode"), "8", "{runtime}");
        docker.remove(&name);

        let flags = [
            "--detach",
            "--name",
            &name,
            "--health-cmd",
            "test -e /healthy",
            "--health-interval",
            "200ms",
            "--health-retries",
            "2",
        ];
        docker.run(runtime, &flags, &["sleep", "1000"]).ok();
        docker.wait_for(&name, ".State.Health.Status", "unhealthy");
        docker.docker(&["exec", &name, "sh", "-c", "echo > /healthy"]).ok();
        docker.wait_for(&name, ".State.Health.Status", "healthy");
        docker.remove(&name);
    }
}

/// The size comes a moment after the program has started.
const ON_TERMINAL: &str = "tty; while [ \"$(busybox stty size)\" != \"33 44\" ]; do sleep 0.1; done 2>/dev/null; read line; echo got $line; exit 7";

#[test]
fn a_terminal_is_the_users() {
    let docker = Docker::start();
    let inner = docker.scratch("script");
    fs::write(&inner, ON_TERMINAL).unwrap();
    let volume = format!("{}:/script", inner.display());
    for runtime in RUNTIMES {
        let name = unique_id();
        let flags = ["--detach", "--name", &name, "--volume", &volume];
        docker.run(runtime, &flags, &["sleep", "1000"]).ok();
        let run = format!("run --rm -it --runtime {runtime} --volume {volume} {IMAGE}");
        for call in [run, format!("exec -it {name}")] {
            let host = docker.host();
            let line = format!("/usr/bin/docker --host {host} {call} sh /script; echo code $?");
            let seen = types(&line, "/dev/pts/0", "words");
            assert!(seen.contains("got words"), "{runtime}: {call}: {seen}");
            assert!(seen.contains("code 7"), "{runtime}: {call}: {seen}");
        }
        docker.remove(&name);
    }
}

#[test]
fn nothing_is_left_of_a_container() {
    let docker = Docker::start();
    let below = format!("*{}/*", docker.cgroup());
    let data = docker.scratch("data").display().to_string();
    for runtime in RUNTIMES {
        let flags = ["--rm", "--memory", "64m", "--volume", "/volume"];
        docker.run(runtime, &flags, &["true"]).ok();
        docker.run(runtime, &flags, &["nonexistent"]);
        let mut find = Command::new("find");
        find.args(["/sys/fs/cgroup", "-type", "d", "-path", &below]);
        let left = find.output().expect("find(1)").stdout;
        assert!(left.is_empty(), "{runtime}: {}", String::from_utf8_lossy(&left));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let of_containers =
            mounts.lines().filter(|line| line.contains(&format!("{data}/containers/")));
        assert_eq!(of_containers.count(), 0, "{runtime}: {mounts}");
    }
}
