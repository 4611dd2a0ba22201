//! The program, given modules: what their caller sees.

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A directory with a module in it, made of text.
struct Made(TempDir);

impl Made {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("it.wasm"), wat::parse_str(text).unwrap()).unwrap();
        Self(dir)
    }

    fn command(&self) -> Command {
        let mut command = passing(&[]);
        command.arg("it.wasm").current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    fn run(&self) -> Output {
        self.command().output().unwrap()
    }
}

/// The program, which gets these files from 3 on, and nothing of what the test's caller has open.
fn passing(files: &'static [fs::File]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kickstage-wasm"));
    let raws: Vec<i32> = files.iter().map(AsRawFd::as_raw_fd).collect();
    // SAFETY: only system calls between fork and exec.
    unsafe {
        command.pre_exec(move || {
            libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as i32);
            for (number, raw) in (3..).zip(&raws) {
                libc::dup2(libc::fcntl(*raw, libc::F_DUPFD_CLOEXEC, 100), number);
            }
            Ok(())
        });
    }
    command
}

/// A module with one page of memory that imports these functions of WASI.
fn module(imports: &[(&str, &str)], body: &str) -> String {
    let imports: String = imports
        .iter()
        .map(|(name, kind)| {
            format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} {kind}))\n")
        })
        .collect();
    format!("(module {imports} (memory (export \"memory\") 1) {body})")
}

const WRITE: (&str, &str) = ("fd_write", "(param i32 i32 i32 i32) (result i32)");
const READ: (&str, &str) = ("fd_read", "(param i32 i32 i32 i32) (result i32)");
const EXIT: (&str, &str) = ("proc_exit", "(param i32)");

#[track_caller]
fn ends(output: &Output, code: i32, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(why), "{said}");
}

#[test]
fn the_exit_status_is_what_the_module_says() {
    for (number, code) in [(0, 0), (7, 7), (255, 255), (256, 0), (-1, 255)] {
        let body = format!("(func (export \"_start\") (call $proc_exit (i32.const {number})))");
        ends(&Made::new(&module(&[EXIT], &body)).run(), code, "");
    }
    ends(&Made::new("(module (func (export \"_start\")))").run(), 0, "");
    // also before its beginning
    let body = "(func $first (call $proc_exit (i32.const 4))) (start $first)
        (func (export \"_start\") unreachable)";
    ends(&Made::new(&module(&[EXIT], body)).run(), 4, "");
}

#[test]
fn a_trap_ends_as_abort_does_and_is_told() {
    let bodies = [
        ("unreachable", "unreachable"),
        ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", "divi"),
        ("(drop (i32.load (i32.const 65536)))", "out of bounds"),
        ("(call $_start)", "stack"),
    ];
    for (body, why) in bodies {
        let text = module(&[], &format!("(func $_start (export \"_start\") {body})"));
        ends(&Made::new(&text).run(), 134, "kickstage-wasm: it.wasm: trap: ");
        ends(&Made::new(&text).run(), 134, why);
    }
}

#[test]
fn recursion_goes_deep_before_it_is_a_trap() {
    let body = "(func $down (param i32) (result i32)
            (if (result i32) (local.get 0)
                (then (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
                (else (i32.const 0))))
        (func (export \"_start\") (call $proc_exit (i32.ne (call $down (i32.const 30000)) (i32.const 30000))))";
    ends(&Made::new(&module(&[EXIT], body)).run(), 0, "");
}

#[test]
fn what_cannot_run_is_refused_before_any_of_it_does() {
    let unknown = String::from(
        "(module (import \"wasi_snapshot_preview1\" \"sock_open\" (func (param i32) (result i32)))
            (import \"env\" \"hello\" (func)) (func (export \"_start\") unreachable))",
    );
    let cases = [
        (unknown, "wasi_snapshot_preview1.sock_open, env.hello"),
        // a known name with other parameters
        (module(&[("fd_close", "(param i64) (result i32)")], "(func (export \"_start\"))"), "fd_close"),
        (module(&[], "(func (export \"_initialize\"))"), "no function _start"),
        (module(&[], "(func (export \"_start\") (param i32))"), "_start"),
        (
            "(module (import \"wasi_snapshot_preview1\" \"fd_close\" (memory 1)) (func (export \"_start\")))".into(),
            "fd_close",
        ),
    ];
    for (text, why) in cases {
        ends(&Made::new(&text).run(), 126, why);
    }
    let made = Made::new("(module)");
    fs::write(made.0.path().join("it.wasm"), b"\0asm\x01\0\0\0\x07\x01garbage").unwrap();
    ends(&made.run(), 126, "no valid module");
    fs::remove_file(made.0.path().join("it.wasm")).unwrap();
    ends(&made.run(), 126, "No such file");
}

#[test]
fn a_module_without_memory_can_call_nothing_that_needs_one() {
    let text = "(module (import \"wasi_snapshot_preview1\" \"sched_yield\" (func $y (result i32)))
        (func (export \"_start\") (drop (call $y))))";
    ends(&Made::new(text).run(), 126, "it exports no memory");
}

/// Reads from a descriptor and writes what it got.
fn echo(from: u32) -> String {
    let body = format!(
        "(data (i32.const 0) \"\\40\\00\\00\\00\\00\\10\\00\\00\")
        (func (export \"_start\")
            (if (call $fd_read (i32.const {from}) (i32.const 0) (i32.const 1) (i32.const 4))
                (then (call $proc_exit (i32.const 1))))
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))"
    );
    module(&[READ, WRITE, EXIT], &body)
}

#[test]
fn standard_streams_are_the_callers() {
    let made = Made::new(&echo(0));
    let mut child = made.command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"through");
}

#[test]
fn passed_descriptors_keep_their_numbers() {
    let made = Made::new(&echo(4));
    let open = || fs::File::open("/proc/self/comm").unwrap();
    let mut command = passing(Box::leak(Box::new([open(), open()])));
    command.arg("it.wasm").current_dir(made.0.path()).stdin(Stdio::null());
    let output = command.output().unwrap();
    ends(&output, 0, "");
    assert!(!output.stdout.is_empty());
    ends(&made.run(), 1, "");
}

/// Exits with the number of the first descriptor from 3 on that is no directory it was given, times
/// 16, plus the length of the last one's name.
const GIVEN: &str = "(func (export \"_start\") (local $fd i32) (local.set $fd (i32.const 3))
    (block $done (loop $next
        (br_if $done (call $fd_prestat_get (local.get $fd) (i32.const 0)))
        (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
        (br $next)))
    (call $proc_exit (i32.add (i32.mul (local.get $fd) (i32.const 16)) (i32.load (i32.const 4)))))";

#[test]
fn the_directories_are_where_we_are_and_the_root() {
    let imports = [EXIT, ("fd_prestat_get", "(param i32 i32) (result i32)")];
    let made = Made::new(&module(&imports, GIVEN));
    ends(&made.run(), 5 * 16 + 1, "");
    let module = made.0.path().join("it.wasm");
    let mut at_root = passing(&[]);
    ends(&at_root.arg(&module).current_dir("/").output().unwrap(), 4 * 16 + 1, "");
}

#[test]
fn help_and_version_are_told_and_nonsense_is_not_run() {
    let call = |argument: &str| {
        Command::new(env!("CARGO_BIN_EXE_kickstage-wasm")).arg(argument).output().unwrap()
    };
    assert!(String::from_utf8_lossy(&call("--help").stdout).contains("usage"));
    assert!(String::from_utf8_lossy(&call("--version").stdout).starts_with("kickstage-wasm "));
    ends(&call("-nonsense.wasm"), 126, "No such file");
    let none = Command::new(env!("CARGO_BIN_EXE_kickstage-wasm")).output().unwrap();
    ends(&none, 1, "usage");
}
