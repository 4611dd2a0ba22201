//! The reference starter around the roles of the library: containers as Apptainer's oci engine
//! makes them. Needs root.

mod starter;

use kickstage_tests::attack::Victim;
use serde_json::{Value, json};
use starter::{Engine, field, wait_until};
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::Command;

#[test]
fn a_container_lives_from_create_to_its_end() {
    let engine = Engine::new(&["sh", "-c", "echo out; echo err >&2; cat; exit 7"])
        .with("/process/oomScoreAdj", json!(321))
        .with("/process/user", json!({"uid": 1000, "gid": 1000}));
    assert_eq!(engine.create().code, 0);
    assert_eq!(engine.state()["status"], "created");
    let again = engine.create();
    assert!(again.code == 255 && again.stderr.contains("already exists"), "{again:?}");
    assert_eq!(engine.ask(&json!({"startContainer": true})), "");
    let state = engine.state();
    assert_eq!(state["status"], "running");
    assert!(state["createdAt"].as_i64() <= state["startedAt"].as_i64());
    let exec = engine.exec(&["sh", "-c", "echo pid $$; cat /proc/self/cgroup; exit 9"]);
    assert_eq!(exec.code, 9, "{exec:?}");
    // the root of the container's cgroup namespace
    assert!(exec.stdout.lines().skip(1).all(|line| line.ends_with(":/")), "{exec:?}");
    // of the same configuration
    let limits = engine.exec(&["sh", "-c", "ulimit -n; cat /proc/self/oom_score_adj"]);
    assert_eq!(limits.stdout, "1024\n321\n");
    let mut visitor = engine.visit();
    visitor.write_all(b"typed\n").unwrap();
    visitor.shutdown(Shutdown::Write).unwrap();
    let mut said = String::new();
    visitor.read_to_string(&mut said).unwrap();
    assert!(said.ends_with("typed\n"), "{said}");
    engine.wait_until_stopped();
    let state = engine.state();
    assert_eq!((&state["exitCode"], &state["status"]), (&json!(7), &json!("stopped")));
    assert!(state["finishedAt"].is_i64());
    let log = engine.log();
    for record in [" stdout F out", " stderr F err", " stdout F typed"] {
        assert!(log.lines().any(|line| line.ends_with(record)), "{record}: {log}");
    }
    engine.assert_no_cgroup_is_left();
}

#[test]
fn with_systemds_cgroups_a_container_is_in_a_unit_that_goes_with_it() {
    if !fs::exists("/run/systemd/system").unwrap() {
        eprintln!("systemd does not run here: see make test-vm");
        return;
    }
    let mut engine = Engine::new(&["sleep", "1000"]);
    engine.extra = json!({"systemdCgroups": true});
    assert_eq!(engine.create().code, 0);
    assert_eq!(engine.ask(&json!({"startContainer": true})), "");
    let pid = engine.state()["pid"].as_i64().unwrap();
    let unit = format!("apptainer-oci-{}.scope", engine.id);
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(own.lines().any(|line| line.ends_with(&format!(":/system.slice/{unit}"))), "{own}");
    let exec = engine.exec(&["cat", "/proc/self/cgroup"]);
    assert!(exec.stdout.lines().all(|line| line.ends_with(":/")), "{exec:?}");
    engine.kill(libc::SIGKILL);
    engine.wait_until_stopped();
    let list = ["list-units", "--all", "--no-legend", &unit];
    wait_until("systemd has forgotten it", || {
        Command::new("systemctl").args(list).output().unwrap().stdout.is_empty()
    });
    // what takes paths has none for systemd
    let mut path = Engine::new(&["true"]).with("/linux/cgroupsPath", json!("/a/b"));
    path.extra = json!({"systemdCgroups": true});
    let refused = path.create();
    assert!(refused.code == 255 && refused.stderr.contains("slice:prefix:name"), "{refused:?}");
}

#[test]
fn the_instance_file_is_what_apptainers_commands_read() {
    let engine = Engine::new(&["sleep", "1000"]);
    assert_eq!(engine.create().code, 0);
    let file = engine.file();
    let keys: Vec<&str> = file.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "checkpoint",
        "cgroup",
        "config",
        "image",
        "ip",
        "logErrPath",
        "logOutPath",
        "name",
        "pid",
        "ppid",
        "sharensMode",
        "user",
        "userns",
    ];
    let mut sorted = expected.to_vec();
    sorted.sort_unstable();
    let mut found = keys.clone();
    found.sort_unstable();
    assert_eq!(found, sorted);
    assert_eq!((&file["name"], &file["user"]), (&json!(engine.id), &json!("root")));
    let pid = engine.state()["pid"].clone();
    assert_eq!(file["pid"], pid);
    let namespaces = &engine.config()["engineConfig"]["ociConfig"]["linux"]["namespaces"];
    for namespace in namespaces.as_array().unwrap() {
        let path = namespace["path"].as_str().unwrap();
        assert!(path.starts_with(&format!("/proc/{pid}/ns/")), "{path}");
        assert!(fs::metadata(path).is_ok(), "{path}");
    }
    // a created container can be killed; the master tells the end
    engine.kill(9);
    engine.wait_until_stopped();
    assert_eq!(engine.state()["startedAt"], Value::Null);
    engine.assert_no_cgroup_is_left();
}

#[test]
fn the_master_pauses_and_resumes_and_gives_up_what_it_can() {
    let engine = Engine::new(&["sh", "-c", "while :; do :; done"]);
    assert_eq!(engine.create().code, 0);
    engine.ask(&json!({"startContainer": true}));
    assert_eq!(engine.ask(&json!({"pause": true})), "");
    assert_eq!(engine.state()["status"], "paused");
    assert_eq!(engine.ask(&json!({"resume": true})), "");
    assert_eq!(engine.state()["status"], "running");
    let master = engine.file()["ppid"].as_i64().unwrap();
    // CAP_KILL and CAP_DAC_OVERRIDE: the program's user, and the cgroups to be removed
    assert_eq!(field(master, "CapEff:"), "0000000000000022");
    assert_eq!(field(master, "CapBnd:"), "0000000000000022");
    assert_eq!((field(master, "NoNewPrivs:"), field(master, "Seccomp:")), ("1".into(), "2".into()));
    let again = engine.ask(&json!({"startContainer": true}));
    assert!(again.contains("cannot start a container that is running"), "{again}");
    engine.kill(9);
    engine.wait_until_stopped();
    assert_eq!(engine.state()["exitCode"], 137);
    assert_eq!(engine.state()["exitDesc"], "killed by signal 9");
}

#[test]
fn the_program_has_what_config_json_says_and_no_more() {
    let script = "grep -E '^(Cap(Eff|Prm|Bnd|Inh|Amb)|NoNewPrivs|Uid|Gid|Groups)' /proc/self/status; \
                  ulimit -n; pwd; hostname; ls /proc/self/fd; cat /proc/self/cgroup | head -1";
    let engine = Engine::new(&["sh", "-c", script])
        .with("/process/user", json!({"uid": 1000, "gid": 100, "additionalGids": [7, 8]}))
        .with("/process/cwd", json!("/tmp"));
    assert_eq!(engine.create().code, 0);
    engine.ask(&json!({"startContainer": true}));
    engine.wait_until_stopped();
    let log = engine.log();
    let said: Vec<&str> =
        log.lines().filter_map(|line| line.split_once(" F ").map(|(_, text)| text)).collect();
    let value = |name: &str| {
        let line = said.iter().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {log}")).trim().to_owned()
    };
    // CAP_SYS_ADMIN, which stage2 needs for the filter, is gone
    assert_eq!(value("CapBnd:"), "0000000020000420");
    assert_eq!(value("CapEff:"), "0000000000000000");
    assert_eq!(value("NoNewPrivs:"), "1");
    assert_eq!(value("Uid:"), "1000\t1000\t1000\t1000");
    assert_eq!(value("Gid:"), "100\t100\t100\t100");
    assert_eq!(value("Groups:"), "7 8");
    for line in ["1024", "/tmp", "box", "0", "1", "2"] {
        assert!(said.contains(&line), "{line}: {log}");
    }
    assert!(!said.contains(&"4") && !said.contains(&"5"), "{log}");
    assert!(said.iter().any(|line| line.ends_with(":/")), "a cgroup namespace: {log}");
}

#[test]
fn a_terminal_is_the_containers_own() {
    let engine = Engine::new(&["sh", "-c", "stty size; read x; echo got $x"])
        .with("/process/terminal", json!(true))
        .with("/process/consoleSize", json!({"height": 12, "width": 34}));
    assert_eq!(engine.create().code, 0);
    assert_eq!(engine.ask(&json!({"consoleSize": {"height": 21, "width": 43}})), "");
    engine.ask(&json!({"startContainer": true}));
    wait_until("it tells its size", || engine.log().contains("21 43"));
    let mut visitor = engine.visit();
    visitor.write_all(b"typed\n").unwrap();
    engine.wait_until_stopped();
    assert!(engine.log().contains("got typed"), "{}", engine.log());
}

#[test]
fn hooks_run_where_and_when_the_specification_says() {
    let engine = Engine::new(&["sh", "-c", "echo program >> /tmp/order"]);
    let order = engine.inside("tmp/order");
    let here = engine.inside("").display().to_string();
    let hook = |moment: &str, root: &str| {
        let script = format!("cat > /dev/null; echo {moment} >> {root}/tmp/order");
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    };
    let engine = engine.with(
        "/hooks",
        json!({
            "prestart": hook("prestart", &here),
            "createRuntime": hook("createRuntime", &here),
            "createContainer": hook("createContainer", &here),
            "startContainer": hook("startContainer", ""),
            "poststart": hook("poststart", &here),
        }),
    );
    assert_eq!(engine.create().code, 0);
    let lines = || fs::read_to_string(&order).unwrap();
    assert_eq!(lines(), "prestart\ncreateRuntime\ncreateContainer\n");
    engine.ask(&json!({"startContainer": true}));
    engine.wait_until_stopped();
    let after: Vec<String> = lines().lines().skip(3).map(String::from).collect();
    assert_eq!(after[0], "startContainer");
    assert!(after.contains(&"program".into()) && after.contains(&"poststart".into()), "{after:?}");
}

#[test]
fn a_user_namespace_is_mapped_by_the_starter() {
    let mappings = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    let engine = Engine::new(&["sh", "-c", "id -u; cat /proc/self/uid_map; exit 3"])
        .adding("/linux/namespaces", json!({"type": "user"}))
        .with("/linux/uidMappings", mappings.clone())
        .with("/linux/gidMappings", mappings);
    engine.give_to(100_000);
    let created = engine.create();
    assert_eq!(created.code, 0, "{created:?}");
    assert_eq!(engine.file()["userns"], true);
    engine.ask(&json!({"startContainer": true}));
    engine.wait_until_stopped();
    let log = engine.log();
    assert!(log.contains(" F 0\n"), "{log}");
    assert!(log.contains("100000"), "{log}");
    assert_eq!(engine.state()["exitCode"], 3);
}

#[test]
fn what_can_not_be_done_is_told_and_leaves_nothing() {
    let unknown = json!(["CAP_SURE_THING"]);
    // what the starter's conversations have no words for
    let no_words = "not through a C starter";
    let agent = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent", "syscalls":
        [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]});
    for (pointer, value, words) in [
        ("/process/args", json!(["/no/such"]), "/no/such"),
        ("/process/capabilities/bounding", unknown, "CAP_SURE_THING"),
        ("/process/cwd", json!("relative"), "/process/cwd"),
        ("/linux/namespaces", json!([{"type": "mount"}, {"type": "mount"}]), "second mount"),
        ("/root/path", json!("/no/such/root"), "/root/path"),
        ("/annotations", json!({"run.oci.handler": "wasm"}), no_words),
        ("/linux/netDevices", json!({"lo": {}}), no_words),
        (
            "/linux/namespaces",
            json!([{"type": "mount"}, {"type": "uts"}, {"type": "time"}]),
            no_words,
        ),
        ("/linux/seccomp", agent, no_words),
    ] {
        let engine = Engine::new(&["true"]).with(pointer, value);
        let failed = engine.create();
        assert_eq!(failed.code, 255, "{pointer}: {failed:?}");
        assert!(failed.stderr.contains(words), "{pointer}: {failed:?}");
        assert!(!engine.dir().exists(), "{pointer}");
        engine.assert_no_cgroup_is_left();
    }
    for bad in ["..", "a/b", "a b", ""] {
        let mut engine = Engine::new(&["true"]);
        engine.id = bad.into();
        let failed = engine.create();
        assert!(failed.code == 255 && failed.stderr.contains("invalid container ID"), "{failed:?}");
    }
}

#[test]
fn an_exec_where_no_mount_namespace_leads_to_the_containers_root_is_refused() {
    let namespaces = json!([{"type": "pid"}, {"type": "uts"}]);
    let engine = Engine::new(&["sleep", "1000"])
        .with("/linux/namespaces", namespaces)
        .with("/linux/maskedPaths", json!([]))
        .with("/linux/readonlyPaths", json!([]))
        .with("/mounts", json!([]));
    let created = engine.create();
    assert_eq!(created.code, 0, "{created:?}");
    let refused = engine.exec(&["true"]);
    assert!(refused.code == 255 && refused.stderr.contains("/linux/namespaces"), "{refused:?}");
    engine.kill(9);
    engine.wait_until_stopped();
}

#[test]
fn a_container_without_a_program_only_waits() {
    let mut engine = Engine::new(&["true"]);
    engine.extra = json!({"emptyProcess": true});
    assert_eq!(engine.create().code, 0);
    engine.ask(&json!({"startContainer": true}));
    assert_eq!(engine.state()["status"], "running");
    assert_eq!(engine.exec(&["echo", "inside"]).stdout, "inside\n");
    engine.kill(15);
    engine.wait_until_stopped();
    assert_eq!(engine.state()["exitCode"], 0);
}

#[test]
fn the_roles_refuse_what_is_no_configuration() {
    for (json, words) in [
        ("{", "EOF"),
        (r#"{"engineName":"apptainer"}"#, "is not ours"),
        (r#"{"engineName":"oci","containerID":"x","engineConfig":{}}"#, "ociConfig"),
        (
            r#"{"engineName":"oci","containerID":"x","engineConfig":{"ociConfig":{"ociVersion":"1.0.2"}}}"#,
            "/linux",
        ),
    ] {
        let failed = starter::run(json);
        assert!(failed.code == 255 && failed.stderr.contains(words), "{json}: {failed:?}");
    }
}

#[test]
fn fifty_containers_with_visitors_coming_and_going() {
    let engines: Vec<Engine> =
        (0..50).map(|_| Engine::new(&["sh", "-c", "while read x; do echo $x; done"])).collect();
    for engine in &engines {
        assert_eq!(engine.create().code, 0);
        engine.ask(&json!({"startContainer": true}));
    }
    for round in 0..5 {
        for engine in &engines {
            let mut visitor = engine.visit();
            writeln!(visitor, "round {round}").unwrap();
            if round % 2 == 0 {
                let mut answer = [0; 8];
                visitor.read_exact(&mut answer).unwrap();
                assert_eq!(answer, format!("round {round}\n").as_bytes());
            }
        }
    }
    for engine in &engines {
        engine.kill(9);
        engine.wait_until_stopped();
        engine.assert_no_cgroup_is_left();
    }
}

#[test]
fn cve_2019_5736_no_process_in_the_container_leads_to_the_hosts_file() {
    let engine = Engine::new(&["true"]);
    assert_eq!(engine.create().code, 0);
    let exe = format!("/proc/{}/exe", engine.state()["pid"]);
    let link = fs::read_link(&exe).unwrap();
    assert!(link.to_string_lossy().starts_with("/memfd:"), "{link:?}");
    let exe = fs::File::open(exe).unwrap();
    // SAFETY: asks only.
    let seals = unsafe { libc::fcntl(exe.as_raw_fd(), libc::F_GET_SEALS) };
    let all = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    assert_eq!(seals & all, all);
    engine.kill(9);
    engine.wait_until_stopped();
}

#[test]
fn cve_2024_21626_what_the_starter_has_open_leads_no_program_out_of_the_root() {
    let running = Engine::new(&["sleep", "1000"]);
    assert_eq!(running.create().code, 0);
    for number in 3..20 {
        // the bundle, if that is open
        let outside = format!("/proc/self/fd/{number}/rootfs/bin/echo");
        let engine = Engine::new(&[&outside]);
        for ended in [engine.create(), running.exec(&[&outside])] {
            assert!(ended.code != 0 && ended.stderr.contains("/process/args"), "{ended:?}");
        }
        let script = running.inside("bin/way");
        fs::write(&script, format!("#!{outside}\n")).unwrap();
        fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        let ended = running.exec(&["/bin/way"]);
        assert!(ended.code != 0 && ended.stdout.is_empty(), "{ended:?}");
    }
    running.kill(9);
    running.wait_until_stopped();
}

#[test]
fn cve_2019_11328_an_instance_directory_that_others_could_write_is_not_used() {
    let victim = Victim::new();
    let refused = |engine: &Engine, why: &str| {
        let failed = engine.create();
        assert!(failed.code == 255 && failed.stderr.contains(why), "{failed:?}");
        engine.assert_no_cgroup_is_left();
    };
    let engine = Engine::new(&["true"]);
    fs::create_dir_all(engine.dir()).unwrap();
    fs::write(engine.dir().join("planted"), "").unwrap();
    for (owner, mode, why) in
        [(1000, 0o700, "another user"), (0, 0o770, "others may"), (0, 0o707, "others may")]
    {
        chown(engine.dir(), Some(owner), None).unwrap();
        fs::set_permissions(engine.dir(), PermissionsExt::from_mode(mode)).unwrap();
        refused(&engine, why);
        let names: Vec<_> = fs::read_dir(engine.dir()).unwrap().flatten().collect();
        assert_eq!(names.len(), 1, "something was made or removed: {names:?}");
    }
    fs::remove_dir_all(engine.dir()).unwrap();
    symlink(victim.path(), engine.dir()).unwrap();
    refused(&engine, "directory");
    fs::remove_file(engine.dir()).unwrap();
    victim.is_unharmed();
    assert_eq!(engine.create().code, 0);
    assert_eq!(fs::metadata(engine.dir()).unwrap().mode() & 0o777, 0o700);
    engine.kill(9);
    engine.wait_until_stopped();
}

#[test]
fn ghsa_mmx5_no_configuration_makes_the_engine_touch_a_directory_of_its_choice() {
    let victim = Victim::new();
    let path = victim.path().display().to_string();
    // a failure after the directory is made removes it with all that is in it
    let up = "../".repeat(12);
    for id in [path.clone(), format!("{up}{path}"), format!("x/{up}{path}"), format!("..{path}")] {
        let mut engine = Engine::new(&["/no/such"]);
        engine.id = id;
        let failed = engine.create();
        assert!(failed.code == 255 && failed.stderr.contains("invalid container ID"), "{failed:?}");
        victim.is_unharmed();
    }
    // what only the engine itself fills in
    let file = victim.file();
    let mut engine = Engine::new(&["true"]).with("/process/user", json!({"uid": 1000, "gid": 7}));
    engine.extra = json!({
        "masterPts": 0, "slavePts": 1, "inputStreams": [1, 2], "outputStreams": [2, 1],
        "errorStreams": [1_000_000, -1],
        "state": {
            "ociVersion": "1.0.2", "id": path, "status": "running", "pid": 1, "bundle": path,
            "attachSocket": file, "controlSocket": file,
        },
    });
    assert_eq!(engine.create().code, 0);
    assert_ne!(engine.state()["pid"], 1);
    engine.ask(&json!({"startContainer": true}));
    engine.wait_until_stopped();
    assert_eq!(engine.state()["exitCode"], 0);
    victim.is_unharmed();
}
