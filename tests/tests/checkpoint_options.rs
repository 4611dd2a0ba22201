//! What CRIU saves and restores only if it is asked to, and where its processes come to be. Runs
//! where CRIU does: in the guest of `make test-vm`.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::running::Running;
use kickstage_tests::saved::{Counter, criu_works, dump, is_refused, restore, scripted, start};
use kickstage_tests::world::{assert_nothing_left, cgroup_value, wait_until};
use kickstage_tests::{Bundle, Runtime};
use serde_json::json;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn systemd_gives_a_restored_container_its_unit() {
    if !Path::new("/run/systemd/system").exists() {
        return eprintln!("not here: systemd does not run");
    }
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage().with_global(&["--systemd-cgroup"]);
    let mut counter = Counter::new();
    counter.bundle.config["linux"]["cgroupsPath"] = json!("system.slice:saved:counter");
    let unit = "saved-counter.scope";
    let pids = |id: &str| {
        let pid = runtime.state(id)["pid"].as_i64().unwrap();
        let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        // of each hierarchy of v1, too
        let place = format!(":/system.slice/{unit}");
        assert!(own.lines().all(|line| line.ends_with(&place)), "{own}");
        cgroup_value(pid, "pids", "pids.max", "pids.max")
    };
    let is_active = || {
        let asked = Command::new("systemctl").args(["is-active", unit]).output().unwrap();
        String::from_utf8(asked.stdout).unwrap().trim().to_owned()
    };
    let id = start(&runtime, &counter);
    counter.counts_beyond(0);
    assert_eq!(pids(&id), "44");
    dump(&runtime, &id, &counter.images(), &[]);
    wait_until("systemd lets it go", || is_active() == "inactive");
    let number = counter.number();
    restore(&runtime, &counter, &id, &[]);
    counter.counts_beyond(number + 2);
    assert_eq!((pids(&id).as_str(), is_active().as_str()), ("44", "active"));
    runtime.call(&["update", "--pids-limit", "33", &id]).ok();
    assert_eq!(pids(&id), "33");
    assert_eq!(runtime.call(&["exec", &id, "sh", "-c", "exit 5"]).code, 5);
    runtime.call(&["delete", "--force", &id]).ok();
    wait_until("systemd lets it go", || is_active() == "inactive");
    assert_nothing_left(&runtime, &id);
    // images that are none: neither is a unit
    fs::remove_file(counter.images().join("inventory.img")).unwrap();
    let images = counter.images().display().to_string();
    let ended = runtime.call(&["restore", "-b", counter.path(), "--image-path", &images, &id]);
    assert!(ended.code == 1 && ended.stderr.contains("criu restore: "), "{ended:?}");
    wait_until("systemd lets it go", || is_active() == "inactive");
    assert_nothing_left(&runtime, &id);
}

#[test]
fn locks_of_files_are_kept_if_asked_for() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let counter = scripted("exec probe lock /out/lock /out/n");
    let id = start(&runtime, &counter);
    counter.counts_beyond(0);
    let path = counter.dir.path().join("lock");
    let free =
        || Command::new("flock").arg("-n").arg(&path).arg("true").status().unwrap().success();
    is_refused(&runtime, &id, &counter, "criu dump: ");
    assert!(!free());
    dump(&runtime, &id, &counter.images(), &["--file-locks"]);
    assert!(free(), "it is gone with the container");
    restore(&runtime, &counter, &id, &["--file-locks"]);
    assert!(!free(), "it is there again");
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

/// What the pages of an image take on the disk, in blocks of 512 bytes.
fn blocks_of_pages(images: &Path) -> u64 {
    let entries = fs::read_dir(images).unwrap().map(|entry| entry.unwrap());
    let pages = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("pages-"));
    pages.map(|file| file.metadata().unwrap().blocks()).sum()
}

#[test]
fn pages_that_nobody_needs_are_dropped_from_the_images_if_asked_for() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let counter = Counter::new();
    let id = start(&runtime, &counter);
    counter.counts_beyond(3);
    let first = counter.saved.path().join("first");
    dump(&runtime, &id, &first, &["--pre-dump"]);
    let all = blocks_of_pages(&first);
    counter.counts_beyond(counter.number() + 3);
    let kept = counter.saved.path().join("kept");
    dump(&runtime, &id, &kept, &["--parent-path", "../first", "--leave-running"]);
    assert_eq!(blocks_of_pages(&first), all, "nobody has asked for it");
    counter.counts_beyond(counter.number() + 3);
    let flags = ["--parent-path", "../first", "--auto-dedup"];
    dump(&runtime, &id, &counter.images(), &flags);
    let rest = blocks_of_pages(&first);
    assert!(
        rest < all,
        "the pages that the second image has are gone from the first: {rest} of {all}"
    );
    let (number, saved) = (counter.number(), blocks_of_pages(&counter.images()));
    restore(&runtime, &counter, &id, &["--auto-dedup"]);
    counter.counts_beyond(number + 2);
    assert!(blocks_of_pages(&counter.images()) < saved, "what is restored is gone from the image");
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn pages_go_to_a_server_if_there_is_one() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let counter = Counter::new();
    let id = start(&runtime, &counter);
    counter.counts_beyond(3);
    let elsewhere = counter.saved.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let port = "27278";
    let mut server = Command::new("criu")
        .args(["page-server", "--address", "127.0.0.1", "--port", port, "-D"])
        .arg(&elsewhere)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let listens = || {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        table.contains("0100007F:6A8E 00000000:0000 0A")
    };
    wait_until("the server listens", listens);
    dump(&runtime, &id, &counter.images(), &["--page-server", &format!("127.0.0.1:{port}")]);
    assert!(server.wait().unwrap().success());
    assert_eq!(blocks_of_pages(&counter.images()), 0);
    assert!(blocks_of_pages(&elsewhere) > 0);
    for entry in fs::read_dir(&elsewhere).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_name().to_string_lossy().starts_with("page") {
            fs::rename(entry.path(), counter.images().join(entry.file_name())).unwrap();
        }
    }
    let number = counter.number();
    restore(&runtime, &counter, &id, &[]);
    counter.counts_beyond(number + 2);
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn pages_are_fetched_when_they_are_needed() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let counter = Counter::new();
    let id = start(&runtime, &counter);
    counter.counts_beyond(3);
    let images = counter.images().display().to_string();
    let (mut ready, writer) = std::io::pipe().unwrap();
    let port = "27277";
    let saving = runtime.command(&[
        "checkpoint",
        "--image-path",
        &images,
        "--work-path",
        &images,
        "--lazy-pages",
        "--page-server",
        &format!("127.0.0.1:{port}"),
        "--status-fd",
        "9",
        &id,
    ]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 9>&1 >/dev/null; exec \"$@\"", "sh"]).stdin(Stdio::null());
    shell.arg(saving.get_program()).args(saving.get_args()).stdout(writer);
    let mut saving = shell.spawn().unwrap();
    drop(shell);
    assert_eq!(ready.read(&mut [0]).unwrap(), 1, "pages can be asked for");
    let number = counter.number();
    let mut fetching = Command::new("criu")
        .args(["lazy-pages", "--page-server", "--address", "127.0.0.1", "--port", port])
        .args(["-D", &images, "-W", &images])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let socket = counter.images().join("lazy-pages.socket");
    wait_until("the pages have a server", || socket.exists());
    // as on another host: the first is there as long as its pages are
    let (second, copy) = (Runtime::kickstage(), unique_id());
    restore(&second, &counter, &copy, &["--lazy-pages"]);
    counter.counts_beyond(number + 2);
    assert!(saving.wait().unwrap().success());
    assert!(fetching.wait().unwrap().success());
    assert_nothing_left(&runtime, &id);
    second.call(&["delete", "--force", &copy]).ok();
    assert_nothing_left(&second, &copy);
}

#[test]
fn namespaces_of_others_are_joined_again() {
    if !criu_works() {
        return;
    }
    // as the first process it has to reap what a checkpoint kills, or the numbers stay taken
    let reaper = Bundle::script("while :; do sleep 0.1; done");
    let holder = Running::new(Runtime::kickstage(), reaper);
    let mut counter = Counter::new();
    let kinds = [("pid", "pid"), ("ipc", "ipc"), ("uts", "uts"), ("network", "net")];
    for (kind, name) in kinds {
        let path = format!("/proc/{}/ns/{name}", holder.pid());
        counter.bundle = counter.bundle.joining(kind, &path);
    }
    // it is the holder's
    counter.bundle = counter.bundle.with("/hostname", json!(""));
    let runtime = &holder.runtime;
    let id = start(runtime, &counter);
    counter.counts_beyond(3);
    dump(runtime, &id, &counter.images(), &[]);
    let number = counter.number();
    restore(runtime, &counter, &id, &[]);
    counter.counts_beyond(number + 2);
    let pid = runtime.state(&id)["pid"].as_i64().unwrap();
    for (_, name) in kinds {
        let namespace = |pid: i64| fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        assert_eq!(namespace(pid), namespace(holder.pid()), "{name}");
    }
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(runtime, &id);
}
