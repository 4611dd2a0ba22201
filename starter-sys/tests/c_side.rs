//! A program that a C compiler has made of `starter.h` and Rust must see the same struct.

use kickstage_config::process::Capabilities;
use kickstage_config::starter::{
    Container, Fds, Gids, Id, KernelPath, MountPropagation, NamespaceFlags, NamespacePaths,
    Namespaces, Privileges, Starter, StarterConfig,
};
use kickstage_starter_sys::abi::starterConfig;
use std::io::Write;
use std::mem::size_of;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::slice;

/// The layout is that of one architecture; the compiler must be, too.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Compiles `tests/c/sample.c`, whose assertions check the layout. Each test has its own copy.
fn compile(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let status = cc::Build::new()
        .cargo_metadata(false)
        .host(TARGET)
        .target(TARGET)
        .opt_level(1)
        .std("c11")
        .warnings(true)
        .extra_warnings(true)
        .warnings_into_errors(true)
        .include(root.join("include"))
        .get_compiler()
        .to_command()
        .args([root.join("tests/c/sample.c").as_path(), Path::new("-o"), &program])
        .status()
        .expect("a C compiler is installed");
    assert!(status.success(), "sample.c does not compile: {status}");
    program
}

/// What `fill` of sample.c fills in.
fn sample() -> StarterConfig {
    let path = |path: &str| Some(KernelPath::new(path).unwrap());
    let privileges = Privileges {
        no_new_privs: true,
        uid_map: "0 1000 1\n1 100000 65536\n".parse().unwrap(),
        gid_map: "0 2000 1\n".parse().unwrap(),
        allow_setgroups: true,
        newuidmap_path: path("/usr/bin/newuidmap"),
        newgidmap_path: path("/usr/bin/newgidmap"),
        target_uid: Id::new(4_294_967_294).unwrap(),
        target_gids: Gids::new(vec![Id::new(12).unwrap(), Id::new(13).unwrap()]).unwrap(),
        capabilities: Capabilities {
            permitted: 1 << 40,
            effective: 2,
            inheritable: 3,
            bounding: 4,
            ambient: 5,
        },
    };
    let namespaces = Namespaces {
        flags: NamespaceFlags::new(0x3000_0000).unwrap(),
        mount_propagation: MountPropagation::new(0x84000).unwrap(),
        join_only: true,
        bring_loopback_interface: true,
        paths: NamespacePaths {
            network: path("/ns/network"),
            mount: path("/ns/mount"),
            user: path(&"u".repeat(4095)),
            ipc: path("/ns/ipc"),
            uts: path("/ns/üts"),
            cgroup: path("/ns/cgroup"),
            pid: path("/ns/pid"),
        },
    };
    StarterConfig {
        container: Container { pid: 4711, is_instance: true, privileges, namespaces },
        starter: Starter {
            working_directory_fd: Some(9),
            fds: Fds::new(vec![3, 1_048_576]).unwrap(),
            is_suid: true,
            master_propagate_mount: true,
            hybrid_workflow: true,
            nv_ccli_caps: true,
        },
    }
}

#[test]
fn rust_reads_every_field_that_c_has_filled_in() {
    let written = Command::new(compile("sample-write")).output().unwrap();
    assert!(written.status.success());
    assert_eq!(written.stdout.len(), size_of::<starterConfig>());
    // SAFETY: it is as long as the struct, of which any bytes are a valid value.
    let c: starterConfig =
        unsafe { written.stdout.as_ptr().cast::<starterConfig>().read_unaligned() };
    assert_eq!(StarterConfig::try_from(&c).unwrap(), sample());
}

#[test]
fn c_reads_every_field_that_rust_has_filled_in() {
    // Old content everywhere, so that every byte that C looks at has been written.
    let mut c = Box::<starterConfig>::new_uninit();
    // SAFETY: any bytes are a valid struct.
    let mut c = unsafe {
        c.as_mut_ptr().write_bytes(0x55, 1);
        c.assume_init()
    };
    c.store(&sample());

    let mut program = Command::new(compile("sample-read"))
        .arg("compare")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = (&raw const *c).cast::<u8>();
    // SAFETY: every byte of it has been written, and `store` copies no padding over it.
    let bytes = unsafe { slice::from_raw_parts(start, size_of::<starterConfig>()) };
    program.stdin.take().expect("it is a pipe").write_all(bytes).unwrap();
    let output = program.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
