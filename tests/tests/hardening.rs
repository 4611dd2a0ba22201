//! What other engines have learned the hard way. Each test has the number of the lesson in its
//! name, and fails without the defence.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::{Bundle, Ended, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn script(script: &str) -> Bundle {
    Bundle::new(&["sh", "-c", script])
}

fn run(bundle: &Bundle) -> Ended {
    Runtime::kickstage().run(bundle)
}

/// The image brings its own directory: config.json mounts nothing there.
fn without_mount(mut bundle: Bundle, destination: &str) -> Bundle {
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    let below = format!("{destination}/");
    mounts.retain(|mount| {
        let at = mount["destination"].as_str().unwrap();
        at != destination && !at.starts_with(&below)
    });
    bundle
}

/// A directory of the host that has to stay as it is.
struct Victim(TempDir);

impl Victim {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "host\n").unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self) -> PathBuf {
        self.path().join("file")
    }

    #[track_caller]
    fn is_unharmed(&self) {
        let names: Vec<_> =
            fs::read_dir(self.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(names, ["file"], "something was made on the host");
        assert_eq!(fs::read_to_string(self.file()).unwrap(), "host\n");
        let found = fs::metadata(self.file()).unwrap();
        assert_eq!((found.uid(), found.gid()), (0, 0), "a file of the host has another owner");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(
            !mounts.contains(self.path().to_str().unwrap()),
            "something is mounted on the host"
        );
    }
}

/// F_GET_SEALS of the program that a process runs.
fn seals(pid: &Value) -> i32 {
    let exe = fs::File::open(format!("/proc/{pid}/exe")).unwrap();
    // SAFETY: asks only.
    unsafe { libc::fcntl(exe.as_raw_fd(), libc::F_GET_SEALS) }
}

#[test]
fn cve_2019_5736_and_runc_5272_the_engine_in_a_container_is_a_sealed_private_copy() {
    let runtime = Runtime::kickstage();
    let before = fs::read(runtime.program()).unwrap();
    let bundle = script("true");
    let id = runtime.create(&bundle);
    let pid = runtime.state(&id)["pid"].clone();
    let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    assert!(exe.to_string_lossy().starts_with("/memfd:"), "no page is shared with a file: {exe:?}");
    let all = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    assert_eq!(seals(&pid) & all, all);
    runtime.call(&["delete", "--force", &id]).ok();
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
fn cve_2019_16884_and_2019_19921_nothing_covers_proc_by_whatever_name() {
    let fake = Victim::new();
    let bind = |target: &str| json!({"destination": target, "type": "bind", "source": fake.path(), "options": ["rbind"]});
    for target in ["/proc", "/proc/self", "/x/../proc", "/proc/sys"] {
        let ended = run(&script("true").adding("/mounts", bind(target)));
        assert!(ended.code == 1 && ended.stderr.contains("/mounts/7/destination"), "{ended:?}");
    }
    let bundle = script("true").adding("/mounts", bind("/other/self"));
    symlink("/proc", bundle.inside("other")).unwrap();
    let ended = run(&bundle);
    assert!(ended.code == 1 && ended.stderr.contains("symlink leads into /proc"), "{ended:?}");
    fake.is_unharmed();
}

#[test]
fn cve_2021_43784_large_values_arrive_whole() {
    let large = "x".repeat(70_000);
    let maps: Vec<Value> = (0..300)
        .map(|n| json!({"containerID": n * 2, "hostID": 100_000 + n * 2, "size": 2}))
        .collect();
    let mut bundle = script("echo ${#BIG}; busybox wc -l < /proc/self/gid_map")
        .adding("/process/env", json!(format!("BIG={large}")))
        .with("/annotations", json!({"big": large}))
        .with("/linux/uidMappings", json!(maps))
        .with("/linux/gidMappings", json!(maps))
        .adding("/linux/namespaces", json!({"type": "user"}));
    bundle = without_mount(bundle, "/dev/mqueue");
    fs::set_permissions(bundle.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    assert_eq!(run(&bundle).ok().stdout, "70000\n300\n");
    let runtime = Runtime::kickstage();
    let id = runtime.create(&script("true").with("/annotations", json!({"big": large})));
    assert_eq!(runtime.state(&id)["annotations"]["big"], json!(large));
    runtime.call(&["delete", "--force", &id]).ok();
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
fn cve_2023_27561_and_2023_28642_proc_and_sys_of_the_image_are_no_symlinks() {
    for name in ["proc", "sys"] {
        let bundle = script("true");
        fs::remove_dir(bundle.inside(name)).unwrap();
        fs::create_dir(bundle.inside("elsewhere")).unwrap();
        symlink("/elsewhere", bundle.inside(name)).unwrap();
        let ended = run(&bundle);
        assert!(ended.code == 1 && ended.stderr.contains("must not have a symlink"), "{ended:?}");
    }
}

#[test]
fn cve_2024_21626_no_descriptor_leads_out_of_the_root() {
    for number in 3..20 {
        let cwd = format!("/proc/self/fd/{number}");
        let ended = run(&script("busybox ls").with("/process/cwd", json!(cwd)));
        assert!(ended.code == 1 && ended.stdout.is_empty(), "{cwd}: {ended:?}");
    }
    let seen = run(&Bundle::new(&["probe"])).ok().json();
    assert_eq!(seen["fds"], json!([0, 1, 2]));
}

/// Exchanges two names in a directory as fast as it can, while `work` runs.
fn while_exchanging(dir: &Path, one: &str, other: &str, work: impl FnOnce()) {
    let path = |name: &str| std::ffi::CString::new(dir.join(name).to_str().unwrap()).unwrap();
    let (one, other) = (path(one), path(other));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                // SAFETY: both paths end with a NUL.
                unsafe {
                    libc::syscall(
                        libc::SYS_renameat2,
                        libc::AT_FDCWD,
                        one.as_ptr(),
                        libc::AT_FDCWD,
                        other.as_ptr(),
                        libc::RENAME_EXCHANGE,
                    )
                };
            }
        });
        work();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// How many containers race: `KICKSTAGE_RACES` says so.
fn races() -> u32 {
    std::env::var("KICKSTAGE_RACES").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000)
}

#[test]
fn cve_2021_30465_and_2024_45310_who_exchanges_a_mount_target_gains_nothing() {
    let victim = Victim::new();
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["cat", "/volume/file"]).adding(
        "/mounts",
        json!({"destination": "/volume/made/deep", "type": "tmpfs", "source": "tmpfs"}),
    );
    fs::create_dir(bundle.inside("volume")).unwrap();
    // climbs out for who resolves it by the host's root, or from where it lies
    let up = "../".repeat(12);
    symlink(format!("{up}{}", victim.path().display()), bundle.inside("link")).unwrap();
    let path = bundle.path().to_owned();
    while_exchanging(&path.join("rootfs"), "volume", "link", || {
        for _ in 0..races() {
            let mut command = std::process::Command::new(runtime.program());
            command
                .arg("--root")
                .arg(runtime.root())
                .args(["run", "-b"])
                .arg(&path)
                .arg(unique_id());
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(!said.contains("host"), "a file of the host was read: {output:?}");
        }
    });
    victim.is_unharmed();
    let left: Vec<_> = fs::read_dir(runtime.root()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn cve_2025_31133_a_mask_is_the_hosts_null_device_whatever_the_image_has() {
    let victim = Victim::new();
    let bundle = script("cat /etc/secret; echo x > /etc/secret; true")
        .with("/linux/maskedPaths", json!(["/etc/secret"]));
    let mut bundle = without_mount(bundle, "/dev");
    bundle.config["linux"]["devices"] = json!([]);
    fs::write(bundle.inside("etc/secret"), "secret\n").unwrap();
    symlink("/proc/sysrq-trigger", bundle.inside("dev/null")).unwrap();
    // that link is refused for itself, so the mask is tried without it too
    let ended = run(&bundle);
    assert!(ended.code == 1 && ended.stderr.contains("something else is there"), "{ended:?}");
    fs::remove_file(bundle.inside("dev/null")).unwrap();
    let ended = run(&bundle).ok();
    assert_eq!(ended.stdout, "");
    assert_eq!(fs::read_to_string(bundle.inside("etc/secret")).unwrap(), "secret\n");
    victim.is_unharmed();
}

#[test]
fn cve_2025_52565_and_2026_88264_a_console_of_the_image_is_no_way_out() {
    let victim = Victim::new();
    let mut bundle = script("true").with("/process/terminal", json!(true));
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/dev");
    symlink("/etc/passwd", bundle.inside("dev/console")).unwrap();
    let socket = victim.path().parent().unwrap().join(unique_id());
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let path = bundle.path().display().to_string();
    let runtime = Runtime::kickstage();
    let id = unique_id();
    let socket_text = socket.display().to_string();
    let ended = runtime.call(&["create", "-b", &path, "--console-socket", &socket_text, &id]);
    assert!(ended.code == 1 && ended.stderr.contains("/dev/console"), "{ended:?}");
    drop(listener);
    fs::remove_file(socket).unwrap();
    victim.is_unharmed();
}

#[test]
fn cve_2025_52881_kernel_parameters_go_to_the_kernel_not_to_the_image() {
    let bundle = without_mount(script("true"), "/proc")
        .with("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))
        .with("/linux/maskedPaths", json!([]))
        .with("/linux/readonlyPaths", json!([]));
    let fake = bundle.inside("proc/sys/net/ipv4");
    fs::create_dir_all(&fake).unwrap();
    fs::write(fake.join("ip_forward"), "fake").unwrap();
    run(&bundle).ok();
    assert_eq!(fs::read_to_string(fake.join("ip_forward")).unwrap(), "fake");
}

#[test]
fn cve_2026_41579_and_2026_47766_a_dev_that_leads_out_is_not_followed() {
    let victim = Victim::new();
    let mut bundle = without_mount(script("true"), "/dev");
    bundle.config["linux"]["devices"] =
        json!([{"path": "/dev/ours", "type": "c", "major": 1, "minor": 3}]);
    fs::remove_dir(bundle.inside("dev")).unwrap();
    for target in [
        victim.path().display().to_string(),
        format!("{}{}", "../".repeat(12), victim.path().display()),
    ] {
        symlink(&target, bundle.inside("dev")).unwrap();
        let ended = run(&bundle);
        victim.is_unharmed();
        fs::remove_file(bundle.inside("dev")).unwrap();
        assert!(ended.code == 0 || ended.code == 1, "{ended:?}");
    }
}

#[test]
fn cve_2026_88265_the_hosts_null_device_keeps_its_owner() {
    let victim = Victim::new();
    let bundle = without_mount(script("true"), "/dev")
        .with("/process/user", json!({"uid": 1000, "gid": 1000}));
    let owner = || {
        let null = fs::metadata("/dev/null").unwrap();
        (null.uid(), null.gid(), null.mode())
    };
    let before = owner();
    // its streams are the host's null device
    run(&bundle).ok();
    assert_eq!(owner(), before);
    fs::remove_file(bundle.inside("dev/zero")).unwrap();
    symlink(victim.file(), bundle.inside("dev/zero")).unwrap();
    assert_eq!(run(&bundle).code, 1);
    victim.is_unharmed();
}

#[test]
fn cve_2026_30892_a_user_is_what_was_written_or_an_error() {
    let runtime = Runtime::kickstage();
    let sleeper = Bundle::new(&["sleep", "100"]).with("/process/user", json!({"uid": 7, "gid": 8}));
    let id = runtime.start(&sleeper);
    let exec = |user: &str| {
        runtime.call(&["exec", "--user", user, &id, "sh", "-c", "busybox id -u; busybox id -g"])
    };
    for (user, said) in
        [("1", "1\n8\n"), ("1:2", "1\n2\n"), ("0", "0\n8\n"), ("4294967294:1", "4294967294\n1\n")]
    {
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
fn cve_2025_24965_files_of_the_image_that_we_read_may_be_anything() {
    for make in [
        |path: &Path| symlink("/proc/kmsg", path).unwrap(),
        |path: &Path| {
            let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
            // SAFETY: the path ends with a NUL.
            assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o666) }, 0);
        },
        |path: &Path| symlink("../../../../../../etc/shadow", path).unwrap(),
        |path: &Path| fs::create_dir(path).unwrap(),
    ] {
        let bundle = script("echo $HOME");
        fs::remove_file(bundle.inside("etc/passwd")).unwrap();
        make(&bundle.inside("etc/passwd"));
        assert_eq!(run(&bundle).ok().stdout, "/\n");
    }
}

#[test]
fn cve_2019_11328_a_state_that_another_user_could_write_is_not_believed() {
    let runtime = Runtime::kickstage();
    let id = runtime.create(&script("true"));
    let dir = runtime.root().join(&id);
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
    chown(&dir, Some(1000), Some(1000)).unwrap();
    for command in ["state", "start", "delete"] {
        let ended = runtime.call(&[command, &id]);
        assert!(ended.code == 1 && ended.stderr.contains("another user"), "{ended:?}");
    }
    chown(&dir, Some(0), Some(0)).unwrap();
    fs::rename(&dir, runtime.root().join("real")).unwrap();
    symlink("real", &dir).unwrap();
    assert_eq!(runtime.call(&["state", &id]).code, 1, "a symlink is no state directory");
    fs::remove_file(&dir).unwrap();
    fs::rename(runtime.root().join("real"), &dir).unwrap();
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn cve_2026_48785_paths_are_compared_by_their_parts() {
    let dir = Victim::new();
    let bind = |target: &str| json!({"destination": target, "type": "bind", "source": dir.path(), "options": ["bind", "ro"]});
    let bundle = script("cat /process/file /proc2/file")
        .adding("/mounts", bind("/process"))
        .adding("/mounts", bind("/proc2"));
    assert_eq!(run(&bundle).ok().stdout, "host\nhost\n");
    let ended = run(&script("true").adding("/mounts", bind("/proc/uptime2")));
    assert_eq!(ended.code, 1, "{ended:?}");
}

#[test]
fn cve_2023_25809_the_users_cgroups_are_read_only_without_a_cgroup_namespace() {
    let maps = json!([{"containerID": 0, "hostID": 0, "size": 65_536}]);
    let writes = "for f in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do \
                  (echo $$ > $f) 2>/dev/null && echo written $f; done; true";
    let mut bundle = script(writes)
        .with("/linux/uidMappings", maps.clone())
        .with("/linux/gidMappings", maps)
        .adding("/linux/namespaces", json!({"type": "user"}));
    let list = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    list.retain(|namespace| namespace["type"] != "cgroup");
    let mut bundle = without_mount(bundle, "/dev/mqueue");
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
