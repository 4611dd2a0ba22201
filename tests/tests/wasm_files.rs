//! The files that a WebAssembly module sees.

use kickstage_tests::wasm::{bundle, mounted, shared};
use kickstage_tests::{Bundle, Ended, Runtime};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

fn run(bundle: &Bundle) -> Ended {
    Runtime::kickstage().run(bundle)
}

#[test]
fn a_volume_is_used_as_the_containers_user() {
    let dir = shared();
    let user = json!({"uid": 1234, "gid": 5678, "umask": 0o027});
    let step = |words: &[&str]| {
        let bundle = mounted(bundle(words), &dir, &["rbind"]).with("/process/user", user.clone());
        run(&bundle)
    };
    assert_eq!(step(&["read", "/volume/file"]).ok().stdout, "from the host\n");
    step(&["mkdir", "/volume/new"]).ok();
    step(&["write", "/volume/new/a", "text"]).ok();
    step(&["append", "/volume/new/a", " more"]).ok();
    assert_eq!(fs::read_to_string(dir.path().join("new/a")).unwrap(), "text more");
    let made = fs::metadata(dir.path().join("new/a")).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (1234, 5678, 0o640));
    step(&["link", "/volume/new/a", "/volume/new/b"]).ok();
    step(&["symlink", "a", "/volume/new/c"]).ok();
    step(&["rename", "/volume/new/b", "/volume/b"]).ok();
    assert_eq!(step(&["readlink", "/volume/new/c"]).ok().stdout, "a\n");
    assert_eq!(step(&["stat", "/volume/new/c"]).ok().stdout, "symlink 1\n");
    assert_eq!(step(&["stat", "/volume/b"]).ok().stdout, "file 9\n");
    assert_eq!(step(&["list", "/volume"]).ok().stdout, "./\n../\nb\nfile\nnew/\n");
    assert_eq!(step(&["rmdir", "/volume/new"]).stdout, "/volume/new: Directory not empty\n");
    for name in ["a", "c"] {
        step(&["unlink", &format!("/volume/new/{name}")]).ok();
    }
    step(&["rmdir", "/volume/new"]).ok();
    // what is not the user's stays as it is
    let refused = step(&["write", "/volume/file", "x"]);
    assert_eq!(refused.stdout, "/volume/file: Permission denied\n");
    assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "from the host\n");
}

#[test]
fn a_large_directory_is_listed_whole() {
    let dir = shared();
    let names: Vec<String> = (0..700).map(|number| format!("name-of-a-file-{number:04}")).collect();
    for name in &names {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let listed = run(&mounted(bundle(&["list", "/volume"]), &dir, &["rbind"])).ok().stdout;
    let listed: Vec<&str> = listed.lines().collect();
    assert_eq!(listed[..3], ["./", "../", "file"]);
    assert_eq!(listed[3..], names);
}

#[test]
fn a_read_only_mount_is_read_only() {
    let dir = shared();
    let step = |words: &[&str]| run(&mounted(bundle(words), &dir, &["rbind", "ro"]));
    assert_eq!(step(&["read", "/volume/file"]).ok().stdout, "from the host\n");
    for words in
        [&["write", "/volume/file", "x"][..], &["mkdir", "/volume/x"], &["unlink", "/volume/file"]]
    {
        let refused = step(words);
        assert!(refused.stdout.contains("Read-only file system"), "{refused:?}");
    }
    let readonly = bundle(&["write", "/new", "x"]).with("/root/readonly", json!(true));
    assert!(run(&readonly).stdout.contains("Read-only file system"));
}

#[test]
fn relative_paths_and_dots_stay_in_the_container() {
    let dir = shared();
    symlink("/etc/shadow", dir.path().join("absolute")).unwrap();
    symlink("../../../../../../etc/shadow", dir.path().join("up")).unwrap();
    let read = |path: &str| run(&mounted(bundle(&["read", path]), &dir, &["rbind"]));
    // the container has no such file, and the host has
    assert!(std::path::Path::new("/etc/shadow").exists());
    for path in ["/../etc/shadow", "/../../../../etc/shadow", "/volume/absolute", "/volume/up"] {
        let refused = read(path);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stdout.contains("No such file"), "{refused:?}");
    }
    let passwd = fs::read_to_string(Bundle::new(&["true"]).inside("etc/passwd")).unwrap();
    for path in ["/../etc/passwd", "/volume/../etc/passwd", "etc/passwd", "/etc/./passwd"] {
        assert_eq!(read(path).ok().stdout, passwd, "{path}");
    }
}

#[test]
fn links_of_procfs_lead_a_module_nowhere() {
    for path in ["/proc/self/exe", "/proc/1/exe", "/proc/self/root/etc/passwd", "/proc/self/cwd"] {
        for words in [["read", path], ["append", path]] {
            let refused = run(&bundle(&words));
            assert_eq!(
                (refused.code, &*refused.stdout),
                (1, &*format!("{path}: Symbolic link loop\n"))
            );
        }
    }
}
