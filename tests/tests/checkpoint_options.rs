//! What CRIU saves and restores only if it is asked to, and where its processes come to be. Runs
//! where CRIU does: in the guest of `make test-vm`.

use kickstage_tests::Runtime;
use kickstage_tests::bundle::unique_id;
use kickstage_tests::saved::{Counter, criu_works, dump, restore, start};
use kickstage_tests::world::{assert_nothing_left, cgroup_value, wait_until};
use serde_json::json;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A container whose shell runs another script.
fn scripted(script: &str) -> Counter {
    let mut counter = Counter::new();
    counter.bundle.config["process"]["args"] = json!(["sh", "-c", script]);
    counter
}

/// Saving it fails, by CRIU's own words, and it goes on.
#[track_caller]
fn is_refused(runtime: &Runtime, id: &str, counter: &Counter, words: &str) {
    let images = counter.dir.path().join("refused");
    let images = images.to_str().unwrap();
    let ended = runtime.call(&["checkpoint", "--image-path", images, id]);
    assert!(ended.code == 1 && ended.stderr.contains(words), "{ended:?}");
    assert_eq!(runtime.state(id)["status"], "running");
}

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

#[test]
fn tcp_connections_go_on_if_asked_for() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let script = "sleep 1000 | nc -l -p 7 > /out/heard & n=0; \
                  (while :; do n=$((n + 1)); echo $n; echo $n > /out/n; sleep 0.1; done) \
                  | (until nc 127.0.0.1 7; do sleep 0.1; done)";
    let counter = scripted(script);
    symlink("busybox", counter.bundle.inside("bin/nc")).unwrap();
    let heard = || fs::read_to_string(counter.dir.path().join("heard")).unwrap_or_default();
    let id = start(&runtime, &counter);
    wait_until("it is heard", || heard().lines().count() > 2);
    is_refused(&runtime, &id, &counter, "tcp");
    dump(&runtime, &id, &counter.images(), &["--tcp-established"]);
    let before = heard();
    restore(&runtime, &counter, &id, &["--tcp-established"]);
    wait_until("it is heard again", || heard().lines().count() > before.lines().count() + 3);
    let numbers: Vec<usize> = heard().lines().filter_map(|line| line.parse().ok()).collect();
    assert!(numbers.iter().zip(1..).all(|(heard, said)| *heard == said), "{numbers:?}");
    runtime.call(&["delete", "--force", &id]).ok();
    assert_nothing_left(&runtime, &id);
}

#[test]
fn a_socket_of_the_outside_is_found_again_if_asked_for() {
    if !criu_works() {
        return;
    }
    let runtime = Runtime::kickstage();
    let mut counter = Counter::new();
    // CRIU knows those of the container's network only, by the path that they were bound to
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().join("socket");
    let listener = UnixDatagram::bind(&path).unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let volume =
        json!({"destination": outside.path(), "source": outside.path(), "options": ["bind"]});
    counter.bundle =
        counter.bundle.joining("network", "/proc/self/ns/net").adding("/mounts", volume);
    counter.bundle.config["process"]["args"] = json!(["probe", "send", path]);
    let heard = || -> u64 {
        let mut text = [0; 32];
        let length = listener.recv(&mut text).unwrap();
        str::from_utf8(&text[..length]).unwrap().parse().unwrap()
    };
    let id = start(&runtime, &counter);
    assert_eq!(heard(), 1);
    is_refused(&runtime, &id, &counter, "--ext-unix-sk");
    dump(&runtime, &id, &counter.images(), &["--ext-unix-sk"]);
    listener.set_nonblocking(true).unwrap();
    let mut text = [0; 32];
    while listener.recv(&mut text).is_ok() {}
    listener.set_nonblocking(false).unwrap();
    restore(&runtime, &counter, &id, &["--ext-unix-sk"]);
    let first = heard();
    assert!(first > 1, "it did not begin again");
    assert_eq!(heard(), first + 1);
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
    let first = counter.dir.path().join("first");
    dump(&runtime, &id, &first, &["--pre-dump"]);
    let all = blocks_of_pages(&first);
    counter.counts_beyond(counter.number() + 3);
    let kept = counter.dir.path().join("kept");
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
