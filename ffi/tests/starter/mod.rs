//! A container of the reference starter.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs};

#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) struct Engine {
    bundle: tempfile::TempDir,
    config: Value,
    pub(crate) id: String,
    /// Further keys of engineConfig.
    pub(crate) extra: Value,
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// `$KICKSTAGE_STARTER`, for where there is no compiler; else the starter, compiled without tolerating a warning and linked with the library.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(program) = env::var_os("KICKSTAGE_STARTER") {
            return program.into();
        }
        let executable = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kickstage-starter");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("starter.a");
        let built = env::current_exe().unwrap().with_file_name("libkickstage.a");
        let hidden = Command::new(source("hide-symbols.sh")).arg(built).arg(&library).status();
        assert!(hidden.unwrap().success());
        let mut compiler = cc::Build::new()
            .std("c11")
            .cargo_metadata(false)
            .host("x86_64-unknown-linux-gnu")
            .target("x86_64-unknown-linux-gnu")
            .opt_level(1)
            .warnings(true)
            .extra_warnings(true)
            .warnings_into_errors(true)
            .include(source("include"))
            .include(source("../starter-sys/include"))
            .get_compiler()
            .to_command();
        compiler.arg(source("../starter-sys/reference/starter.c")).arg("-o").arg(&executable);
        let template = fs::read_to_string(source("kickstage.pc.in")).unwrap();
        let private = template.lines().find_map(|line| line.strip_prefix("Libs.private: "));
        compiler.arg(library).args(private.expect("it has that line").split(' '));
        assert!(compiler.status().unwrap().success());
        executable
    })
}

/// Runs the starter with that JSON, as a container command line does.
pub(crate) fn run(json: &str) -> Ended {
    const CHUNK: usize = 131_072 - 16;
    // SAFETY: asks only.
    assert_eq!(unsafe { libc::geteuid() }, 0, "these tests make containers and need root");
    let chunks: Vec<&[u8]> = json.as_bytes().chunks(CHUNK).collect();
    let mut command = Command::new("timeout");
    command.args(["-k", "5", "60"]).arg(program()).env_clear().env("PATH", "/usr/bin:/bin");
    command.env("ENGINE_CONFIG_CHUNKS", chunks.len().to_string());
    for (index, chunk) in chunks.iter().enumerate() {
        let text = std::str::from_utf8(chunk).expect("our JSON is ASCII");
        command.env(format!("ENGINE_CONFIG{}", index + 1), text);
    }
    let output = command.output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn field(pid: i64, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} in {text}")).trim().to_owned()
}

impl Engine {
    /// A bundle of busybox that runs `args`.
    pub(crate) fn new(args: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let bundle = tempfile::tempdir().unwrap();
        let rootfs = bundle.path().join("rootfs");
        for name in ["bin", "proc", "dev", "sys", "tmp", "etc"] {
            fs::create_dir_all(rootfs.join(name)).unwrap();
        }
        fs::copy("/bin/busybox", rootfs.join("bin/busybox")).expect("busybox-static: make deps");
        for name in
            ["sh", "cat", "echo", "sleep", "true", "id", "ls", "stty", "grep", "head", "hostname"]
        {
            std::os::unix::fs::symlink("busybox", rootfs.join("bin").join(name)).unwrap();
        }
        fs::set_permissions(bundle.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let fixture = source("../tests/fixtures/default.json");
        let mut config: Value = serde_json::from_slice(&fs::read(fixture).unwrap()).unwrap();
        config["process"]["args"] = json!(args);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("kt-starter-{}-{number}", std::process::id());
        Self { bundle, config, id, extra: json!({}) }
    }

    pub(crate) fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        self.config.pointer_mut(parent).unwrap()[key] = value;
        self
    }

    pub(crate) fn adding(mut self, pointer: &str, value: Value) -> Self {
        self.config.pointer_mut(pointer).unwrap().as_array_mut().unwrap().push(value);
        self
    }

    pub(crate) fn inside(&self, path: &str) -> PathBuf {
        self.bundle.path().join("rootfs").join(path)
    }

    pub(crate) fn give_to(&self, uid: u32) {
        let owner = format!("{uid}:{uid}");
        let status = Command::new("chown").args(["-hR", &owner]).arg(self.inside("")).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn create(&self) -> Ended {
        let mut engine = json!({
            "bundlePath": self.bundle.path(), "logPath": "", "logFormat": "", "pidFile": "",
            "ociConfig": self.config, "masterPts": 0, "slavePts": 0, "outputStreams": [0, 0],
            "errorStreams": [0, 0], "inputStreams": [0, 0], "syncSocket": "",
            "emptyProcess": false, "exec": false, "systemdCgroups": false,
            "state": {"ociVersion": "", "id": "", "status": "", "bundle": ""},
        });
        for (key, value) in self.extra.as_object().unwrap() {
            engine[key] = value.clone();
        }
        let common = json!({
            "engineName": "oci", "containerID": self.id, "engineConfig": engine, "plugin": null,
        });
        run(&common.to_string())
    }

    /// As `apptainer oci exec` does: the stored configuration with other arguments.
    pub(crate) fn exec(&self, args: &[&str]) -> Ended {
        let mut common = self.config();
        common["engineConfig"]["exec"] = json!(true);
        common["engineConfig"]["ociConfig"]["process"]["args"] = json!(args);
        run(&common.to_string())
    }

    pub(crate) fn dir(&self) -> PathBuf {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        // passwd(5) has no other home for root
        Path::new("/root")
            .join(".apptainer/instances/oci")
            .join(host.trim())
            .join("root")
            .join(&self.id)
    }

    /// The instance file.
    pub(crate) fn file(&self) -> Value {
        let path = self.dir().join(format!("{}.json", self.id));
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    pub(crate) fn config(&self) -> Value {
        let config = STANDARD.decode(self.file()["config"].as_str().unwrap()).unwrap();
        serde_json::from_slice(&config).unwrap()
    }

    pub(crate) fn state(&self) -> Value {
        self.config()["engineConfig"]["state"].clone()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir().join(format!("{}.log", self.id))).unwrap()
    }

    pub(crate) fn visit(&self) -> UnixStream {
        UnixStream::connect(self.state()["attachSocket"].as_str().unwrap()).unwrap()
    }

    /// One request; what is answered until the connection is closed.
    pub(crate) fn ask(&self, request: &Value) -> String {
        use std::io::{Read, Write};
        let path = self.state()["controlSocket"].as_str().unwrap().to_owned();
        let mut socket = UnixStream::connect(path).unwrap();
        socket.write_all(request.to_string().as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn kill(&self, signal: i32) {
        let pid = self.state()["pid"].as_i64().unwrap() as i32;
        // SAFETY: only sends a signal, to the process that we have just made.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    pub(crate) fn wait_until_stopped(&self) {
        wait_until("it has stopped", || self.state()["status"] == "stopped");
        // the master ends after it has told so
        let master = self.file()["ppid"].as_i64().unwrap();
        wait_until("the master has ended", || {
            let stat = fs::read_to_string(format!("/proc/{master}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z")
        });
    }

    pub(crate) fn assert_no_cgroup_is_left(&self) {
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let own = hierarchy.path().join("apptainer-oci").join(&self.id);
            assert!(!own.exists(), "{}", own.display());
        }
    }
}

impl Drop for Engine {
    /// Whatever has become of it.
    fn drop(&mut self) {
        let path = self.dir().join(format!("{}.json", self.id));
        if let Ok(file) = fs::read(path)
            && let Ok(file) = serde_json::from_slice::<Value>(&file)
        {
            let alive = |pid: &i64| fs::metadata(format!("/proc/{pid}")).is_ok();
            let ours = |pid: &i64| *pid > 1 && alive(pid);
            if let Some(pid) = file["ppid"].as_i64().filter(ours) {
                let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                if comm.starts_with("kickstage-start") {
                    // SAFETY: only sends a signal, to the master that we have made.
                    unsafe { libc::kill(pid as i32, 9) };
                }
            }
        }
        let plain = self.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if plain && !self.id.is_empty() {
            let _ = fs::remove_dir_all(self.dir());
        }
    }
}
