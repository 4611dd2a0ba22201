//! Terminals, handed to a socket or passed through.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::runtime::ended;
use kickstage_tests::{Bundle, Runtime};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

/// What a program says on the terminal that comes through a socket.
fn said_on(listener: &UnixListener, start: impl FnOnce()) -> String {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    use std::os::fd::{AsRawFd, FromRawFd};
    let (stream, _) = listener.accept().unwrap();
    let mut name = [0; 64];
    let mut parts = [std::io::IoSliceMut::new(&mut name)];
    let mut space = nix::cmsg_space!([i32; 1]);
    let message =
        recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty()).unwrap();
    let fd = match message.cmsgs().unwrap().next() {
        Some(ControlMessageOwned::ScmRights(fds)) => fds[0],
        other => panic!("{other:?}"),
    };
    // SAFETY: the descriptor has just been received and is ours.
    let mut terminal = unsafe { fs::File::from_raw_fd(fd) };
    start();
    let mut said = Vec::new();
    // a terminal whose other side is closed reads as EIO
    let _ = std::io::Read::read_to_end(&mut terminal, &mut said);
    String::from_utf8_lossy(&said).replace('\r', "")
}

#[test]
fn a_console_socket_receives_the_terminal() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sh", "-c", "tty; stty size; echo done"])
        .with("/process/terminal", json!(true))
        .with("/process/consoleSize", json!({"height": 12, "width": 34}));
    let socket = bundle.inside("console.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let id = unique_id();
    let path = bundle.path().display().to_string();
    let socket = socket.display().to_string();
    runtime.call(&["create", "-b", &path, "--console-socket", &socket, &id]).ok();
    let said = said_on(&listener, || {
        runtime.call(&["start", &id]).ok();
    });
    assert_eq!(said, "/dev/pts/0\n12 34\ndone\n");
    runtime.call(&["delete", "-f", &id]).ok();
}

#[test]
fn a_further_process_has_a_terminal_of_its_own_size() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sleep", "100"]);
    let id = runtime.start(&bundle);
    let (socket, file) = (bundle.inside("console.sock"), bundle.inside("process.json"));
    let process = json!({
        "terminal": true, "consoleSize": {"height": 7, "width": 65}, "cwd": "/",
        "user": {"uid": 0, "gid": 0, "umask": 63},
        "args": ["/bin/sh", "-c", "/bin/tty; /bin/stty size; umask"],
    });
    fs::write(&file, process.to_string()).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let [socket, file] = [&socket, &file].map(|path| path.display().to_string());
    runtime.call(&["exec", "-d", "--console-socket", &socket, "--process", &file, &id]).ok();
    assert_eq!(said_on(&listener, || ()), "/dev/pts/0\n7 65\n0077\n");
    runtime.call(&["delete", "-f", &id]).ok();
}

#[test]
fn a_terminal_in_the_foreground_is_passed_through() {
    let runtime = Runtime::kickstage();
    let bundle = Bundle::new(&["sh", "-c", "tty; stty size; read line; echo got $line; exit 9"])
        .with("/process/terminal", json!(true));
    let path = bundle.path().display().to_string();
    let command = runtime.command(&["run", "-b", &path, &unique_id()]);
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    // script(1) gives it a terminal of its own
    let mut script = std::process::Command::new("script")
        .args(["-qefc", &format!("stty rows 21 cols 43; {}", words.join(" ")), "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = script.stdin.take().unwrap();
    stdin.write_all(b"hello\n").unwrap();
    let ended = ended(script.wait_with_output().unwrap());
    drop(stdin);
    assert_eq!(ended.code, 9, "{ended:?}");
    assert!(ended.stdout.contains("/dev/pts/0"), "{ended:?}");
    assert!(ended.stdout.contains("21 43"), "{ended:?}");
    assert!(ended.stdout.contains("got hello"), "{ended:?}");
}
