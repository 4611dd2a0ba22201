//! What a container looks like from inside: runs as its process, prints one JSON object.
//!
//! `probe read PATH…` also reads files, `probe write PATH…` tries to write to them. `probe call
//! NUMBER[:ARGUMENT,…]…` makes system calls and tells their error numbers; `call32` makes them
//! through the i386 entry, `thread` in a thread, `trap` with a handler for SIGSYS. `probe bind PORT…`
//! and `connect` try it with TCP, `abstract NAME…` connects to abstract unix sockets. `probe keyring
//! [NAME]` tells of the session keyring, `probe label PATH…` of SELinux labels, `probe exchange A B` exchanges two names for ever, `probe
//! libc` uses what a C library does by one of several calls. `probe notify WORD…` only sends each
//! word to `$NOTIFY_SOCKET`, and then waits to be killed. `probe lock FILE READY` locks a file, writes
//! 1 to another, and waits likewise. `probe send SOCKET` counts for ever, to a socket that it has
//! connected to once.

#[path = "probe/calls.rs"]
mod calls;
#[path = "probe/scheduler.rs"]
mod scheduler;

use serde_json::{Map, Value, json};
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};

fn main() {
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("notify") => return notify(words.into_iter().skip(2)),
        Some("lock") if words.len() == 4 => return lock(&words[2], &words[3]),
        Some("send") if words.len() == 3 => send(&words[2]),
        Some("exchange") if words.len() == 4 => exchange(&words[2], &words[3]),
        _ => {}
    }
    let mut seen = Map::new();
    seen.insert("args".into(), json!(std::env::args().collect::<Vec<_>>()));
    let mut env: Vec<String> =
        std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    env.sort();
    seen.insert("env".into(), json!(env));
    seen.insert("cwd".into(), json!(std::env::current_dir().ok()));
    seen.insert("status".into(), status());
    seen.insert(
        "limits".into(),
        json!(text("/proc/self/limits").lines().skip(1).collect::<Vec<_>>()),
    );
    seen.insert("mounts".into(), mounts());
    seen.insert("dev".into(), directory("/dev"));
    seen.insert("fds".into(), fds());
    seen.insert("cgroup".into(), json!(text("/proc/self/cgroup").lines().collect::<Vec<_>>()));
    for (name, path) in [
        ("hostname", "/proc/sys/kernel/hostname"),
        ("domainname", "/proc/sys/kernel/domainname"),
        ("oom_score_adj", "/proc/self/oom_score_adj"),
        ("personality", "/proc/self/personality"),
        ("uid_map", "/proc/self/uid_map"),
        ("gid_map", "/proc/self/gid_map"),
        ("time_offsets", "/proc/self/timens_offsets"),
        ("interfaces", "/sys/class/net/lo/operstate"),
        ("lo_flags", "/sys/class/net/lo/flags"),
    ] {
        seen.insert(name.into(), json!(text(path).trim()));
    }
    seen.insert("session_leader".into(), json!(session_leader()));
    seen.insert("scheduler".into(), scheduler::attributes());
    let mut words = std::env::args().skip(1);
    let task = words.next().unwrap_or_default();
    for word in words {
        let result = perform(&task, &word);
        seen.insert(word, result);
    }
    if task == "libc" {
        seen.insert("libc".into(), libc_falls_back());
    }
    println!("{}", Value::Object(seen));
}

fn lock(path: &str, ready: &str) {
    let file = fs::File::create(path).expect("writable");
    file.lock().expect("nobody else has it");
    fs::write(ready, "1").expect("writable");
    loop {
        std::thread::park();
    }
}

fn send(path: &str) -> ! {
    let socket = UnixDatagram::unbound().expect("sockets are allowed");
    socket.connect(path).expect("somebody has bound it");
    for number in 1_u64.. {
        socket.send(number.to_string().as_bytes()).expect("it is heard");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    unreachable!("a number of 64 bits has no end here")
}

/// What an attacker does to the names of a volume.
fn exchange(one: &str, other: &str) -> ! {
    let path = |name: &str| std::ffi::CString::new(name).expect("an argument has no NUL");
    let (one, other) = (path(one), path(other));
    loop {
        kickstage_tests::attack::exchange(&one, &other);
    }
}

/// A thread is made by clone3 or clone, the check is done by faccessat2 or by looking at the mode:
/// the second only if the first is unknown to the kernel.
fn libc_falls_back() -> Value {
    let thread = std::thread::Builder::new().spawn(|| ()).is_ok_and(|it| it.join().is_ok());
    // SAFETY: the path ends with a NUL.
    let access =
        unsafe { libc::faccessat(libc::AT_FDCWD, c"/".as_ptr(), libc::R_OK, libc::AT_EACCESS) };
    json!({"thread": thread, "access": access == 0})
}

/// What comes of one word of the command line.
fn perform(task: &str, word: &str) -> Value {
    let result = match task {
        "call" => return json!(calls::errno(word)),
        "call32" => return json!(calls::errno_32(word)),
        "thread" => return json!(calls::in_a_thread(word)),
        "trap" => return json!(calls::trapped(word)),
        "keyring" => return json!(keyring(word)),
        "label" => return json!(label(word)),
        "bind" => TcpListener::bind(local(word)).map(|_| json!("ok")),
        "connect" => TcpStream::connect(local(word)).map(|_| json!("ok")),
        "abstract" => SocketAddr::from_abstract_name(word)
            .and_then(|name| UnixStream::connect_addr(&name))
            .map(|_| json!("ok")),
        "write" => fs::OpenOptions::new().write(true).open(word).map(|_| json!("ok")),
        _ => fs::read(word).map(|bytes| json!(String::from_utf8_lossy(&bytes))),
    };
    result.unwrap_or_else(|error| json!(error.to_string()))
}

fn local(port: &str) -> (Ipv4Addr, u16) {
    (Ipv4Addr::LOCALHOST, port.parse().expect("a port"))
}

/// Of a file, a directory, or what is mounted there.
fn label(path: &str) -> String {
    let path = std::ffi::CString::new(path).expect("a word has no NUL");
    let mut text = vec![0; 256];
    let name = c"security.selinux".as_ptr();
    // SAFETY: the names are NUL-terminated and the buffer has the length that is passed.
    let length =
        unsafe { libc::getxattr(path.as_ptr(), name, text.as_mut_ptr().cast(), text.len()) };
    text.truncate(usize::try_from(length).unwrap_or(0));
    String::from_utf8_lossy(&text).trim_end_matches('\0').into()
}

/// Number, description and security label (keyctl(2)) of the session keyring, after one of this
/// name has been joined, if there is a name.
fn keyring(name: &str) -> (i64, String, String) {
    const SESSION: i64 = -3;
    const GET_KEYRING_ID: i64 = 0;
    const JOIN_SESSION_KEYRING: i64 = 1;
    const DESCRIBE: i64 = 6;
    const GET_SECURITY: i64 = 17;
    let mut texts = [vec![0; 256], vec![0; 256]];
    let [text, label] = &mut texts;
    // SAFETY: the name is NUL-terminated and the buffer has the length that is passed.
    let (number, lengths) = unsafe {
        if !name.is_empty() {
            let name = std::ffi::CString::new(name).expect("a word has no NUL");
            libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr());
        }
        (
            libc::syscall(libc::SYS_keyctl, GET_KEYRING_ID, SESSION, 0),
            [
                libc::syscall(libc::SYS_keyctl, DESCRIBE, SESSION, text.as_mut_ptr(), text.len()),
                libc::syscall(
                    libc::SYS_keyctl,
                    GET_SECURITY,
                    SESSION,
                    label.as_mut_ptr(),
                    label.len(),
                ),
            ],
        )
    };
    for (text, length) in texts.iter_mut().zip(lengths) {
        // it ends with a NUL
        text.truncate(usize::try_from(length).unwrap_or(1).saturating_sub(1));
    }
    let [text, label] = texts.map(|text| String::from_utf8_lossy(&text).into_owned());
    (number, text, label)
}

fn notify(words: impl Iterator<Item = String>) {
    let path = std::env::var("NOTIFY_SOCKET").expect("a socket is given");
    let socket = std::os::unix::net::UnixDatagram::unbound().expect("a socket can be made");
    for word in words {
        socket.send_to(word.as_bytes(), &path).expect("somebody listens");
    }
    loop {
        std::thread::park();
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The lines of /proc/self/status that are about privilege and identity.
fn status() -> Value {
    let wanted = [
        "Umask",
        "Uid",
        "Gid",
        "Groups",
        "SigBlk",
        "SigIgn",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
        "Seccomp_filters",
        "Speculation_Store_Bypass",
        "Cpus_allowed_list",
        "Mems_allowed_list",
        "NSpid",
    ];
    let text = text("/proc/self/status");
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .filter(|(name, _)| wanted.contains(name))
        .map(|(name, value)| (name.to_string(), json!(value.trim())))
        .collect::<Map<_, _>>()
        .into()
}

/// Mount point → type, options, propagation; devices and ids are the host's business.
fn mounts() -> Value {
    let text = text("/proc/self/mountinfo");
    let mut mounts = Vec::new();
    for line in text.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let propagation: Vec<&str> =
            left[6..].iter().map(|tag| tag.split(':').next().unwrap_or(tag)).collect();
        mounts.push(json!({
            "point": left[4], "options": sorted(left[5]), "type": right[0],
            "super": sorted(right.get(2).unwrap_or(&"")), "propagation": propagation,
        }));
    }
    mounts.into()
}

fn sorted(options: &str) -> Vec<&str> {
    let mut options: Vec<&str> = options.split(',').collect();
    options.sort_unstable();
    options
}

fn directory(path: &str) -> Value {
    let mut entries = Map::new();
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let Ok(found) = fs::symlink_metadata(entry.path()) else { continue };
        let kind = found.file_type();
        let what = if kind.is_symlink() {
            json!(fs::read_link(entry.path()).ok())
        } else {
            let device = kind.is_char_device() || kind.is_block_device();
            let mode = format!("{:o}", found.permissions().mode());
            json!([mode, if device { found.rdev() } else { 0 }, found.uid(), found.gid()])
        };
        entries.insert(entry.file_name().to_string_lossy().into_owned(), what);
    }
    entries.into()
}

/// Open descriptors but for the one that lists them.
fn fds() -> Value {
    let mut numbers: Vec<u32> = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| !to.ends_with("fd")))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    json!(numbers)
}

/// Fields 1, 5 and 6 of /proc/self/stat: pid, group, session.
fn session_leader() -> bool {
    let stat = text("/proc/self/stat");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let pid = std::process::id().to_string();
    fields.get(2) == Some(&&*pid) && fields.get(3) == Some(&&*pid)
}
