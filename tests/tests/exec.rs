//! Further programs in a running container.

use kickstage_tests::world::{assert_nothing_left, is_alive, wait_until};
use kickstage_tests::{Bundle, Running, Runtime};
use serde_json::{Value, json};
use std::fs;

#[test]
fn the_exit_code_is_the_programs_and_ours_is_255() {
    let running = Running::sleeping();
    assert_eq!(running.exec(&[], &["sh", "-c", "exit 7"]).code, 7);
    assert_eq!(running.exec(&[], &["sh", "-c", "kill -9 $$"]).code, 137);
    let failed = running.exec(&[], &["nope"]);
    assert_eq!(failed.code, 255, "{failed:?}");
    assert!(failed.stderr.contains("executable file not found in $PATH"), "{failed:?}");
    for wrong in [&["--user", "root"][..], &["--cap", "CAP_NOPE"], &["--cwd", "relative"]] {
        assert_eq!(running.exec(wrong, &["true"]).code, 255, "{wrong:?}");
    }
}

#[test]
fn a_stopped_container_takes_no_program() {
    let running = Running::new(Runtime::kickstage(), Bundle::new(&["true"]));
    wait_until("it has ended", || running.runtime.state(&running.id)["status"] == "stopped");
    let failed = running.exec(&[], &["true"]);
    assert!(failed.stderr.contains("cannot exec in a stopped container"), "{failed:?}");
    assert_eq!(failed.code, 255);
}

#[test]
fn flags_change_what_the_program_gets() {
    let running = Running::sleeping();
    let flags = [
        "-u",
        "1000:50",
        "-g",
        "7",
        "--additional-gids",
        "8",
        "-e",
        "A=1",
        "--env",
        "B=2",
        "--cwd",
        "/tmp",
        "--cap",
        "CAP_CHOWN",
        "--no-new-privs",
    ];
    let seen = running.exec(&flags, &["probe"]).ok().json();
    let status = &seen["status"];
    assert_eq!(status["Uid"], "1000\t1000\t1000\t1000");
    assert_eq!(status["Gid"], "50\t50\t50\t50");
    assert_eq!(status["Groups"], "7 8");
    assert_eq!((&seen["cwd"], &status["NoNewPrivs"]), (&json!("/tmp"), &json!("1")));
    assert!(status["CapBnd"].as_str().unwrap().ends_with('1'), "{status}");
    let env = seen["env"].as_array().unwrap();
    assert!(env.contains(&json!("A=1")) && env.contains(&json!("B=2")), "{env:?}");
    assert!(env.contains(&json!("HOME=/home/user")), "{env:?}");
}

#[test]
fn a_whole_process_comes_from_a_file() {
    let running = Running::sleeping();
    let file = running.bundle.inside("../process.json");
    let process = json!({
        "args": ["probe", "a", "b"], "cwd": "/root", "env": ["ONLY=this"],
        "user": {"uid": 3, "gid": 4, "additionalGids": [5]},
    });
    fs::write(&file, process.to_string()).unwrap();
    let seen = running.exec(&["--process", file.to_str().unwrap()], &[]).ok().json();
    assert_eq!(seen["args"], json!(["probe", "a", "b"]));
    assert_eq!(seen["status"]["Groups"], "5");
    assert_eq!(seen["env"], json!(["HOME=/", "ONLY=this"]));
}

/// What a process file says, in the directory above the root.
fn process_file(running: &Running, process: &Value) -> String {
    let file = running.bundle.inside("../process.json");
    fs::write(&file, process.to_string()).unwrap();
    file.to_str().unwrap().to_string()
}

#[test]
fn what_a_process_file_leaves_out_is_limited_and_confined_as_the_containers_own() {
    let bundle = || {
        Bundle::new(&["sleep", "1000"])
            .with("/process/oomScoreAdj", json!(123))
            .with("/process/user", json!({"uid": 0, "gid": 0, "umask": 0o77}))
            .with("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128}]))
    };
    let seen = |runtime| {
        let running = Running::new(runtime, bundle());
        let script = "grep ^Cap /proc/self/status; cat /proc/self/oom_score_adj; ulimit -Sn; ulimit -Hn; umask";
        let process = json!({
            "args": ["sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0},
        });
        running.exec(&["--process", &process_file(&running, &process)], &[]).ok().stdout
    };
    let ours = seen(Runtime::kickstage());
    let (of_both, newer) = ours.split_once("\n123\n").unwrap();
    assert_eq!(newer, "64\n128\n0077\n");
    // Debian's runc leaves limits and umask to the caller
    let theirs = seen(Runtime::of("runc").without_hybrid());
    assert_eq!(theirs.split_once("\n123\n").unwrap().0, of_both);
}

#[test]
fn an_id_that_leaves_the_engines_own_is_refused_in_a_process_file() {
    let running = Running::sleeping();
    for (user, key) in [
        (json!({"uid": u32::MAX, "gid": 5}), "/process/user/uid"),
        (json!({"uid": 5, "gid": u32::MAX}), "/process/user/gid"),
        (
            json!({"uid": 5, "gid": 5, "additionalGids": [u32::MAX]}),
            "/process/user/additionalGids/0",
        ),
    ] {
        let process = json!({"args": ["id"], "cwd": "/", "env": ["PATH=/bin"], "user": user});
        let failed = running.exec(&["--process", &process_file(&running, &process)], &[]);
        assert!(failed.code == 255 && failed.stderr.contains(key), "{failed:?}");
    }
}

#[test]
fn what_becomes_of_config_json_after_create_does_not_matter() {
    let running = Running::sleeping();
    let seen = || {
        let seen = running.exec(
            &[],
            &["busybox", "grep", "-E", "^(Cap|NoNewPrivs|Seccomp:)", "/proc/self/status"],
        );
        seen.ok().stdout
    };
    let before = seen();
    let file = running.bundle.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let all = json!(["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_KILL"]);
    config["process"]["capabilities"] =
        json!({"bounding": all, "effective": all, "permitted": all});
    config["process"]["noNewPrivileges"] = json!(false);
    config["linux"].as_object_mut().unwrap().remove("seccomp");
    fs::write(&file, config.to_string()).unwrap();
    assert_eq!(seen(), before);
    fs::remove_file(&file).unwrap();
    assert_eq!(seen(), before);
}

#[test]
fn of_variables_with_one_name_the_last_holds() {
    let bundle = Bundle::new(&["sleep", "1000"])
        .with("/process/env", json!(["PATH=/bin", "A=1", "A=2", "B=1"]));
    let running = Running::new(Runtime::kickstage(), bundle);
    let seen = running.exec(&["--env", "B=2", "--env", "B=3"], &["busybox", "env"]).ok().stdout;
    let mut seen: Vec<&str> = seen.lines().filter(|line| line[..2].ends_with('=')).collect();
    seen.sort_unstable();
    assert_eq!(seen, ["A=2", "B=3"]);
}

/// What an exec sees, without what is another's business.
fn seen(runtime: Runtime, bundle: Bundle, flags: &[&str]) -> Value {
    let running = Running::new(runtime, bundle);
    let mut seen = running.exec(flags, &["probe"]).ok().json();
    let all = seen.as_object_mut().unwrap();
    for other in ["mounts", "dev"] {
        all.remove(other);
    }
    // the number is any, as long as it is in the container's namespace
    let pids = all["status"]["NSpid"].take();
    assert!(
        pids.as_str().unwrap().parse::<u32>().is_ok_and(|pid| (2..60).contains(&pid)),
        "{pids}"
    );
    all["status"]["SigIgn"].take();
    seen
}

#[test]
fn it_sees_what_it_sees_under_runc() {
    let bundle = || {
        Bundle::new(&["sleep", "1000"])
            .with("/process/oomScoreAdj", json!(123))
            .with("/process/user", json!({"uid": 0, "gid": 0, "additionalGids": [9]}))
    };
    for flags in [&[][..], &["--user", "1000:1000"], &["--cwd", "/tmp", "-e", "X=y"]] {
        let ours = seen(Runtime::kickstage(), bundle(), flags);
        let theirs = seen(Runtime::of("runc").without_hybrid(), bundle(), flags);
        for (key, value) in ours.as_object().unwrap() {
            assert_eq!(value, &theirs[key], "{key} with {flags:?}");
        }
    }
}

#[test]
fn it_is_in_every_namespace_and_cgroup_of_the_container() {
    let running = Running::sleeping();
    let pid_file = running.bundle.inside("../exec.pid");
    let flags = ["--detach", "--pid-file", pid_file.to_str().unwrap()];
    let mut command =
        running.runtime.command(&[&["exec"][..], &flags, &[&running.id, "sleep", "1000"]].concat());
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    assert!(command.status().unwrap().success());
    let pid: i64 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    let first = running.runtime.state(&running.id)["pid"].as_i64().unwrap();
    for kind in ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user", "time"] {
        let of = |pid| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert_eq!(of(pid), of(first), "{kind}");
    }
    let cgroups = |pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(cgroups(pid), cgroups(first));
    let (runtime, id) = (&running.runtime, &running.id);
    runtime.call(&["delete", "--force", id]).ok();
    wait_until("the program has ended with the container", || !is_alive(pid));
    assert_nothing_left(runtime, id);
}

#[test]
fn the_containers_filter_holds_for_it_too() {
    let profile: Value =
        serde_json::from_str(include_str!("../fixtures/docker-seccomp.json")).unwrap();
    let bundle = Bundle::new(&["sleep", "1000"]).with("/linux/seccomp", profile);
    let running = Running::new(Runtime::kickstage(), bundle);
    let denied = running.exec(&[], &["busybox", "swapoff", "/nowhere"]);
    assert!(denied.stderr.contains("Operation not permitted"), "{denied:?}");
    assert_eq!(running.exec(&[], &["probe"]).ok().json()["status"]["Seccomp"], "2");
}

#[test]
fn cve_2024_21626_no_descriptor_of_the_host_reaches_it() {
    let running = Running::sleeping();
    let seen = running.exec(&[], &["probe"]).ok().json();
    assert_eq!(seen["fds"], json!([0, 1, 2]));
    for number in 3..20 {
        let escape = format!("/proc/self/fd/{number}");
        assert_eq!(running.exec(&["--cwd", &escape], &["true"]).code, 255, "{escape}");
    }
}

#[test]
fn two_hundred_at_once_all_succeed() {
    let running = Running::sleeping();
    std::thread::scope(|scope| {
        for start in 0..20 {
            let running = &running;
            scope.spawn(move || {
                for number in 0..10 {
                    let code = (start * 10 + number) % 200;
                    let ended = running.exec(&[], &["sh", "-c", &format!("exit {code}")]);
                    assert_eq!(ended.code, code, "{ended:?}");
                }
            });
        }
    });
}

#[test]
fn a_terminal_is_passed_through() {
    let running = Running::sleeping();
    let (program, root) = (running.runtime.program(), running.runtime.root());
    let line = format!(
        "{} --root {} exec -t {} sh -c 'tty; stty size'",
        program.display(),
        root.display(),
        running.id
    );
    let ended = std::process::Command::new("script")
        .args(["-qec", &format!("stty rows 33 cols 44; {line}"), "/dev/null"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ended.stdout);
    assert!(text.contains("/dev/pts/0") && text.contains("33 44"), "{text}");
}

#[test]
fn an_exec_is_in_the_containers_root_also_where_no_mount_namespace_leads_there() {
    let none = json!([]);
    let mut bundle = Bundle::new(&["sleep", "1000"]).with("/mounts", none.clone());
    for key in ["maskedPaths", "readonlyPaths", "devices"] {
        bundle = bundle.with(&format!("/linux/{key}"), none.clone());
    }
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "mount");
    let running = Running::new(Runtime::kickstage(), bundle);
    fs::write(running.bundle.inside("own"), "container\n").unwrap();
    assert_eq!(running.exec(&[], &["cat", "/own"]).ok().stdout, "container\n");
    let outside = running.bundle.inside("own").display().to_string();
    assert_eq!(running.exec(&[], &["cat", &outside]).code, 1);
    assert_eq!(running.exec(&["--cwd", "/.."], &["cat", "own"]).ok().stdout, "container\n");
}

#[test]
fn a_container_without_namespaces_of_its_own_is_entered_too() {
    let mut bundle = Bundle::new(&["sleep", "1000"]).with("/hostname", json!(""));
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] == "mount");
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["type"] != "sysfs");
    let running = Running::new(Runtime::kickstage(), bundle);
    assert!(running.exec(&[], &["cat", "/etc/passwd"]).ok().stdout.contains("/home/user"));
}
