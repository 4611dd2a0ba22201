//! containerd with its runc shim and our program as the shim's `BinaryName`: what ctr shows must
//! be what it shows with runc.

use kickstage_clients::containerd::{Containerd, IMAGE, run_words, runtimes};
use kickstage_clients::daemon::{Daemon, until};
use kickstage_clients::terminal::types;
use kickstage_clients::world::{Cgroup, OUT_OF_MEMORY, criu_works};
use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::is_alive;
use serde_json::json;
use std::fs;
use std::process::Command;

/// Whether a cgroup of this name is anywhere; systemd's is named after it.
fn has_cgroup(id: &str) -> bool {
    let scope = format!("ctr-{id}.scope");
    let names = ["-name", id, "-o", "-name", &scope];
    let find = Command::new("find").arg("/sys/fs/cgroup").args(names).output();
    !find.expect("find(1)").stdout.is_empty()
}

/// No container, no task, no cgroup.
#[track_caller]
fn assert_gone(containerd: &Containerd, id: &str) {
    assert_eq!(containerd.task(id), None);
    assert!(!containerd.ctr(&["containers", "ls", "--quiet"]).ok().stdout.contains(id));
    assert!(!has_cgroup(id), "{id}");
}

#[test]
fn a_container_is_as_ctr_was_asked() {
    let containerd = Containerd::start();
    let host = containerd.scratch("host");
    fs::create_dir(&host).unwrap();
    fs::write(host.join("file"), "of the host\n").unwrap();
    let bind = format!("type=bind,src={},dst=/host,options=rbind:ro", host.display());
    let maps = ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"];
    let cases: &[(&[&str], &str, &str)] = &[
        (&[], "id", "uid=0(root) gid=0 groups=0\n"),
        (&["--read-only"], "echo x > /file || echo refused", "refused\n"),
        (&["--seccomp"], "busybox grep Seccomp: /proc/self/status", "Seccomp:\t2\n"),
        (&[], "busybox grep CapEff /proc/self/status", "CapEff:\t00000000a80425fb\n"),
        (
            &["--cap-add", "CAP_SYS_ADMIN", "--cap-drop", "CAP_CHOWN"],
            "busybox grep CapEff /proc/self/status",
            "CapEff:\t00000000a82425fa\n",
        ),
        (&[], "busybox grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1\n"),
        (&["--allow-new-privs"], "busybox grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t0\n"),
        (
            &["--privileged"],
            "test -c /dev/cpu_dma_latency && busybox dd if=/dev/cpu_dma_latency count=0 2>/dev/null && echo used",
            "used\n",
        ),
        (
            &["--mount", &bind],
            "cat /host/file; echo x > /host/file || echo refused",
            "of the host\nrefused\n",
        ),
        (
            &["--mount", "type=tmpfs,src=tmpfs,dst=/mnt,options=size=1m"],
            "busybox grep ' /mnt ' /proc/mounts",
            "tmpfs /mnt tmpfs rw,relatime,size=1024k",
        ),
        (
            &["--device", "/dev/cpu_dma_latency"],
            "busybox dd if=/dev/cpu_dma_latency count=0 2>/dev/null && echo used",
            "used\n",
        ),
        (&maps, "busybox tr -s ' ' < /proc/self/uid_map", " 0 100000 65536\n"),
        (
            &["--net-host"],
            "readlink /proc/self/ns/net",
            &fs::read_link("/proc/self/ns/net").unwrap().display().to_string(),
        ),
        (&["--cwd", "/new/directory"], "pwd", "/new/directory\n"),
        (&["--env", "NAME=value"], "echo $NAME", "value\n"),
        (&["--no-pivot"], "echo /*", "/bin /dev /etc /proc /root /run /sys /tmp\n"),
        (&["--null-io"], "true", ""),
    ];
    for (name, runtime) in runtimes() {
        for (flags, script, wanted) in cases {
            let id = unique_id();
            let flags = [&["--rm"], *flags].concat();
            // what a program says that ends at once is lost by the shim, now and then, with any runtime
            let script = format!("{script}\nresult=$?; busybox usleep 200000; exit $result");
            let ended = containerd.run(&runtime, &flags, &id, &["sh", "-c", &script]).ok();
            // an older kernel shows fewer options after those that were asked for
            assert!(ended.stdout.starts_with(wanted), "{name} {flags:?} {script}: {ended:?}");
            assert_eq!(ended.stdout.is_empty(), wanted.is_empty(), "{name} {flags:?}: {ended:?}");
            assert_gone(&containerd, &id);
        }
    }
}

/// runc 1.1.5 never does it (docs/CLIENTS.md, note 4).
#[test]
fn a_root_is_shared_when_ctr_says_so() {
    let containerd = Containerd::start();
    // the shim may lose the words of a program that ends at once
    let script = "busybox awk '$5 == \"/\" { print $7 }' /proc/self/mountinfo; sleep 0.2";
    for (name, runtime) in runtimes() {
        for (flags, shared) in
            [(&[][..], false), (&["--rootfs-propagation", "rshared"], name == "kickstage")]
        {
            let id = unique_id();
            let flags = [&["--rm"], flags].concat();
            let ended = containerd.run(&runtime, &flags, &id, &["sh", "-c", script]).ok();
            // one mount; a slave of the host's where that is shared
            assert_eq!(ended.stdout.lines().count(), 1, "{name} {flags:?}: {ended:?}");
            let seen = ended.stdout.starts_with("shared:");
            assert_eq!(seen, shared, "{name} {flags:?}: {ended:?}");
            assert_gone(&containerd, &id);
        }
    }
}

#[test]
fn exit_codes_and_reasons_reach_ctr() {
    let containerd = Containerd::start();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["sh", "-c", "exit 7"], 7, ""),
        (&["nonexistent"], 1, "executable file not found in $PATH"),
        (&["/bin/nonexistent"], 1, "no such file or directory"),
        (&["/etc/passwd"], 1, "permission denied"),
    ];
    for (name, runtime) in runtimes() {
        for (args, code, reason) in cases {
            let id = unique_id();
            let ended = containerd.run(&runtime, &["--rm"], &id, args);
            assert_eq!(ended.code, *code, "{name} {args:?}: {ended:?}");
            assert!(ended.stderr.contains(reason), "{name} {args:?}: {ended:?}");
            // ctr leaves the container's entry, not its task, if the task could not be made
            containerd.ctr(&["containers", "rm", &id]);
            assert_gone(&containerd, &id);
        }
    }
}

#[test]
fn a_class_of_service_is_refused_without_resctrl_where_runc_leaves_it_away() {
    if std::path::Path::new("/sys/fs/resctrl").exists() {
        return;
    }
    let containerd = Containerd::start();
    let [(_, ours), (_, runc)] = runtimes();
    for (runtime, code, reason) in [(&ours, 1, "(config key /linux/intelRdt)"), (&runc, 0, "")] {
        let id = unique_id();
        let ended = containerd.run(runtime, &["--rm", "--rdt-class", "web"], &id, &["true"]);
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(ended.stderr.contains(reason), "{ended:?}");
        containerd.ctr(&["containers", "rm", &id]);
        assert_gone(&containerd, &id);
    }
}

/// The size comes a moment after the program has started.
const ON_TERMINAL: &str = "tty; while [ \"$(busybox stty size)\" != \"33 44\" ]; do sleep 0.1; done 2>/dev/null; read line; echo got $line";

#[test]
fn a_terminal_is_the_users() {
    let containerd = Containerd::start();
    for (name, runtime) in runtimes() {
        let id = unique_id();
        let line = format!(
            "ctr --address {} {} --rm --tty {IMAGE} {id} sh -c '{ON_TERMINAL}'",
            containerd.socket().display(),
            run_words(&runtime, &id).join(" "),
        );
        let seen = types(&line, "/dev/pts/0", "words");
        assert!(seen.contains("got words"), "{name}: {seen}");
    }
}

/// The limit of a task's memory as `ctr tasks metrics` has it on either version.
fn memory_limit(metrics: &serde_json::Value) -> Option<u64> {
    let v1 = metrics.pointer("/memory/usage/limit");
    v1.or_else(|| metrics.pointer("/memory/usage_limit")).and_then(serde_json::Value::as_u64)
}

#[test]
fn a_task_is_looked_at_entered_paused_and_ended() {
    let containerd = Containerd::start();
    for (name, runtime) in runtimes() {
        let id = unique_id();
        let flags = ["--detach", "--memory-limit", "67108864", "--cpus", "0.5"];
        containerd.run(&runtime, &flags, &id, &["sleep", "1000"]).ok();
        let (pid, state) = containerd.task(&id).unwrap();
        assert_eq!(state, "RUNNING");
        let cgroup = Cgroup::of(pid);
        let quota = if cgroup.is_v2() { "50000 100000" } else { "50000" };
        assert_eq!(cgroup.read("cpu", "cpu.cfs_quota_us", "cpu.max"), quota, "{name}");
        let exec = |exec_id: &str, flags: &[&str], args: &[&str]| {
            let first = ["tasks", "exec", "--exec-id", exec_id];
            containerd.ctr(&[&first, flags, &[id.as_str()], args].concat())
        };
        let who = exec("e1", &["--user", "user", "--cwd", "/tmp"], &["sh", "-c", "pwd; id -u"]);
        assert_eq!(who.ok().stdout, "/tmp\n1000\n", "{name}");
        assert_eq!(exec("e2", &[], &["sh", "-c", "exit 9"]).code, 9, "{name}");
        assert_eq!(exec("e3", &[], &["sh", "-c", "kill -9 $$"]).code, 137, "{name}");
        let missing = exec("e4", &[], &["nonexistent"]);
        assert!(
            missing.stderr.contains("executable file not found in $PATH"),
            "{name}: {missing:?}"
        );
        exec("e5", &["--detach"], &["sleep", "1000"]).ok();

        let processes = containerd.ctr(&["tasks", "ps", &id]).ok().stdout;
        assert!(processes.contains(&pid.to_string()) && processes.contains("e5"), "{processes}");
        assert_eq!(processes.lines().count(), 3, "{name}: {processes}");
        let metrics = containerd.ctr(&["tasks", "metrics", "--format", "json", &id]).ok().json();
        assert_eq!(metrics.pointer("/pids/current"), Some(&json!(2)), "{name}: {metrics}");
        assert_eq!(memory_limit(&metrics), Some(64 << 20), "{name}: {metrics}");

        containerd.ctr(&["tasks", "pause", &id]).ok();
        containerd.wait_for(&id, "PAUSED");
        assert!(exec("e6", &[], &["true"]).stderr.contains("paused"), "{name}");
        containerd.ctr(&["tasks", "resume", &id]).ok();
        containerd.wait_for(&id, "RUNNING");

        containerd.ctr(&["tasks", "kill", "--exec-id", "e5", "--signal", "TERM", &id]).ok();
        containerd.ctr(&["tasks", "kill", "--signal", "KILL", &id]).ok();
        containerd.wait_for(&id, "STOPPED");
        let again = containerd.ctr(&["tasks", "kill", "--signal", "KILL", &id]);
        assert!(again.stderr.contains("process already finished"), "{name}: {again:?}");
        let removed = containerd.ctr(&["tasks", "rm", &id]);
        assert!(removed.stderr.contains("non-zero exit code 137"), "{name}: {removed:?}");
        containerd.ctr(&["containers", "rm", &id]).ok();
        assert_gone(&containerd, &id);
        assert!(!is_alive(pid));
    }
}

#[test]
fn an_out_of_memory_kill_is_an_event() {
    let containerd = Containerd::start();
    let log = containerd.scratch("events");
    let _events = Daemon::start(&mut containerd.command(&["events"]), &log);
    for (name, runtime) in runtimes() {
        let id = unique_id();
        let flags = ["--detach", "--memory-limit", "33554432"];
        containerd.run(&runtime, &flags, &id, &["sh", "-c", OUT_OF_MEMORY]).ok();
        let wanted = format!("/tasks/oom {{\"container_id\":\"{id}\"}}");
        until(&format!("{name}: the event is there"), || {
            fs::read_to_string(&log).unwrap().contains(&wanted)
        });
        containerd.remove(&id);
        assert_gone(&containerd, &id);
    }
}

/// The shim of a container: the process that containerd starts with its name.
fn shim_of(id: &str) -> Option<i32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).collect();
        words[0].ends_with(b"containerd-shim-runc-v2") && words.contains(&id.as_bytes())
    })
}

#[test]
fn nothing_is_left_after_a_killed_shim() {
    let containerd = Containerd::start();
    for (name, runtime) in runtimes() {
        let id = unique_id();
        containerd.run(&runtime, &["--detach"], &id, &["sleep", "1000"]).ok();
        let (pid, _) = containerd.task(&id).unwrap();
        let shim = nix::unistd::Pid::from_raw(shim_of(&id).unwrap());
        nix::sys::signal::kill(shim, nix::sys::signal::Signal::SIGKILL).unwrap();
        until(&format!("{name}: the task is gone"), || containerd.task(&id).is_none());
        until(&format!("{name}: its process is gone"), || !is_alive(pid));
        until(&format!("{name}: its cgroup is gone"), || !has_cgroup(&id));
        containerd.ctr(&["containers", "rm", &id]).ok();
        assert_gone(&containerd, &id);
    }
}

#[test]
fn a_container_goes_on_while_containerd_is_restarted() {
    let mut containerd = Containerd::start();
    for (name, runtime) in runtimes() {
        let id = unique_id();
        containerd.run(&runtime, &["--detach", "--null-io"], &id, &["sleep", "1000"]).ok();
        let before = containerd.task(&id).unwrap();
        containerd.restart();
        assert_eq!(containerd.task(&id), Some(before), "{name}");
        let exec = containerd.ctr(&["tasks", "exec", "--exec-id", "e", &id, "echo", "still here"]);
        assert_eq!(exec.ok().stdout, "still here\n", "{name}");
        containerd.remove(&id);
        assert_gone(&containerd, &id);
    }
}

#[test]
fn a_root_in_a_directory_needs_no_image() {
    let containerd = Containerd::bare(&[]);
    for (name, runtime) in runtimes() {
        let bundle = kickstage_tests::Bundle::new(&["true"]);
        let root = bundle.inside("").display().to_string();
        let id = unique_id();
        let words = run_words(&runtime, &id);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let more = ["--rm", "--rootfs", &root, &id, "/bin/echo", "there"];
        let ended = containerd.ctr(&[&words[..], &more].concat());
        assert_eq!(ended.ok().stdout, "there\n", "{name}");
        assert_gone(&containerd, &id);
    }
}

/// Writes a word that only its memory keeps, and a number that grows.
const COUNTER: &str = "read word < /proc/sys/kernel/random/uuid; n=0; echo $word > /tmp/word; \
    while :; do n=$((n+1)); echo $word $n > /tmp/.now; busybox mv /tmp/.now /tmp/now; \
    busybox sleep 0.05; done";

#[test]
fn a_saved_container_goes_on_as_another() {
    let containerd = Containerd::start();
    if !criu_works() {
        return;
    }
    let now = |id: &str| {
        let exec_id = unique_id();
        let said =
            containerd.ctr(&["tasks", "exec", "--exec-id", &exec_id, id, "cat", "/tmp/now"]).stdout;
        let (word, number) = said.trim().split_once(' ')?;
        Some((word.to_string(), number.parse::<u64>().ok()?))
    };
    for (name, runtime) in runtimes() {
        let (first, second) = (unique_id(), unique_id());
        let flags = ["--detach", "--null-io"];
        containerd.run(&runtime, &flags, &first, &["sh", "-c", COUNTER]).ok();
        until(&format!("{name}: it counts"), || now(&first).is_some());
        let (word, number) = now(&first).unwrap();
        let saved = format!("kickstage.test/{first}");
        let parts = ["--task", "--image", "--rw"];
        containerd
            .ctr(&[&["containers", "checkpoint"], &parts[..], &[&first, &saved]].concat())
            .ok();
        until(&format!("{name}: it goes on"), || {
            now(&first).is_some_and(|(_, seen)| seen > number)
        });
        containerd.remove(&first);
        assert_gone(&containerd, &first);
        containerd.ctr(&["containers", "restore", "--rw", "--live", &second, &saved]).ok();
        until(&format!("{name}: so does the other"), || {
            now(&second).is_some_and(|(_, seen)| seen > number)
        });
        assert_eq!(now(&second).unwrap().0, word, "{name}: its memory is what it was");
        containerd.remove(&second);
        assert_gone(&containerd, &second);
    }
}
