use super::*;
use oci_spec::runtime::MountBuilder;
use serde_json::{Value, json};

fn read(kind: &str, target: &str, options: &[&str]) -> Result<Wanted> {
    let options: Vec<String> = options.iter().map(ToString::to_string).collect();
    let entry = MountBuilder::default()
        .destination(target)
        .typ(kind)
        .source("/tmp")
        .options(options)
        .build()
        .unwrap();
    Wanted::read(4, &entry)
}

fn mount(options: &[&str]) -> Mount {
    read("tmpfs", "/mnt", options).unwrap().mount(None).unwrap()
}

fn bound(wanted: Wanted, linux: Value) -> Result<(Bind, Vec<MappedTree>)> {
    let spec = json!({"ociVersion": "1.0.2", "linux": linux});
    let spec: Spec = serde_json::from_value(spec).unwrap();
    let around = Surroundings {
        spec: &spec,
        bundle: &Text::from_literal("/b"),
        namespaces: &crate::namespaces::decide(&spec).unwrap(),
        host: &cgroup::CgroupHost::none(),
        cgroups: &CgroupPlan::default(),
        label: None,
    };
    let mut mapped = Vec::new();
    wanted.bind(&around, &mut mapped).map(|bind| (bind, mapped))
}

#[test]
fn ids_are_mapped_as_the_mount_says_or_as_the_container() {
    use kickstage_config::plan::Mapping;
    let mapping = json!([{"containerID": 0, "hostID": 1000, "size": 2}]);
    let container = json!({
        "namespaces": [{"type": "user"}], "uidMappings": mapping, "gidMappings": mapping,
    });
    let wanted = read("none", "/mnt", &["rbind", "ridmap"]).unwrap();
    let (bind, mapped) = bound(wanted, container).unwrap();
    assert_eq!(bind.mapped, Some(0));
    let tree = &mapped[0];
    assert_eq!((tree.source.as_str(), tree.recursive, tree.map_recursive), ("/tmp", true, true));
    let ranges = vec![(0, 1000, 2)];
    assert_eq!(tree.mapping, Mapping::Ranges(ranges.clone(), ranges));
    let wanted = read("none", "/mnt", &["bind", "idmap"]).unwrap();
    let error = bound(wanted, json!({})).unwrap_err();
    assert_eq!(error.key.as_deref(), Some("/mounts/4/options"), "nothing says how");
    let wanted = read("none", "/mnt", &["bind", "idmap"]).unwrap();
    let joins = json!({"namespaces": [{"type": "user", "path": "/n"}]});
    let (_, mapped) = bound(wanted, joins).unwrap();
    assert_eq!(mapped[0].mapping, Mapping::Namespace(Text::from_literal("/n")));
}

#[test]
fn a_label_is_for_file_systems_that_take_one() {
    let label = Text::from_literal("system_u:object_r:x:s0:c1,c2");
    let mount = |kind| read(kind, "/mnt", &["size=1k"]).unwrap().mount(Some(&label)).unwrap();
    let labelled = "size=1k,context=\"system_u:object_r:x:s0:c1,c2\"";
    assert_eq!(mount("tmpfs").data.as_str(), labelled);
    assert_eq!(mount("mqueue").data.as_str(), "size=1k");
}

#[test]
fn the_later_of_two_options_wins() {
    assert_eq!(mount(&["ro", "nosuid", "rw"]).flags, libc::MS_NOSUID);
    let times = mount(&["noatime", "strictatime"]).flags;
    assert_eq!(times, libc::MS_STRICTATIME);
}

#[test]
fn what_is_no_flag_goes_to_the_file_system() {
    let mount = mount(&["size=1k", "ro", "mode=755"]);
    assert_eq!(mount.data.as_str(), "size=1k,mode=755");
}

#[test]
fn a_bind_mount_changes_only_what_it_names() {
    let wanted = read("none", "/mnt", &["rbind", "ro", "noatime", "rslave"]).unwrap();
    let bind = bound(wanted, json!({})).unwrap().0;
    assert!(bind.recursive);
    let change = bind.changes[0];
    assert_eq!(change.set, attribute::RDONLY | attribute::NOATIME);
    assert_eq!(change.clear, attribute::ATIME);
    assert_eq!(bind.propagation, [libc::MS_SLAVE | libc::MS_REC]);
}

#[test]
fn options_without_effect_are_refused_by_pointer() {
    for (options, pointer) in [
        (&["bind", "uid=5"][..], "/mounts/4/options"),
        (&["bind", "sync"], "/mounts/4/options"),
        (&["bind", "remount", "size=1k"], "/mounts/4/options"),
        (&["src-nofollow"], "/mounts/4/options"),
        (&["bind", "remount", "copy-symlink"], "/mounts/4/options"),
        (&["bind", "tmpcopyup"], "/mounts/4/options"),
        (&["idmap"], "/mounts/4"),
        (&["ro", "idmap=uids=0-1-1"], "/mounts/4/options/1"),
        (&["a,b"], "/mounts/4/options/0"),
    ] {
        let error = read("tmpfs", "/mnt", options).err().expect("refused");
        assert_eq!(error.key.as_deref(), Some(pointer), "{options:?}");
    }
}

#[test]
fn the_kernels_files_in_proc_stay_visible() {
    for target in ["/proc", "/proc/self", "/x/../proc/kcore", "/proc/sys/kernel"] {
        assert!(read("tmpfs", target, &[]).is_err(), "{target}");
    }
    assert!(read("proc", "/proc", &[]).is_ok());
    assert!(read("none", "/proc/uptime", &["bind"]).is_ok());
    assert!(read("none", "/process", &["bind"]).is_ok());
}
