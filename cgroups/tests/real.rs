//! Real cgroups, below the root of a hierarchy of this host: v1's pids where there is one, else v2.
//! Needs root.

use kickstage_cgroups::{
    freeze, freezer_file, is_frozen, kill_all, prepare, processes, remove, thaw,
};
use kickstage_config::Text;
use kickstage_config::cgroup::{CgroupPlan, Group, Setting, Version};
use kickstage_config::record::CgroupDir;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

fn text(text: &str) -> Text {
    Text::new(text).unwrap()
}

/// A cgroup of ours that does not exist yet.
fn plan(test: &str) -> (CgroupPlan, PathBuf) {
    let v1 = Path::new("/sys/fs/cgroup/pids").exists();
    let mount = if v1 { "/sys/fs/cgroup/pids" } else { "/sys/fs/cgroup" };
    let path = format!("/kickstage-{test}-{}/deep/er", std::process::id());
    let group = Group {
        version: if v1 { Version::V1 } else { Version::V2 },
        controllers: if v1 { "pids".into() } else { String::new() },
        mount: text(mount),
        path: text(&path),
        enable: if v1 { Vec::new() } else { vec!["pids".into()] },
        settings: vec![Setting {
            file: text("pids.max"),
            value: "50".into(),
            key: "/linux/resources/pids/limit".into(),
            ..Setting::default()
        }],
    };
    let plan = CgroupPlan { groups: vec![group], ..CgroupPlan::default() };
    (plan, PathBuf::from(format!("{mount}{path}")))
}

fn sleeper_in(dir: &Path) -> Child {
    let child = Command::new("sleep").arg("1000").spawn().unwrap();
    fs::write(dir.join("cgroup.procs"), child.id().to_string()).unwrap();
    child
}

#[test]
fn a_cgroup_is_made_with_its_values_and_goes_with_all_that_was_made() {
    let (plan, path) = plan("made");
    let prepared = prepare(&plan).unwrap();
    let dirs = prepared.dirs();
    assert!(!path.exists(), "preparing makes nothing");
    assert_eq!(dirs[0].made, 3);
    let created = prepared.create().unwrap();
    assert_eq!(fs::read_to_string(path.join("pids.max")).unwrap(), "50\n");
    assert_eq!(created.dirs(), dirs);
    remove(&dirs).unwrap();
    assert!(!path.parent().unwrap().parent().unwrap().exists());
    remove(&dirs).expect("what is gone is no failure");
}

#[test]
fn a_value_that_the_kernel_refuses_names_its_key_and_leaves_nothing() {
    let (mut plan, path) = plan("refused");
    plan.groups[0].settings[0].value = "many".into();
    let error = prepare(&plan).unwrap().create().err().expect("it is refused");
    assert_eq!(error.key.as_deref(), Some("/linux/resources/pids/limit"));
    assert!(!path.parent().unwrap().parent().unwrap().exists());
}

#[test]
fn processes_are_found_frozen_and_killed_in_cgroups_below_too() {
    let (plan, path) = plan("killed");
    let dirs = prepare(&plan).unwrap().create().unwrap().dirs();
    fs::create_dir(path.join("below")).unwrap();
    let mut children = [sleeper_in(&path), sleeper_in(&path.join("below"))];
    let mut pids: Vec<i32> = children.iter().map(|child| child.id().cast_signed()).collect();
    pids.sort_unstable();
    assert_eq!(processes(&dirs).unwrap(), pids);
    let freezer = plan.groups[0].version == Version::V2;
    if freezer {
        freeze(&dirs).unwrap();
        assert!(is_frozen(&freezer_file(&dirs).unwrap()).unwrap());
        thaw(&dirs).unwrap();
        assert!(!is_frozen(&freezer_file(&dirs).unwrap()).unwrap());
    }
    // as a reaper beside the killing would
    std::thread::scope(|scope| {
        for child in &mut children {
            scope.spawn(|| child.wait().unwrap());
        }
        kill_all(&dirs).unwrap();
    });
    remove(&dirs).unwrap();
    assert!(!path.exists());
}

/// A cgroup that can be frozen, with two processes, one of them in a cgroup inside.
fn sleepers_in_freezer(test: &str) -> (Vec<CgroupDir>, PathBuf, [Child; 2]) {
    let (mut plan, _) = plan(test);
    let group = &mut plan.groups[0];
    if group.version == Version::V1 {
        group.controllers = "freezer".into();
        group.mount = text("/sys/fs/cgroup/freezer");
    }
    group.settings.clear();
    let path = PathBuf::from(format!("{}{}", group.mount, group.path));
    let dirs = prepare(&plan).unwrap().create().unwrap().dirs();
    fs::create_dir(path.join("below")).unwrap();
    let children = [sleeper_in(&path), sleeper_in(&path.join("below"))];
    (dirs, path, children)
}

fn freeze_by_hand(path: &Path, frozen: bool) {
    let v1 = path.join("freezer.state");
    let (file, words) = if v1.exists() {
        (v1, ["THAWED", "FROZEN"])
    } else {
        (path.join("cgroup.freeze"), ["0", "1"])
    };
    fs::write(file, words[usize::from(frozen)]).unwrap();
}

/// On v1 it would stay until somebody thaws it.
#[test]
fn what_is_killed_while_it_is_being_frozen_dies() {
    let (dirs, path, mut children) = sleepers_in_freezer("dying");
    freeze_by_hand(&path, true);
    children[1].kill().unwrap();
    freeze(&dirs).unwrap();
    let soon = Instant::now() + Duration::from_secs(20);
    while children[1].try_wait().unwrap().is_none() {
        assert!(Instant::now() < soon, "it does not die");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(children[0].try_wait().unwrap().is_none());
    assert!(is_frozen(&freezer_file(&dirs).unwrap()).unwrap());
    thaw(&dirs).unwrap();
    children[0].kill().unwrap();
    children[0].wait().unwrap();
    remove(&dirs).unwrap();
}

#[test]
fn what_is_frozen_inside_by_others_keeps_nobody_from_freezing() {
    let (dirs, path, mut children) = sleepers_in_freezer("inside");
    freeze_by_hand(&path.join("below"), true);
    children[1].kill().unwrap();
    freeze(&dirs).unwrap();
    assert!(is_frozen(&freezer_file(&dirs).unwrap()).unwrap());
    thaw(&dirs).unwrap();
    freeze_by_hand(&path.join("below"), false);
    children[0].kill().unwrap();
    for child in &mut children {
        child.wait().unwrap();
    }
    remove(&dirs).unwrap();
}

#[test]
fn a_cgroup_with_processes_of_others_is_refused_and_left_alone() {
    let (plan, path) = plan("others");
    let dirs = prepare(&plan).unwrap().create().unwrap().dirs();
    let mut child = sleeper_in(&path);
    let refused = || {
        let error = prepare(&plan).unwrap().create().err().expect("it is refused");
        assert!(error.to_string().contains("1 processes are in it"), "{error}");
        assert_eq!(processes(&dirs).unwrap(), [child.id().cast_signed()]);
    };
    refused();
    // the end of the container would be its end, too
    let inside = path.join("in/side");
    fs::create_dir_all(&inside).unwrap();
    fs::write(inside.join("cgroup.procs"), child.id().to_string()).unwrap();
    refused();
    child.kill().unwrap();
    child.wait().unwrap();
    remove(&dirs).unwrap();
}
