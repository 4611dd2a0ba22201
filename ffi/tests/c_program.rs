//! libkickstage as a C program sees it: header, static library, shared library.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

/// The struct that the library takes is laid out for one architecture.
const TARGET: &str = "x86_64-unknown-linux-gnu";

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Where a test may write. Each uses names of its own.
fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// What cargo has built for this test lies beside it.
fn built(name: &str) -> PathBuf {
    env::current_exe().expect("a test has a path").with_file_name(name)
}

fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).expect("names are ASCII")
}

/// The static library as it is installed.
fn static_library(name: &str) -> PathBuf {
    let library = scratch(name);
    let mut script = Command::new(source("hide-symbols.sh"));
    stdout(script.arg(built("libkickstage.a")).arg(&library));
    library
}

/// What the pkg-config file tells programs to link with a static libkickstage.
fn private_libraries() -> Vec<String> {
    let template = fs::read_to_string(source("kickstage.pc.in")).unwrap();
    let line = template.lines().find_map(|line| line.strip_prefix("Libs.private: "));
    line.expect("it has that line").split(' ').map(str::to_owned).collect()
}

/// Compiles a program of `tests/c`, without tolerating a warning, and links it statically.
fn compile(program: &str, language: &mut cc::Build) -> PathBuf {
    let executable = scratch(&format!("{program}.exe"));
    let mut compiler = language
        .cargo_metadata(false)
        .host(TARGET)
        .target(TARGET)
        .opt_level(1)
        .warnings(true)
        .extra_warnings(true)
        .warnings_into_errors(true)
        .flag("-pedantic")
        .include(source("include"))
        .include(source("../starter-sys/include"))
        .get_compiler()
        .to_command();
    compiler.arg(source("tests/c").join(program)).arg("-o").arg(&executable);
    compiler.arg(static_library(&format!("{program}.a"))).args(private_libraries());
    stdout(&mut compiler);
    executable
}

/// The names of all defined symbols that others can link to.
fn exported(nm: &mut Command) -> BTreeSet<String> {
    let table = stdout(nm.arg("--defined-only"));
    let names = table.lines().filter_map(|line| line.split(' ').nth(2));
    names.map(str::to_owned).collect()
}

/// The functions that the header declares.
fn declared() -> BTreeSet<String> {
    let header = fs::read_to_string(source("include/kickstage.h")).unwrap();
    let declarations = header.lines().filter(|line| line.ends_with(");"));
    let name = |line: &str| line[line.find("ks_")?..].split('(').next().map(str::to_owned);
    declarations.filter_map(name).collect()
}

#[test]
fn a_c11_program_gets_what_the_header_promises() {
    let program = compile("program.c", cc::Build::new().std("c11"));
    stdout(Command::new(program).arg(env!("CARGO_PKG_VERSION")));
}

/// A bundle of busybox that sleeps.
fn bundle() -> tempfile::TempDir {
    // SAFETY: asks only.
    assert_eq!(unsafe { libc::geteuid() }, 0, "this test makes containers and needs root");
    let bundle = tempfile::tempdir().unwrap();
    for name in ["bin", "proc", "dev", "sys"] {
        fs::create_dir_all(bundle.path().join("rootfs").join(name)).unwrap();
    }
    let bin = bundle.path().join("rootfs/bin");
    fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static: make deps");
    for name in ["sh", "sleep"] {
        std::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
    }
    let fixture = fs::read(source("../tests/fixtures/default.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&fixture).unwrap();
    config["process"]["args"] = serde_json::json!(["sleep", "1000"]);
    fs::write(bundle.path().join("config.json"), config.to_string()).unwrap();
    bundle
}

#[test]
fn a_c_program_makes_uses_and_removes_containers() {
    let program = compile("container.c", cc::Build::new().std("c11"));
    let (bundle, root) = (bundle(), tempfile::tempdir().unwrap());
    let mut command = Command::new(&program);
    let id = format!("kt-c-{}", std::process::id());
    command.arg(bundle.path()).arg(root.path()).arg(&id).stdin(Stdio::null()).stdout(Stdio::null());
    // a file: what is left running would keep a pipe open
    let log = scratch("container.log");
    let status = command.stderr(fs::File::create(&log).unwrap()).status().unwrap();
    assert!(status.success(), "{}", fs::read_to_string(&log).unwrap());
    // And leaks nothing meanwhile. A valgrind that does not know openat2 (3.19 does not) fails
    // each call that needs it, and sees the ways of failure only: so the program's own exit
    // status says nothing here.
    let flags = ["--leak-check=full", "--errors-for-leak-kinds=all", "--error-exitcode=99"];
    let mut checked = Command::new("valgrind");
    checked.args(flags).args(["--quiet", "--child-silent-after-fork=yes"]);
    checked.arg(&program).arg(bundle.path()).arg(root.path()).arg(&id).stdin(Stdio::null());
    let log = fs::File::create(scratch("valgrind.log")).unwrap();
    let status = checked.stdout(Stdio::null()).stderr(log).status().expect("valgrind: make deps");
    let said = fs::read_to_string(scratch("valgrind.log")).unwrap();
    assert!(!matches!(status.code(), None | Some(99 | 127)), "{said}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn a_cpp_program_can_use_the_header() {
    let program = compile("program.cpp", cc::Build::new().cpp(true).std("c++11"));
    stdout(&mut Command::new(program));
}

#[test]
fn the_static_library_has_no_symbols_but_those_of_the_header() {
    let library = static_library("symbols.a");
    assert_eq!(exported(Command::new("nm").arg("-g").arg(library)), declared());
}

#[test]
fn the_shared_library_has_no_symbols_but_those_of_the_header() {
    let library = built("libkickstage.so");
    assert_eq!(exported(Command::new("nm").arg("-D").arg(library)), declared());
}
