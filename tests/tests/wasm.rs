//! Containers whose program is a WebAssembly module.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::runtime::built;
use kickstage_tests::wasm::{BOX, bundle, mounted, put, shared};
use kickstage_tests::world::{assert_nothing_left, is_alive, wait_until};
use kickstage_tests::{Bundle, Ended, Running, Runtime};
use serde_json::json;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

fn run(bundle: &Bundle) -> Ended {
    Runtime::kickstage().run(bundle)
}

#[test]
fn a_module_gets_arguments_and_environment_and_gives_an_exit_code() {
    let described = run(&bundle(&["describe", "a b", ""])
        .with("/process/env", json!(["A=1", "HOME=/root", "B=x=y"]))
        .with("/process/cwd", json!("/tmp")))
    .ok();
    let expected = "arg /box.wasm\narg describe\narg a b\narg \n\
        env A=1\nenv HOME=/root\nenv B=x=y\nenv PWD=/tmp\n";
    assert_eq!(described.stdout, expected);
    for code in ["0", "7", "255"] {
        assert_eq!(run(&bundle(&["exit", code])).code, code.parse::<i32>().unwrap());
    }
}

#[test]
fn annotations_choose_the_handler_as_in_crun() {
    let native = |annotations| Bundle::new(&["echo", "native"]).with("/annotations", annotations);
    let module = |annotations| bundle(&["exit", "9"]).with("/annotations", annotations);
    for (key, smart, always) in [
        ("run.oci.handler", "wasm-smart", "wasm"),
        ("module.wasm.image/variant", "compat-smart", "compat"),
    ] {
        assert_eq!(run(&native(json!({key: smart}))).ok().stdout, "native\n");
        assert_eq!(run(&module(json!({key: smart}))).code, 9);
        assert_eq!(run(&module(json!({key: always}))).code, 9);
        let refused = run(&native(json!({key: always})));
        assert_eq!(refused.code, 126, "{refused:?}");
        assert!(refused.stderr.contains("no WebAssembly module"), "{refused:?}");
    }
    let sandbox = json!({"run.oci.handler": "wasm", "io.kubernetes.cri.container-type": "sandbox"});
    assert_eq!(run(&native(sandbox)).ok().stdout, "native\n");
}

#[test]
fn other_handlers_are_refused_by_name_and_nothing_is_left() {
    let runtime = Runtime::kickstage();
    for (value, why) in
        [("krun", "virtual machine"), ("nonesuch", "unknown"), ("wasmedge", "not in")]
    {
        let id = unique_id();
        let bundle = bundle(&["exit", "0"]).with("/annotations", json!({"run.oci.handler": value}));
        let refused = runtime.run_as(&id, &bundle);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(
            refused.stderr.contains("(config key /annotations/run.oci.handler)"),
            "{refused:?}"
        );
        assert!(refused.stderr.contains(why) && refused.stderr.contains(value), "{refused:?}");
        assert_nothing_left(&runtime, &id);
        let path = bundle.path().display().to_string();
        let checked = runtime.call(&["check", "--bundle", &path]);
        assert_eq!(checked.code, 1, "{checked:?}");
        assert!(checked.stdout.contains("/annotations/run.oci.handler"), "{checked:?}");
    }
}

#[test]
fn standard_input_and_output_are_the_containers() {
    let runtime = Runtime::kickstage();
    let bundle = bundle(&["cat"]);
    let path = bundle.path().display().to_string();
    let large = "0123456789abcdef".repeat(20_000);
    let file = bundle.inside("input");
    fs::write(&file, &large).unwrap();
    let words = ["run", "--bundle", &path, &unique_id()];
    let copied = runtime.call_with_files("<\"$FILE\"", &file, &words).ok();
    assert_eq!(copied.stdout, large);
    // no terminal here, and one there
    let bundle = self::bundle(&["terminal"]);
    assert_eq!(run(&bundle).ok().stdout, "000\n");
    let terminal = bundle.with("/process/terminal", json!(true));
    assert_eq!(run(&terminal).ok().stdout, "111\r\n");
}

#[test]
fn time_passes_and_input_is_waited_for() {
    let runtime = Runtime::kickstage();
    let bundle = bundle(&["wait", "30"]);
    let path = bundle.path().display().to_string();
    let words = ["run", "--bundle", &path, &unique_id()];
    let input = bundle.inside("etc/passwd");
    assert_eq!(runtime.call_with_files("<\"$FILE\"", &input, &words).ok().stdout, "1 input\n");
}

#[test]
fn the_process_is_confined_as_any_other() {
    let seccomp = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EXDEV}],
    });
    let make = |words| bundle(words).with("/linux/seccomp", seccomp.clone());
    let refused = run(&make(&["mkdir", "/tmp/new"]));
    assert_eq!((refused.code, &*refused.stdout), (1, "/tmp/new: Cross-device link\n"));
    run(&make(&["write", "/tmp/new", "x"])).ok();
    // what the kernel says about it
    let status =
        run(&make(&["read", "/proc/self/status"])
            .with("/process/user", json!({"uid": 7, "gid": 8})))
        .ok()
        .stdout;
    for line in [
        "Pid:\t1",
        "Uid:\t7\t7\t7\t7",
        "Gid:\t8\t8\t8\t8",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "CapBnd:\t0000000020000420",
        "Threads:\t1",
        "SigBlk:\t0000000000000000",
    ] {
        assert!(status.lines().any(|found| found == line), "{line}: {status}");
    }
    // the same through a filter that is loaded while there is still privilege
    let loose = make(&["mkdir", "/tmp/new"]).with("/process/noNewPrivileges", json!(false));
    assert_eq!(run(&loose).stdout, "/tmp/new: Cross-device link\n");
    let limited = bundle(&["write", "/tmp/new", "more than four"])
        .adding("/process/rlimits", json!({"type": "RLIMIT_FSIZE", "soft": 4, "hard": 4}));
    assert_ne!(run(&limited).code, 0);
}

#[test]
fn landlock_holds_for_a_module() {
    let annotations =
        |rule: &str| json!({"run.oci.handler": "wasm", "io.kickstage.landlock": rule});
    let read =
        |path| bundle(&["read", path]).with("/annotations", annotations("read /etc /box.wasm"));
    assert!(run(&read("/etc/passwd")).ok().stdout.contains("root:"));
    let refused = run(&read("/proc/self/status"));
    assert_eq!(refused.stdout, "/proc/self/status: Permission denied\n", "{refused:?}");
}

#[test]
fn without_execveat_in_the_filter_the_error_says_so() {
    let seccomp = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["execveat"], "action": "SCMP_ACT_ERRNO"}],
    });
    let refused = run(&bundle(&["exit", "0"]).with("/linux/seccomp", seccomp));
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("kickstage-wasm: operation not permitted"), "{refused:?}");
    assert!(refused.stderr.contains("allow execveat"), "{refused:?}");
}

#[test]
fn cve_2019_5736_the_handler_is_a_sealed_private_copy() {
    let host = built("kickstage-wasm");
    let before = fs::read(&host).unwrap();
    let running = Running::new(Runtime::kickstage(), bundle(&["pause"]));
    let exe = format!("/proc/{}/exe", running.pid());
    wait_until("it runs", || {
        fs::read_link(&exe)
            .is_ok_and(|link| link.to_string_lossy().starts_with("/memfd:kickstage-wasm"))
    });
    let open = fs::File::open(&exe).unwrap();
    // SAFETY: asks only.
    let seals = unsafe { libc::fcntl(open.as_raw_fd(), libc::F_GET_SEALS) };
    let all = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    assert_eq!(seals & all, all);
    // by root of the container, from inside, once it runs
    let write =
        "for p in /proc/[0-9]*; do (echo x > $p/exe) 2>/dev/null && echo overwritten; done; true";
    assert_eq!(running.exec(&[], &["sh", "-c", write]).ok().stdout, "");
    // nothing of the host is open in it but what it was given
    let fds = running.exec(&[], &["ls", "-l", "/proc/1/fd"]).ok().stdout;
    let targets: Vec<&str> = fds.lines().filter_map(|line| line.split(" -> ").nth(1)).collect();
    assert!(targets.contains(&"/") && targets.iter().all(|to| !to.contains("memfd")), "{fds}");
    assert_eq!(fs::read(host).unwrap(), before);
}

#[test]
fn hooks_and_further_processes_do_not_have_the_handler_open() {
    let dir = shared();
    let list = |name: &str| {
        let script = format!("readlink /proc/self/fd/* > {}/{name}; true", dir.path().display());
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    };
    let hooks = json!({"createRuntime": list("runtime"), "createContainer": list("container"), "poststart": list("post")});
    run(&bundle(&["exit", "0"]).with("/hooks", hooks)).ok();
    for name in ["runtime", "container", "post"] {
        let open = fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(!open.is_empty() && !open.contains("kickstage-wasm"), "{name}: {open}");
    }
}

#[test]
fn a_module_that_is_none_is_told_so() {
    let bad: [(&[u8], &str); 4] = [
        (b"", "no WebAssembly module"),
        (b"#!/bin/sh\necho hello\n", "no WebAssembly module"),
        (b"\0asm\x01\0\0\0garbage", "no valid module"),
        (&BOX[..BOX.len() / 2], "no valid module"),
    ];
    for (bytes, why) in bad {
        let bundle = bundle(&["exit", "0"]);
        put(&bundle, "box.wasm", bytes);
        let refused = run(&bundle);
        assert_eq!(refused.code, 126, "{refused:?}");
        assert!(refused.stderr.starts_with("kickstage-wasm: /box.wasm: "), "{refused:?}");
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
}

#[test]
fn a_module_that_is_not_there_is_an_error_of_create() {
    let runtime = Runtime::kickstage();
    for (name, why) in [
        ("/absent.wasm", "no such file or directory"),
        ("absent.wasm", "executable file not found in $PATH"),
        ("/etc", "permission denied"),
    ] {
        let bundle = bundle(&[]).with("/process/args", json!([name]));
        let path = bundle.path().display().to_string();
        let refused = runtime.call(&["create", "--bundle", &path, &unique_id()]);
        assert!(refused.code == 1 && refused.stderr.contains(why), "{refused:?}");
        assert!(refused.stderr.contains("(config key /process/args)"), "{refused:?}");
    }
    // one that the user may execute and not read
    let bundle = bundle(&["exit", "0"]).with("/process/user", json!({"uid": 7, "gid": 7}));
    fs::set_permissions(bundle.inside("box.wasm"), fs::Permissions::from_mode(0o711)).unwrap();
    assert!(run(&bundle).stderr.contains("permission denied"));
}

#[test]
fn a_module_is_found_in_path() {
    let bundle = bundle(&[]).with("/process/args", json!(["box.wasm", "describe"]));
    fs::rename(bundle.inside("box.wasm"), bundle.inside("bin/box.wasm")).unwrap();
    assert!(run(&bundle).ok().stdout.starts_with("arg /bin/box.wasm\narg describe\n"));
}

#[test]
fn a_trap_is_the_exit_code_of_abort() {
    for (words, why) in [(&["trap"][..], "unreachable"), (&["deep", "100000000"], "trap")] {
        let trapped = run(&bundle(words));
        assert_eq!(trapped.code, 134, "{trapped:?}");
        assert!(trapped.stderr.contains(why), "{trapped:?}");
    }
    assert_eq!(run(&bundle(&["deep", "500"])).ok().stdout, "500\n");
}

#[test]
fn signals_end_a_module_though_it_is_the_first_process() {
    let runtime = Runtime::kickstage();
    let shared_pids = |bundle: Bundle| {
        let mut bundle = bundle;
        let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
        bundle
    };
    for bundle in [bundle(&["pause"]), shared_pids(bundle(&["pause"]))] {
        for (signal, code) in [("TERM", 143), ("INT", 130), ("KILL", 137)] {
            let id = unique_id();
            let path = bundle.path().display().to_string();
            let mut command = runtime.command(&["run", "--bundle", &path, &id]);
            let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
            let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            std::io::BufRead::read_line(&mut said, &mut line).unwrap();
            assert_eq!(line, "waiting\n");
            runtime.call(&["kill", &id, signal]).ok();
            assert_eq!(child.wait().unwrap().code(), Some(code), "{signal}");
            assert_nothing_left(&runtime, &id);
        }
    }
}

#[test]
fn what_exec_starts_is_native_and_its_orphans_are_reaped() {
    let running = Running::new(Runtime::kickstage(), bundle(&["pause"]));
    assert_eq!(running.exec(&[], &["echo", "native"]).ok().stdout, "native\n");
    let refused = running.exec(&[], &["/box.wasm", "exit", "3"]);
    assert_eq!(refused.code, 255, "{refused:?}");
    running.exec(&[], &["sh", "-c", "sleep 0 & exit 0"]).ok();
    wait_until("no zombie is left", || {
        !running.exec(&[], &["sh", "-c", "cat /proc/[0-9]*/stat"]).stdout.contains(") Z ")
    });
    let pid = running.pid();
    assert!(is_alive(pid));
}

#[test]
fn create_and_start_are_two_steps() {
    let runtime = Runtime::kickstage();
    let dir = shared();
    let bundle = mounted(bundle(&["write", "/volume/ran", "x"]), &dir, &["rbind"]);
    let id = runtime.create(&bundle);
    assert_eq!(runtime.state(&id)["status"], "created");
    assert!(!dir.path().join("ran").exists());
    runtime.call(&["start", &id]).ok();
    wait_until("it has ended", || runtime.state(&id)["status"] == "stopped");
    assert_eq!(fs::read_to_string(dir.path().join("ran")).unwrap(), "x");
    runtime.call(&["delete", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn a_monitor_keeps_its_output() {
    let runtime = Runtime::kickstage();
    let (id, bundle) = (unique_id(), bundle(&["describe", "for the log"]));
    let path = bundle.path().display().to_string();
    runtime.call(&["run", "--detach", "--bundle", &path, &id]).ok();
    wait_until("it has ended", || runtime.state(&id)["status"] == "stopped");
    let said = runtime.call(&["logs", &id]).ok().stdout;
    assert!(said.contains("arg for the log\n"), "{said}");
    runtime.call(&["delete", &id]).ok();
}

#[test]
fn the_standalone_programs_have_the_handler_too() {
    let runtime = Runtime::kickstage();
    let bundle = bundle(&["exit", "5"]);
    let path = bundle.path().display().to_string();
    assert_eq!(runtime.call(&["run", "--standalone", "-b", &path, &unique_id()]).code, 5);
}

#[test]
fn preserved_descriptors_keep_their_numbers() {
    let runtime = Runtime::kickstage();
    let bundle = bundle(&["descriptor", "3"]);
    let path = bundle.path().display().to_string();
    let file = bundle.inside("etc/passwd");
    let words = ["run", "--preserve-fds", "1", "--bundle", &path, &unique_id()];
    let read = runtime.call_with_files("3<\"$FILE\"", &file, &words).ok();
    assert_eq!(read.stdout, fs::read_to_string(file).unwrap());
}

#[test]
fn a_handler_that_is_not_installed_is_missed_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let alone = dir.path().join("kickstage");
    fs::copy(built("kickstage"), &alone).unwrap();
    let runtime = Runtime::of(&alone).after("export PATH=/usr/bin:/bin");
    let (id, bundle) = (unique_id(), bundle(&["exit", "0"]));
    let refused = runtime.run_as(&id, &bundle);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("find kickstage-wasm"), "{refused:?}");
    assert_nothing_left(&runtime, &id);
    let path = bundle.path().display().to_string();
    assert!(runtime.call(&["check", "--bundle", &path]).stdout.contains("find kickstage-wasm"));
    // who asks for none misses none
    assert_eq!(runtime.run(&Bundle::new(&["echo", "native"])).ok().stdout, "native\n");
    let features = runtime.call(&["features"]).ok().json();
    assert!(features["annotations"]["io.kickstage.handlers"].is_null());
    let features = Runtime::kickstage().call(&["features"]).ok().json();
    assert_eq!(features["annotations"]["io.kickstage.handlers"], "wasm");
}
