//! System calls that a filter leaves to somebody outside: this test is he.

use kickstage_tests::{Bundle, Runtime};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::{Value, json};
use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;

/// linux/seccomp.h.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    arch: u32,
    pointer: u64,
    args: [u64; 6],
}

#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

const RECEIVE: libc::c_ulong = 0xc050_2100;
const SEND: libc::c_ulong = 0xc018_2101;
const IS_VALID: libc::c_ulong = 0x4008_2102;

/// Waits for a question; whether there will be none any more. Older kernels do not wake who waits
/// in the ioctl itself.
fn is_over(listener: &File) -> bool {
    let mut wait = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, and its length.
    unsafe { libc::poll(&raw mut wait, 1, -1) };
    wait.revents & libc::POLLIN == 0
}

/// Takes one listener, and answers ENOTSUP-like `error` to each call until the filter is gone.
fn agent(listener: UnixListener, error: i32) -> JoinHandle<Value> {
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let (message, fd) = receive(&stream);
        loop {
            let mut asked = Notification::default();
            // SAFETY: the struct is what the kernel fills; the descriptor is a listener.
            if is_over(&fd) || unsafe { libc::ioctl(fd.as_raw_fd(), RECEIVE, &raw mut asked) } < 0 {
                return message;
            }
            let answer = Answer { id: asked.id, value: 0, error: -error, flags: 0 };
            // SAFETY: as above; a process that has been killed meanwhile is ENOENT.
            unsafe { libc::ioctl(fd.as_raw_fd(), SEND, &raw const answer) };
        }
    })
}

fn receive(stream: &UnixStream) -> (Value, File) {
    let mut bytes = [0; 4096];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut space = nix::cmsg_space!(i32);
    let got = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty());
    let got = got.unwrap();
    let Some(ControlMessageOwned::ScmRights(fds)) = got.cmsgs().unwrap().next() else {
        panic!("no descriptor came")
    };
    let length = got.bytes;
    // SAFETY: it has just come and is nobody else's.
    let fd = unsafe { File::from_raw_fd(fds[0]) };
    (serde_json::from_slice(&bytes[..length]).unwrap(), fd)
}

fn bundle(socket: &std::path::Path, script: &str) -> Bundle {
    Bundle::new(&["sh", "-c", script]).with(
        "/linux/seccomp",
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": socket, "listenerMetadata": "of \"ours\"",
            "flags": ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
        }),
    )
}

/// Kernels before 5.19 do not know the flag.
fn without_waiting(mut bundle: Bundle) -> Bundle {
    bundle.config["linux"]["seccomp"]["flags"] = json!([]);
    bundle
}

#[test]
fn the_listener_decides_and_is_told_of_the_container() {
    let dir = tempfile::tempdir().unwrap();
    for (number, no_new_privs) in [true, false].into_iter().enumerate() {
        let socket = dir.path().join(format!("agent{number}"));
        let asked = agent(UnixListener::bind(&socket).unwrap(), libc::EXDEV);
        let mut bundle = bundle(&socket, "busybox mkdir /tmp/x; echo $?; echo done")
            .with("/process/noNewPrivileges", json!(no_new_privs));
        if number == 1 {
            bundle = without_waiting(bundle);
        }
        let ended = Runtime::kickstage().run(&bundle).ok();
        assert_eq!(ended.stdout, "1\ndone\n");
        assert!(ended.stderr.contains("ross-device"), "{ended:?}");
        let told = asked.join().unwrap();
        assert_eq!(told["fds"], json!(["seccompFd"]));
        assert_eq!(told["metadata"], "of \"ours\"");
        assert!(told["pid"].as_i64().unwrap() > 1);
        assert_eq!(told["state"]["status"], "creating");
        assert_eq!(told["state"]["bundle"], json!(bundle.path()));
        assert_eq!(told["state"]["pid"], told["pid"]);
    }
}

#[test]
fn a_further_process_has_a_listener_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    let first = agent(listener.try_clone().unwrap(), libc::EPERM);
    let runtime = Runtime::kickstage();
    let bundle = without_waiting(bundle(&socket, "sleep 100"));
    let id = runtime.start(&bundle);
    let second = agent(listener, libc::ENOSPC);
    let ended = runtime.call(&["exec", &id, "busybox", "mkdir", "/tmp/y"]);
    assert!(ended.code == 1 && ended.stderr.contains("No space"), "{ended:?}");
    let told = second.join().unwrap();
    assert_eq!((&told["state"]["status"], &told["state"]["id"]), (&json!("running"), &json!(id)));
    assert_ne!(told["pid"], told["state"]["pid"]);
    runtime.call(&["delete", "--force", &id]).ok();
    assert_eq!(first.join().unwrap()["state"]["id"], json!(id));
}

/// Sends the program a signal that it has a handler for while the listener has a call of it; whether
/// that interrupts the call, as far as so many looks tell.
fn a_signal_interrupts(flags: &Value, looks: u32) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    let agent = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let (_, fd) = receive(&stream);
        assert!(!is_over(&fd), "the call comes");
        let mut asked = Notification::default();
        // SAFETY: as in `agent`.
        assert_eq!(unsafe { libc::ioctl(fd.as_raw_fd(), RECEIVE, &raw mut asked) }, 0);
        // SAFETY: only sends a signal, to the process that waits for us.
        assert_eq!(unsafe { libc::kill(asked.pid.cast_signed(), libc::SIGUSR1) }, 0);
        let is_over = (0..looks).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            // SAFETY: the kernel reads the number; the descriptor is a listener.
            unsafe { libc::ioctl(fd.as_raw_fd(), IS_VALID, &raw const asked.id) < 0 }
        });
        let answer = Answer { id: asked.id, value: 0, error: 0, flags: 0 };
        // SAFETY: as in `agent`.
        unsafe { libc::ioctl(fd.as_raw_fd(), SEND, &raw const answer) };
        is_over
    });
    let mut bundle = bundle(&socket, "trap 'echo heard' USR1; times >/dev/null; echo done");
    bundle.config["linux"]["seccomp"]["syscalls"][0]["names"] = json!(["times"]);
    bundle.config["linux"]["seccomp"]["flags"] = flags.clone();
    assert_eq!(Runtime::kickstage().run(&bundle).ok().stdout, "heard\ndone\n");
    agent.join().unwrap()
}

#[test]
fn with_wait_killable_recv_no_signal_interrupts_a_call_that_the_listener_has_taken() {
    assert!(a_signal_interrupts(&json!([]), 5000));
    assert!(!a_signal_interrupts(&json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]), 100));
}

#[test]
fn even_the_engines_own_calls_can_be_left_to_the_listener() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    let continues = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let (_, fd) = receive(&stream);
        let mut count = 0;
        loop {
            let mut asked = Notification::default();
            // SAFETY: as in `agent`.
            if is_over(&fd) || unsafe { libc::ioctl(fd.as_raw_fd(), RECEIVE, &raw mut asked) } < 0 {
                return count;
            }
            count += 1;
            // SECCOMP_USER_NOTIF_FLAG_CONTINUE
            let answer = Answer { id: asked.id, value: 0, error: 0, flags: 1 };
            // SAFETY: as in `agent`.
            unsafe { libc::ioctl(fd.as_raw_fd(), SEND, &raw const answer) };
        }
    });
    let mut bundle = without_waiting(bundle(&socket, "echo ran"));
    bundle.config["linux"]["seccomp"]["syscalls"][0]["names"] = json!([
        "sendmsg",
        "sendto",
        "recvmsg",
        "setuid",
        "capset",
        "prctl",
        "execve",
        "close_range"
    ]);
    assert_eq!(Runtime::kickstage().run(&bundle).ok().stdout, "ran\n");
    assert!(continues.join().unwrap() > 3);
}

#[test]
fn without_anybody_who_answers_there_is_no_container() {
    for (change, words) in [
        (json!(null), "needs somebody who answers"),
        (json!("/nowhere/agent"), "start the agent"),
        (json!("agent"), "must be absolute"),
    ] {
        let mut bundle = bundle(std::path::Path::new("/"), "true");
        bundle.config["linux"]["seccomp"]["listenerPath"] = change;
        let ended = Runtime::kickstage().run(&bundle);
        assert!(ended.code == 1 && ended.stderr.contains(words), "{ended:?}");
        assert!(ended.stderr.contains("/linux/seccomp/listenerPath"), "{ended:?}");
    }
}
