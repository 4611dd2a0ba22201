use super::*;
use crate::cgroup::CgroupHost;
use serde_json::{Value, json};

fn user() -> Unprivileged {
    let helper = Some(Text::from_literal("/usr/bin/newuidmap"));
    Unprivileged { uid: 1000, gid: 100, newuidmap: helper.clone(), newgidmap: helper }
}

fn spec(mut config: Value) -> Spec {
    config["ociVersion"] = json!("1.3.0");
    serde_json::from_value(config).unwrap()
}

fn both(ranges: &[(u32, u32)]) -> Subordinate {
    Subordinate { uids: ranges.to_vec(), gids: ranges.to_vec() }
}

fn completed_of(config: Value, subordinate: &[(u32, u32)]) -> Option<Value> {
    let spec = spec(config);
    let complete = || complete(&spec, &user(), &both(subordinate));
    leaves_ids_open(&spec).then(|| serde_json::to_value(complete()).unwrap())
}

fn ranges(list: &Value) -> Vec<[u64; 3]> {
    let number = |range: &Value, name: &str| range[name].as_u64().unwrap();
    let range = |r: &Value| [number(r, "containerID"), number(r, "hostID"), number(r, "size")];
    list.as_array().unwrap().iter().map(range).collect()
}

#[test]
fn a_user_gets_a_namespace_with_his_own_id_and_the_subordinate_ones() {
    let spec = completed_of(json!({}), &[(100_000, 10), (200_000, 5)]).unwrap();
    assert_eq!(spec["linux"]["namespaces"], json!([{ "type": "user" }]));
    assert_eq!(
        ranges(&spec["linux"]["uidMappings"]),
        [[0, 1000, 1], [1, 100_000, 10], [11, 200_000, 5]]
    );
    assert_eq!(ranges(&spec["linux"]["gidMappings"])[0], [0, 100, 1]);
}

#[test]
fn a_namespace_without_ids_gets_some_and_no_second_one_is_made() {
    let namespaces = json!([{ "type": "user" }, { "type": "mount" }]);
    let config = json!({ "linux": { "namespaces": namespaces, "uidMappings": [] } });
    let spec = completed_of(config, &[]).unwrap();
    assert_eq!(spec["linux"]["namespaces"], namespaces);
    assert_eq!(ranges(&spec["linux"]["uidMappings"]), [[0, 1000, 1]]);
}

#[test]
fn what_config_json_says_is_left_as_it_is() {
    let ids = json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]);
    for linux in [
        json!({ "namespaces": [{ "type": "user", "path": "/proc/1/ns/user" }] }),
        json!({ "namespaces": [{ "type": "user" }], "uidMappings": ids, "gidMappings": ids }),
        json!({ "uidMappings": ids }),
    ] {
        assert_eq!(completed_of(json!({ "linux": linux }), &[]), None);
    }
    let host = |unprivileged| Host { cgroups: CgroupHost::none(), unprivileged };
    assert_eq!(completed(&spec(json!({})), Rootless::No, &host(Some(user()))), None);
    assert_eq!(completed(&spec(json!({})), Rootless::Yes, &host(None)), None);
}

#[test]
fn without_a_helper_or_ids_of_groups_there_is_only_his_own() {
    let without_helper = (Unprivileged { newgidmap: None, ..user() }, both(&[(100_000, 10)]));
    let without_groups = (user(), Subordinate { gids: Vec::new(), ..both(&[(100_000, 10)]) });
    for (user, given) in [without_helper, without_groups] {
        let spec = serde_json::to_value(complete(&spec(json!({})), &user, &given)).unwrap();
        assert_eq!(ranges(&spec["linux"]["uidMappings"]), [[0, 1000, 1]]);
        assert_eq!(ranges(&spec["linux"]["gidMappings"]), [[0, 100, 1]]);
    }
}

#[test]
fn terminals_are_of_a_group_that_there_is() {
    let mounts =
        json!([{ "destination": "/dev/pts", "type": "devpts", "options": ["gid=5", "mode=620"] }]);
    let options = |subordinate: &[(u32, u32)]| {
        let spec = completed_of(json!({ "mounts": mounts }), subordinate).unwrap();
        spec["mounts"][0]["options"].clone()
    };
    assert_eq!(options(&[]), json!(["mode=620"]));
    assert_eq!(options(&[(100_000, 5)]), json!(["gid=5", "mode=620"]));
}

#[test]
fn subordinate_ids_are_of_a_name_or_a_number() {
    let table = "other:1:2\nme:100000:65536\n1000:300000:10\nme:5:0\nme:x:1\nme:4294967296:1\n";
    assert_eq!(subordinate(table, Some("me"), 1000), [(100_000, 65_536), (300_000, 10)]);
    assert_eq!(subordinate(table, None, 1000), [(300_000, 10)]);
    let passwd = "root:x:0:0::/:/bin/sh\nme:x:1000:100::/home/me:/bin/sh\n";
    assert_eq!(name_of(passwd, 1000).as_deref(), Some("me"));
    assert_eq!(name_of(passwd, 7), None);
}

#[test]
fn more_ids_than_there_are_numbers_are_left_out() {
    let all = mappings(1000, &[(1, u32::MAX - 1), (7, 1)]);
    assert_eq!(all.len(), 2);
    assert_eq!(mappings(1000, &[(1, 1); 500]).len(), MAX_ID_MAPPINGS);
}
