//! Rights that the program gives up for good, each by what it then can and can't do
//! (docs/LANDLOCK.md). What this kernel's landlock does not know is refused, or left out where the
//! annotation says so.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::{assert_nothing_left, landlock_abi};
use kickstage_tests::{Bundle, Running, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

const KEY: &str = "/annotations/io.kickstage.landlock";
const DENIED: &str = "Permission denied (os error 13)";
const NOT_PERMITTED: &str = "Operation not permitted (os error 1)";

/// A bundle whose program is restricted by these clauses.
fn restricted(bundle: Bundle, clauses: &str) -> Bundle {
    bundle.with("/annotations", json!({"io.kickstage.landlock": clauses}))
}

#[track_caller]
fn refused(bundle: &Bundle, wanted: &[&str]) {
    let (runtime, id) = (Runtime::kickstage(), unique_id());
    let ended = runtime.run_as(&id, bundle);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(wanted.iter().all(|part| ended.stderr.contains(part)), "{ended:?}");
    assert_nothing_left(&runtime, &id);
}

/// What the probe sees under clauses that this kernel may know or not: it has to refuse them, and
/// leave them out only if told so.
#[track_caller]
fn seen_if_known(since: i64, bundle: impl Fn() -> Bundle, clauses: &str) -> Option<Value> {
    let known = landlock_abi() >= since;
    if !known {
        refused(&restricted(bundle(), clauses), &[KEY, "add best-effort"]);
    }
    let clauses = if known { clauses } else { &*format!("{clauses}; best-effort") };
    let seen = Runtime::kickstage().run(&restricted(bundle(), clauses)).ok().json();
    if known {
        return Some(seen);
    }
    let plain = Runtime::kickstage().run(&bundle()).ok().json();
    let words = |seen: &Value| seen["args"].as_array().unwrap()[2..].to_vec();
    for word in words(&seen).iter().filter_map(Value::as_str) {
        assert_eq!(seen[word], plain[word], "{word} is not left out");
    }
    None
}

#[test]
fn beneath_a_path_is_allowed_what_its_clause_says_and_elsewhere_nothing() {
    let script = "
        cat /etc/passwd >/dev/null && echo etc is read
        echo x > /etc/new; /etc/sh -c 'echo etc is executed'
        ls /bin >/dev/null && echo bin is read; echo x > /bin/new
        cd /data && echo x > one && echo more >> one && mkdir a b && echo data is written
        busybox mv one two && busybox ln two a/link && echo data is renamed
        busybox truncate -s 1 two && busybox rm -r a two && busybox rmdir b && echo data is removed
        ls /data >/dev/null && echo data is read; /data/sh -c 'echo data is executed'
        cat /root/secret; ls /; echo x > /root/new; true";
    let bundle = restricted(Bundle::script(script), "execute /bin; read /etc; write /data /dev");
    fs::create_dir(bundle.inside("data")).unwrap();
    fs::write(bundle.inside("root/secret"), "secret\n").unwrap();
    for place in ["etc/sh", "data/sh"] {
        fs::copy("/bin/busybox", bundle.inside(place)).unwrap();
    }
    let ended = Runtime::kickstage().run(&bundle).ok();
    let wanted = "etc is read\nbin is read\ndata is written\ndata is renamed\ndata is removed\ndata is read\n";
    assert_eq!(ended.stdout, wanted, "{ended:?}");
    assert_eq!(ended.stderr.matches("ermission denied").count(), 7, "{ended:?}");
    // the same without it
    let mut free = bundle;
    free.config.as_object_mut().unwrap().remove("annotations");
    let ended = Runtime::kickstage().run(&free).ok();
    assert!(
        ended.stdout.contains("etc is executed") && ended.stdout.contains("secret"),
        "{ended:?}"
    );
    assert!(!ended.stderr.contains("ermission denied"), "{ended:?}");
}

#[test]
fn links_between_directories_are_made_where_both_may_be_written() {
    let script = "busybox ln /one/file /two/link && echo linked";
    let bundle = |clauses: &str| {
        let bundle = restricted(Bundle::script(script), clauses);
        for dir in ["one", "two"] {
            fs::create_dir(bundle.inside(dir)).unwrap();
        }
        fs::write(bundle.inside("one/file"), "x").unwrap();
        bundle
    };
    let both = Runtime::kickstage().run(&bundle("execute /bin; write /one /two"));
    // before version 2 never
    assert_eq!(both.stdout == "linked\n", landlock_abi() >= 2, "{both:?}");
    let one = Runtime::kickstage().run(&bundle("execute /bin; write /one; read /two"));
    assert!(one.code == 1 && one.stdout.is_empty(), "{one:?}");
}

#[test]
fn devices_are_controlled_only_by_who_may_write_them() {
    let said = |clauses: &str| {
        let bundle = Bundle::new(&["stty", "-F", "/dev/null"]);
        Runtime::kickstage().run(&restricted(bundle, clauses)).stderr
    };
    let allowed = said("execute /bin; write /dev");
    assert!(allowed.contains("nappropriate ioctl"), "{allowed}");
    let denied = said("execute /bin; read /dev");
    // such a right came with version 5
    let wanted = if landlock_abi() >= 5 { "ermission denied" } else { "nappropriate ioctl" };
    assert!(denied.contains(wanted), "{denied}");
}

#[test]
fn tcp_is_for_the_ports_that_are_named() {
    let probe = |way: &'static str| move || Bundle::new(&["probe", way, "7081", "7082"]);
    let refused = "Connection refused (os error 111)";
    for (way, allowed) in [("bind", "ok"), ("connect", refused)] {
        let other = if way == "bind" { "connect" } else { "bind" };
        for (clauses, wanted) in [
            (format!("{way} 7081"), [allowed, DENIED]),
            (format!("{way} 7082 7081"), [allowed, allowed]),
            (way.to_string(), [DENIED, DENIED]),
            // files alone, and the other way, leave it as it is
            (format!("{other} 9"), [allowed, allowed]),
        ] {
            let Some(seen) = seen_if_known(4, probe(way), &clauses) else { continue };
            assert_eq!([&seen["7081"], &seen["7082"]], wanted, "{clauses}");
        }
        let files = restricted(probe(way)(), "execute /bin; read /");
        assert_eq!(Runtime::kickstage().run(&files).ok().json()["7081"], allowed);
    }
}

#[test]
fn abstract_sockets_of_others_are_out_of_reach_in_a_scope() {
    let name = unique_id();
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    // in the network of the host, which such names belong to
    let bundle = || {
        let mut bundle = Bundle::new(&["probe", "abstract", &name]);
        let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
        bundle
    };
    for (clauses, wanted) in [
        ("scope abstract-unix-socket", NOT_PERMITTED),
        ("scope signal abstract-unix-socket", NOT_PERMITTED),
        ("scope signal", "ok"),
    ] {
        if let Some(seen) = seen_if_known(6, bundle, clauses) {
            assert_eq!(seen[&name], wanted, "{clauses}");
        }
    }
}

#[test]
fn signals_stay_in_a_scope() {
    // what exec adds is in a scope of its own
    for (clauses, since, crosses) in [("scope signal", 6, false), ("read /", 1, true)] {
        let clauses = if landlock_abi() >= since { clauses } else { "read /; best-effort" };
        let clauses = format!("{clauses}; execute /bin");
        let bundle = restricted(Bundle::new(&["sleep", "1000"]), &clauses);
        let running = Running::new(Runtime::kickstage(), bundle);
        let own = running.exec(&[], &["sh", "-c", "sleep 100 & kill $!"]);
        assert_eq!(own.code, 0, "{own:?}");
        let other = running.exec(&[], &["sh", "-c", "kill -0 1"]);
        let crossed = crosses || landlock_abi() < since;
        assert_eq!(other.code == 0, crossed, "{clauses}: {other:?}");
        assert_eq!(other.stderr.contains("not permitted"), !crossed, "{clauses}: {other:?}");
    }
}

#[test]
fn what_exec_adds_is_restricted_too() {
    let bundle = restricted(Bundle::new(&["sleep", "1000"]), "execute /bin; read /etc");
    fs::write(bundle.inside("root/secret"), "secret\n").unwrap();
    let running = Running::new(Runtime::kickstage(), bundle);
    let ended = running.exec(&[], &["cat", "/etc/passwd", "/root/secret"]);
    assert!(ended.stdout.starts_with("root:") && !ended.stdout.contains("secret"), "{ended:?}");
    assert!(ended.stderr.contains("ermission denied"), "{ended:?}");
}

#[test]
fn what_can_not_be_put_into_force_is_refused() {
    let with = |clauses: &str| restricted(Bundle::new(&["true"]), clauses);
    for wrong in ["reed /", "read etc", "bind 65536", "scope x", "best-effort", ""] {
        refused(&with(wrong), &[KEY]);
    }
    refused(&with("read /nowhere"), &[KEY, "/nowhere"]);
    let privileged = with("read /").with("/process/noNewPrivileges", json!(false));
    refused(&privileged, &["/process/noNewPrivileges"]);
}
