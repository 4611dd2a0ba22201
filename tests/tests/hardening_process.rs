//! What a process takes with it into the container, and what it can be made to become. Each test
//! has the number of the lesson in its name, and fails without the defence.

use kickstage_tests::attack::Victim;
use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::{cgroup_value, wait_until};
use kickstage_tests::{Bundle, Ended, Running, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;

fn run(bundle: &Bundle) -> Ended {
    Runtime::kickstage().run(bundle)
}

/// Whether memory files differ in who may execute them (memfd_create(2), `MFD_EXEC`).
fn has_executable_memory_files() -> bool {
    // SAFETY: the name ends with a NUL.
    let fd = unsafe { libc::memfd_create(c"x".as_ptr(), libc::MFD_EXEC | libc::MFD_CLOEXEC) };
    // SAFETY: the descriptor is new and nobody else's.
    fd >= 0 && unsafe { libc::close(fd) } == 0
}

/// What a process of ours in a container may run from: a small sealed memory file.
#[track_caller]
fn is_sealed_and_small(pid: &str) {
    let path = format!("/proc/{pid}/exe");
    let link = fs::read_link(&path).unwrap();
    assert!(
        link.to_string_lossy().starts_with("/memfd:"),
        "pages are shared with {}",
        link.display()
    );
    let exe = fs::File::open(&path).unwrap();
    // SAFETY: asks only.
    let seals = unsafe { libc::fcntl(exe.as_raw_fd(), libc::F_GET_SEALS) };
    let all = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    assert_eq!(seals & all, all);
    // the kernel knows this one since 6.3, like the flag that asks for a memory file of the kind
    let of_mode = seals & libc::F_SEAL_EXEC != 0;
    assert_eq!(of_mode, has_executable_memory_files(), "who may execute it can be changed");
    let size = exe.metadata().unwrap().len();
    assert!(size < 512 << 10, "a copy for each container has to be cheap: {size} bytes");
}

/// The processes in the cgroup that is frozen with a process.
fn members(pid: i64) -> Vec<i64> {
    let procs = cgroup_value(pid, "freezer", "cgroup.procs", "cgroup.procs");
    procs.lines().map(|line| line.parse().unwrap()).collect()
}

/// An exec that is stopped on its way: a frozen cgroup holds it as soon as it enters. `look` gets
/// the process.
fn with_stopped_exec(running: &Running, look: impl FnOnce(&str)) {
    let (runtime, id) = (&running.runtime, &running.id);
    let first = running.pid();
    runtime.call(&["pause", id]).ok();
    let words = running.exec_words(&["--ignore-paused"], &["true"]);
    let mut exec = runtime.bare(&words).spawn().unwrap();
    wait_until("it is in the cgroup", || members(first).len() == 2);
    let second = members(first).into_iter().find(|pid| *pid != first).unwrap();
    look(&second.to_string());
    runtime.call(&["resume", id]).ok();
    assert!(exec.wait().unwrap().success());
}

#[test]
fn cve_2019_5736_and_runc_5272_the_engine_in_a_container_is_a_sealed_private_copy() {
    let runtime = Runtime::kickstage();
    let before = fs::read(runtime.program()).unwrap();
    let id = runtime.create(&Bundle::new(&["true"]));
    is_sealed_and_small(&runtime.state(&id)["pid"].to_string());
    runtime.call(&["delete", "--force", &id]).ok();
    with_stopped_exec(&Running::sleeping(), is_sealed_and_small);
    // the attack itself: the program is the engine, opened through its own process
    let bundle = Bundle::new(&["/bin/attack"]);
    fs::write(bundle.inside("bin/attack"), "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(
        bundle.inside("bin/attack"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    run(&bundle);
    let writes =
        "for p in /proc/[0-9]*; do (echo x > $p/exe) 2>/dev/null && echo overwritten; done; true";
    let sleeper = Bundle::new(&["sleep", "100"]);
    let id = runtime.start(&sleeper);
    assert_eq!(runtime.call(&["exec", &id, "sh", "-c", writes]).stdout, "");
    runtime.call(&["delete", "--force", &id]).ok();
    assert_eq!(fs::read(runtime.program()).unwrap(), before);
}

#[test]
fn cve_2021_43784_large_values_arrive_whole() {
    let large = "x".repeat(70_000);
    let maps: Vec<Value> = (0..300)
        .map(|n| json!({"containerID": n * 2, "hostID": 100_000 + n * 2, "size": 2}))
        .collect();
    let mut bundle = Bundle::script("echo ${#BIG}; busybox wc -l < /proc/self/gid_map")
        .adding("/process/env", json!(format!("BIG={large}")))
        .with("/annotations", json!({"big": large}))
        .with("/linux/uidMappings", json!(maps))
        .with("/linux/gidMappings", json!(maps))
        .adding("/linux/namespaces", json!({"type": "user"}));
    bundle = bundle.without_mount("/dev/mqueue");
    fs::set_permissions(bundle.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    assert_eq!(run(&bundle).ok().stdout, "70000\n300\n");
    let runtime = Runtime::kickstage();
    let id = runtime.create(&Bundle::script("true").with("/annotations", json!({"big": large})));
    assert_eq!(runtime.state(&id)["annotations"]["big"], json!(large));
    runtime.call(&["delete", "--force", &id]).ok();
    let env = format!("BIG={large}");
    let counted = Running::sleeping().exec(&["--env", &env], &["sh", "-c", "echo ${#BIG}"]);
    assert_eq!(counted.ok().stdout, "70000\n");
}

#[test]
fn cve_2022_29162_and_2022_27650_nothing_is_inheritable_unless_asked() {
    let inheritable = ["busybox", "grep", "CapInh", "/proc/self/status"];
    let none = "CapInh:\t0000000000000000\n";
    assert_eq!(run(&Bundle::new(&inheritable)).ok().stdout, none);
    let runtime = Runtime::kickstage();
    let sleeper = Bundle::new(&["sleep", "100"]);
    let id = runtime.start(&sleeper);
    for flags in [&[][..], &["--cap", "CAP_SYS_ADMIN"]] {
        let words = [&["exec"], flags, &[&*id], &inheritable].concat();
        assert_eq!(runtime.call(&words).ok().stdout, none);
    }
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn cve_2024_21626_no_descriptor_leads_out_of_the_root() {
    for number in 3..20 {
        let cwd = format!("/proc/self/fd/{number}");
        let ended = run(&Bundle::script("busybox ls").with("/process/cwd", json!(cwd)));
        assert!(ended.code == 1 && ended.stdout.is_empty(), "{cwd}: {ended:?}");
    }
    let seen = run(&Bundle::new(&["probe"])).ok().json();
    assert_eq!(seen["fds"], json!([0, 1, 2]));
}

#[test]
fn cve_2024_21626_the_hosts_procfs_leads_no_program_of_a_labelled_exec_out() {
    // where AppArmor does not run the profile is refused, but only after the program is found
    let enabled = "mount -t tmpfs tmpfs /sys/module && mkdir -p /sys/module/apparmor/parameters \
                   && echo Y >/sys/module/apparmor/parameters/enabled";
    let bundle = Bundle::new(&["sleep", "1000"]);
    let running = Running::new(Runtime::kickstage().after(enabled), bundle);
    for number in 3..20 {
        let program = format!("/proc/self/fd/{number}/self/root/bin/true");
        let ended = running.exec(&["--apparmor", "unconfined"], &[&program]);
        assert!(ended.code == 255 && ended.stderr.contains("/process/args"), "{ended:?}");
    }
}

#[test]
fn cve_2024_21626_a_directory_of_the_host_that_is_passed_on_is_no_way_out() {
    let victim = Victim::new();
    let (runtime, running) = (Runtime::kickstage(), Running::sleeping());
    for cwd in
        ["/proc/self/fd/3", "/proc/thread-self/fd/3", "/way/out", "/proc/self/cwd/../../fd/3"]
    {
        let bundle = Bundle::new(&["cat", "file"]).with("/process/cwd", json!(cwd));
        let links = [bundle.inside("way"), running.bundle.inside("way")];
        for link in links {
            let _ = fs::create_dir(&link);
            let _ = std::os::unix::fs::symlink("/proc/self/fd/3", link.join("out"));
        }
        let (path, id) = (bundle.path().display().to_string(), unique_id());
        for words in [
            &["run", "--preserve-fds", "1", "-b", &path, &id][..],
            &running.exec_words(&["--preserve-fds", "1", "--cwd", cwd], &["cat", "file"]),
        ] {
            let ended = runtime_of(words, &runtime, &running).call_with_files(
                "3<\"$FILE\"",
                victim.path(),
                words,
            );
            assert!(ended.code != 0 && ended.stdout.is_empty(), "{words:?}: {ended:?}");
            assert!(ended.stderr.contains("/process/cwd"), "{words:?}: {ended:?}");
        }
    }
}

/// The one whose state directory has what a command line is about.
fn runtime_of<'a>(words: &[&str], one: &'a Runtime, running: &'a Running) -> &'a Runtime {
    if words[0] == "exec" { &running.runtime } else { one }
}

#[test]
fn cve_2024_21626_a_directory_that_was_moved_out_of_its_volume_is_no_working_directory() {
    let base = tempfile::tempdir().unwrap();
    let (inside, outside) = (base.path().join("volume/dir"), base.path().join("outside"));
    fs::create_dir_all(&inside).unwrap();
    let volume = json!({"destination": "/v", "type": "bind", "source": base.path().join("volume"), "options": ["bind"]});
    let bundle = Bundle::new(&["sleep", "1000"]).adding("/mounts", volume);
    let running = Running::new(Runtime::kickstage(), bundle.with("/process/cwd", json!("/v/dir")));
    assert_eq!(running.exec(&["--cwd", "/proc/1/cwd"], &["true"]).code, 0);
    fs::rename(&inside, &outside).unwrap();
    for cwd in ["/proc/1/cwd", "/v/dir"] {
        let ended = running.exec(&["--cwd", cwd], &["true"]);
        assert!(ended.code == 255 && ended.stderr.contains("/process/cwd"), "{cwd}: {ended:?}");
    }
}

#[test]
fn cve_2024_21626_what_the_caller_leaves_open_goes_no_further_than_it_says() {
    let victim = Victim::new();
    let running = Running::sleeping();
    let leaks = "3<\"$FILE\" 4<\"$FILE\" 5<\"$FILE\" 9<\"$FILE\"";
    let path = Bundle::new(&["probe"]);
    let bundle = path.path().display().to_string();
    for (preserved, expected) in [("0", json!([0, 1, 2])), ("2", json!([0, 1, 2, 3, 4]))] {
        let id = unique_id();
        for words in [
            &["run", "--preserve-fds", preserved, "-b", &bundle, &id][..],
            &running.exec_words(&["--preserve-fds", preserved], &["probe"]),
        ] {
            let ended = running.runtime.call_with_files(leaks, victim.path(), words);
            assert_eq!(ended.ok().json()["fds"], expected, "{words:?}");
        }
    }
}

#[test]
fn cve_2024_21626_a_container_that_waits_for_its_start_holds_no_file_of_the_host() {
    let runtime = Runtime::kickstage();
    let id = runtime.create(&Bundle::new(&["true"]));
    let pid = runtime.state(&id)["pid"].clone();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
        let link = fs::read_link(entry.path()).unwrap();
        let found = fs::metadata(entry.path()).unwrap();
        let number: u32 = entry.file_name().to_str().unwrap().parse().unwrap();
        let memory = link.to_string_lossy().starts_with("/memfd:");
        let harmless = memory || found.file_type().is_fifo() || found.file_type().is_socket();
        assert!(number < 3 || harmless, "{number} is {link:?}");
    }
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn a_container_process_of_ours_can_not_be_inspected_by_its_equals() {
    let none = json!([]);
    let sets = json!({"bounding": none, "effective": none, "permitted": none, "inheritable": none, "ambient": none});
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "100"]).with("/process/capabilities", sets);
    let id = runtime.create(&bundle);
    let exe = format!("/proc/{}/exe", runtime.state(&id)["pid"]);
    // another process of the same user that has no capability either
    let look = || {
        let words = ["--bounding-set=-all", "--inh-caps=-all", "readlink", &exe];
        std::process::Command::new("setpriv").args(words).output().unwrap().status.success()
    };
    assert!(!look(), "it may be looked into before it has become the program");
    runtime.call(&["start", &id]).ok();
    wait_until("the program runs, which is the user's", look);
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn cve_2026_30892_a_user_is_what_was_written_or_an_error() {
    let runtime = Runtime::kickstage();
    let sleeper = Bundle::new(&["sleep", "100"]).with("/process/user", json!({"uid": 7, "gid": 8}));
    let id = runtime.start(&sleeper);
    let exec = |user: &str| {
        runtime.call(&["exec", "--user", user, &id, "sh", "-c", "busybox id -u; busybox id -g"])
    };
    for (user, said) in [
        ("1", "1\n8\n"),
        ("1:2", "1\n2\n"),
        ("0", "0\n8\n"),
        // decimal, not octal
        ("010:02", "10\n2\n"),
        ("4294967294:1", "4294967294\n1\n"),
    ] {
        assert_eq!(exec(user).ok().stdout, said, "{user}");
    }
    for user in [
        "",
        "-1",
        "1:",
        ":1",
        "1:2:3",
        "root",
        "0x1",
        "4294967295",
        "99999999999",
        "1 ",
        "+1",
        "1:-1",
    ] {
        let ended = exec(user);
        assert!(ended.code == 255 && ended.stdout.is_empty(), "{user:?}: {ended:?}");
    }
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn the_callers_groups_go_though_a_filter_says_that_they_can_not() {
    let refusing = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
        [{"names": ["setgroups"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EPERM}]});
    let bundle = Bundle::new(&["busybox", "id", "-G"])
        .with("/process/noNewPrivileges", json!(false))
        .with("/linux/seccomp", refusing);
    let (runtime, path) = (Runtime::kickstage(), bundle.path().display().to_string());
    let called_with = |flags: &[&str], words: &[&str]| {
        let command = runtime.command(words);
        let mut caller = std::process::Command::new("setpriv");
        caller.args(["--groups", "1234"]).args(flags).arg(command.get_program());
        kickstage_tests::runtime::ended(caller.args(command.get_args()).output().unwrap())
    };
    let id = unique_id();
    assert_eq!(called_with(&[], &["run", "-b", &path, &id]).ok().stdout, "0\n");
    let bundle = bundle.with("/process/args", json!(["sleep", "1000"]));
    let id = runtime.start(&bundle);
    let words = ["exec", &id, "busybox", "id", "-G"];
    assert_eq!(called_with(&[], &words).ok().stdout, "0\n");
    // who really may not change them makes no container that has them
    let powerless = called_with(&["--bounding-set=-setgid"], &words);
    assert!(powerless.code == 255 && powerless.stderr.contains("additionalGids"), "{powerless:?}");
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn cve_2023_25809_the_users_cgroups_are_read_only_without_a_cgroup_namespace() {
    let maps = json!([{"containerID": 0, "hostID": 0, "size": 65_536}]);
    let writes = "for f in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do \
                  (echo $$ > $f) 2>/dev/null && echo written $f; done; true";
    let mut bundle = Bundle::script(writes)
        .with("/linux/uidMappings", maps.clone())
        .with("/linux/gidMappings", maps)
        .adding("/linux/namespaces", json!({"type": "user"}));
    let list = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    list.retain(|namespace| namespace["type"] != "cgroup");
    let mut bundle = bundle.without_mount("/dev/mqueue");
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["type"] != "cgroup");
    mounts.push(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]}));
    fs::set_permissions(bundle.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    assert_eq!(run(&bundle).ok().stdout, "");
}

#[test]
fn enosys_not_eperm_for_calls_that_are_newer_than_a_profile() {
    // the newest call that this profile knows is older than statx
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": [
            "read", "write", "close", "openat", "open", "fstat", "mmap", "mprotect", "munmap", "brk",
            "rt_sigaction", "rt_sigprocmask", "execve", "exit_group", "arch_prctl", "set_tid_address",
            "getrandom", "getpid", "ioctl", "poll", "sigaltstack", "sched_getaffinity", "fcntl", "dup",
            "getcwd", "readlink", "getuid", "geteuid", "getgid", "getegid", "writev", "set_robust_list",
            "prlimit64", "futex", "uname", "stat", "lstat", "access", "wait4", "fork", "vfork", "clone",
            "newfstatat", "rt_sigreturn", "exit", "madvise", "gettid", "tgkill",
        ], "action": "SCMP_ACT_ALLOW"}],
    });
    let bundle =
        Bundle::new(&["probe", "call", "332", "435", "72000"]).with("/linux/seccomp", profile);
    let seen = run(&bundle).ok().json();
    for number in ["332", "435", "72000"] {
        assert_eq!(seen[number], json!(libc::ENOSYS), "{number}");
    }
    let bundle = Bundle::new(&["probe", "call", "161"])
        .with("/linux/seccomp", bundle.config["linux"]["seccomp"].clone());
    assert_eq!(run(&bundle).ok().json()["161"], json!(libc::EPERM), "older ones are denied");
}

/// A profile from before these calls, for a container with a C library from after them.
#[test]
fn a_c_library_that_is_newer_than_the_profile_falls_back() {
    const NEWER: [&str; 13] = [
        "clone3",
        "close_range",
        "epoll_pwait2",
        "faccessat2",
        "landlock_add_rule",
        "landlock_create_ruleset",
        "landlock_restrict_self",
        "memfd_secret",
        "mount_setattr",
        "openat2",
        "pidfd_getfd",
        "pidfd_open",
        "process_mrelease",
    ];
    let text = include_str!("../fixtures/docker-seccomp.json");
    let mut profile: Value = serde_json::from_str(text).unwrap();
    let rules = profile["syscalls"].as_array_mut().unwrap();
    for rule in rules.iter_mut() {
        let names = rule["names"].as_array_mut().unwrap();
        names.retain(|name| !NEWER.contains(&name.as_str().unwrap()));
    }
    rules.retain(|rule| rule["names"] != json!([]));
    let mut bundle = Bundle::new(&["probe-libc", "libc"]).with("/linux/seccomp", profile);
    // the same program with the host's C library
    fs::copy(env!("CARGO_BIN_EXE_probe"), bundle.inside("bin/probe-libc")).unwrap();
    for dir in ["/lib/x86_64-linux-gnu", "/lib64"] {
        let source = fs::canonicalize(dir).unwrap();
        bundle = bundle.adding("/mounts", json!({"destination": dir, "type": "bind", "source": source, "options": ["rbind", "ro"]}));
    }
    let works = json!({"thread": true, "access": true});
    assert_eq!(run(&bundle).ok().json()["libc"], works);
    let sleeper = bundle.with("/process/args", json!(["sleep", "1000"]));
    let running = Running::new(Runtime::kickstage(), sleeper);
    assert_eq!(running.exec(&[], &["probe-libc", "libc"]).ok().json()["libc"], works);
}
