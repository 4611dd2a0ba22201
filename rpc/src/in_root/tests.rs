use super::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

/// A root file system, and beside it what must stay as it is. Gone at the end of the test.
struct World {
    dir: PathBuf,
    root: Fd,
}

impl World {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("kickstage-{test}-{}", std::process::id()));
        fs::create_dir_all(dir.join("rootfs/etc")).unwrap();
        fs::create_dir(dir.join("outside")).unwrap();
        let path = Text::new(dir.join("rootfs").to_str().unwrap()).unwrap();
        let root = file::open_host(&path, libc::O_PATH | libc::O_DIRECTORY).unwrap();
        Self { dir, root }
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.dir.join("rootfs").join(path)
    }

    fn inode(&self, path: &str) -> u64 {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(self.inside(path)).unwrap().ino()
    }

    fn assert_outside_is_empty(&self) {
        assert_eq!(fs::read_dir(self.dir.join("outside")).unwrap().count(), 0);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

fn text(path: &str) -> Text {
    Text::new(path).unwrap()
}

#[test]
fn links_and_dots_stay_in_the_root() {
    let world = World::new("links");
    fs::create_dir(world.inside("target")).unwrap();
    symlink("/target", world.inside("absolute")).unwrap();
    symlink("../../../../target", world.inside("etc/upwards")).unwrap();
    for path in ["/absolute", "/etc/upwards", "/../../target", "/etc/../target"] {
        let found = find(world.root.borrow(), &text(path)).unwrap().expect(path);
        assert_eq!(file::stat(found.fd()).unwrap().inode, world.inode("target"), "{path}");
    }
    assert!(find(world.root.borrow(), &text("/nowhere/at/all")).unwrap().is_none());
}

#[test]
fn what_is_made_behind_a_link_is_made_in_the_root() {
    let world = World::new("behind");
    let outside = world.dir.join("outside");
    symlink(&outside, world.inside("out")).unwrap();
    symlink("../outside", world.inside("up")).unwrap();
    // both lead to places that do not exist in the root
    for path in ["/out/made", "/up/made"] {
        let _ = mount_point(world.root.borrow(), &text(path), Kind::Directory);
        let _ = mount_point(world.root.borrow(), &text(path), Kind::File);
    }
    world.assert_outside_is_empty();
}

#[test]
fn missing_directories_and_files_are_made_with_all_above() {
    let world = World::new("made");
    let made = mount_point(world.root.borrow(), &text("/a/./b//c"), Kind::Directory).unwrap();
    assert!(!made.existed && world.inside("a/b/c").is_dir());
    assert!(mount_point(world.root.borrow(), &text("/a/b/c"), Kind::File).unwrap().existed);
    let made = mount_point(world.root.borrow(), &text("/a/file"), Kind::File).unwrap();
    assert!(!made.existed && world.inside("a/file").is_file());
    let refused = directory(world.root.borrow(), &text("/new/../../x"), 0o755);
    assert!(refused.err().expect("it is refused").to_string().contains("must not hold .."));
}

#[test]
fn cve_2023_27561_a_kernel_file_system_is_not_mounted_behind_a_link() {
    let world = World::new("plain");
    symlink("etc", world.inside("proc")).unwrap();
    let refused = plain_mount_point(world.root.borrow(), &text("/proc")).err();
    let message = refused.expect("it is refused").to_string();
    assert!(message.contains("must not have a symlink"), "{message}");
    fs::create_dir(world.inside("sys")).unwrap();
    assert!(plain_mount_point(world.root.borrow(), &text("/sys")).unwrap().existed);
    assert!(plain_mount_point(world.root.borrow(), &text("/made")).is_ok());
}
