//! Whatever a client sends, the server answers each request with one frame or ends with an error.
//!
//! A request that is understood is done, so the server runs where nothing can be done: as nobody,
//! in namespaces of its own that map no user, without a root file system.

use kickstage_config::handoff::{self, Form};
use kickstage_config::plan::{
    AttributeChange, Bind, Mount, Op, SourceSymlink, Step, TargetSymlink,
};
use kickstage_config::{Error, Text};
use kickstage_rpc::{serve, unpack};
use kickstage_sys::process::{self, Exit, Forked, clone};
use kickstage_sys::{Fd, file, image, socket};
use proptest::collection::vec;
use proptest::prelude::*;

/// What comes with a frame.
#[derive(Clone, Debug)]
enum Passenger {
    None,
    Sealed(Vec<u8>),
    Unsealed,
    Pipe,
}

#[derive(Clone, Debug)]
struct Frame {
    bytes: Vec<u8>,
    passenger: Passenger,
}

/// Operations of every shape.
fn steps() -> Vec<Step> {
    let text = |text| Text::new(text).unwrap();
    let change = AttributeChange { set: 1, clear: 2, recursive: true };
    let mount = Mount {
        kind: text("tmpfs"),
        source: text("tmpfs"),
        target: text("/dev"),
        flags: 2,
        data: text("mode=755"),
        propagation: vec![1 << 19],
        copy_up: true,
        changes: vec![change],
    };
    let bind = Bind {
        source: text("/x"),
        target: text("/y"),
        recursive: true,
        mapped: Some(0),
        source_symlink: SourceSymlink::Follow,
        target_symlink: TargetSymlink::Follow,
        propagation: vec![],
        changes: vec![change],
    };
    let ops = [
        Op::Mount(mount),
        Op::Bind(bind),
        Op::Directory { path: text("/run"), mode: 0o755 },
        Op::Mask { paths: vec![text("/proc/kcore"), text("/sys")], label: Some(text("u:r:t:s0")) },
        Op::Label { path: text("/dev/mqueue"), label: text("u:r:t:s0") },
        Op::Sysctl { values: vec![(text("net/core/somaxconn"), "5".into())] },
        Op::Hostname { name: "box".into() },
        Op::Loopback,
    ];
    ops.into_iter().map(|op| Step { key: "/mounts/0".into(), op }).collect()
}

/// All of them, none, and each alone: what is alone is reached by every change.
fn seeds() -> Vec<Vec<u8>> {
    let steps = steps();
    let alone = steps.iter().map(std::slice::from_ref);
    let batches = alone.chain([&steps[..], &[]]);
    batches.map(|batch| handoff::encode(&batch, Form::Compact).unwrap()).collect()
}

fn frame() -> impl Strategy<Value = Frame> {
    let kind =
        prop::sample::select(vec![b"b".to_vec(), b"c".to_vec(), b"t".to_vec(), b"x".to_vec()]);
    let bytes = prop_oneof![8 => kind, 1 => vec(any::<u8>(), 0..40)];
    let passenger = prop_oneof![
        1 => Just(Passenger::None),
        6 => kickstage_fuzz::bytes(seeds(), &["/", "..", "\u{0}"]).prop_map(Passenger::Sealed),
        1 => Just(Passenger::Unsealed),
        1 => Just(Passenger::Pipe),
    ];
    (bytes, passenger).prop_map(|(bytes, passenger)| Frame { bytes, passenger })
}

impl Passenger {
    fn open(&self) -> Option<Fd> {
        match self {
            Self::None => None,
            Self::Sealed(bytes) => Some(image::seal(c"any", bytes, image::Content::Data).unwrap()),
            Self::Unsealed => Some(image::shared(c"any", 100).unwrap()),
            Self::Pipe => Some(file::pipe().unwrap().0),
        }
    }
}

/// 0: the client has gone. 1: an error has ended it.
fn become_server(socket: &Fd) -> ! {
    let nobody = 65_534;
    let all = [clone::NEWUSER, clone::NEWNS, clone::NEWNET, clone::NEWUTS, clone::NEWIPC];
    let isolated = process::set_groups(&[])
        .and_then(|()| process::set_gid(nobody))
        .and_then(|()| process::set_uid(nobody))
        .and_then(|()| process::unshare(all.into_iter().fold(0, |flags, flag| flags | flag)));
    if isolated.is_err() {
        process::exit(2);
    }
    process::exit(i32::from(serve(socket.borrow()).is_err()))
}

proptest! {
    #![proptest_config(kickstage_fuzz::seeded())]
    #[test]
    fn any_frames_are_answered_one_by_one(frames in vec(frame(), 0..6)) {
        let (client, server) = socket::pair().unwrap();
        // this test is the only one of its program: no other thread holds a lock
        let child = match process::fork(0, None).unwrap() {
            Forked::Child => {
                drop(client);
                become_server(&server)
            }
            Forked::Parent(_, child) => child,
        };
        drop(server);
        let mut ended = false;
        for frame in &frames {
            let passenger = frame.passenger.open();
            if socket::send(client.borrow(), &frame.bytes, passenger.as_ref().map(Fd::borrow)).is_err() {
                ended = true;
                break;
            }
            let Ok((word, passenger)) = socket::receive(client.borrow(), 16) else {
                ended = true;
                break;
            };
            match (&*word, passenger) {
                (b"d", None) => {}
                (b"f", Some(error)) => prop_assert!(unpack::<Error>(&error).is_ok()),
                (b"", None) => ended = true,
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            }
            if ended {
                break;
            }
        }
        drop(client);
        let exit = process::wait(child.borrow()).unwrap();
        // a frame that is too long, or empty, ends the conversation; nothing else does
        let odd = frames.iter().any(|frame| frame.bytes.len() != 1);
        prop_assert!(matches!(exit, Exit::Code(0 | 1)), "{:?}", exit);
        prop_assert!(odd || !ended && exit == Exit::Code(0), "{:?} {}", exit, ended);
    }
}
