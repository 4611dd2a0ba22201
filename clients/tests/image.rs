//! What the engines are given.

use kickstage_clients::{image, program};

#[test]
fn the_archive_holds_a_shell_and_the_probe() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("image.tar");
    image::archive(&archive);
    let list = program::run(program::limited(10, "tar").arg("-tf").arg(&archive)).ok().stdout;
    for name in ["./bin/sh", "./bin/busybox", "./bin/probe", "./etc/passwd"] {
        assert!(list.lines().any(|line| line == name), "{name}: {list}");
    }
}
