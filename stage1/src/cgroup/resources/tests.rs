use super::*;
use crate::Judge;
use serde_json::json;

fn decided(version: Version, resources: serde_json::Value) -> Result<Vec<(String, String)>> {
    let resources: LinuxResources = serde_json::from_value(resources).unwrap();
    let values = values(&resources, version, Over::Defaults, &Judge::strict())?;
    Ok(values.into_settings().map(|(_, s)| (s.file.to_string(), s.value)).collect())
}

#[track_caller]
fn assert_written(version: Version, resources: serde_json::Value, wanted: &[(&str, &str)]) {
    let written = decided(version, resources).unwrap();
    let written: Vec<(&str, &str)> =
        written.iter().map(|(file, value)| (file.as_str(), value.as_str())).collect();
    assert_eq!(written, wanted);
}

#[test]
fn the_ends_and_the_default_of_shares_are_those_of_weights() {
    assert_eq!([2, 1024, 262_144].map(cpu::weight), [1, 100, 10_000]);
    assert!((2..262_144).step_by(97).all(|shares| cpu::weight(shares) <= cpu::weight(shares + 97)));
}

#[test]
fn of_numbers_below_zero_only_minus_one_is_no_limit() {
    let limits = [
        "memory/limit",
        "memory/reservation",
        "memory/swap",
        "memory/kernel",
        "memory/kernelTCP",
        "cpu/quota",
        "cpu/realtimeRuntime",
        "pids/limit",
    ];
    for (limit, version) in
        limits.into_iter().flat_map(|limit| [(limit, Version::V1), (limit, Version::V2)])
    {
        let (group, name) = limit.split_once('/').unwrap();
        let error = decided(version, json!({group: {name: -2}})).unwrap_err();
        assert_eq!(error.key, Some(format!("/linux/resources/{limit}")));
        let only_on_v1 = limit == "cpu/realtimeRuntime" && version == Version::V2;
        assert_eq!(decided(version, json!({group: {name: -1}})).is_err(), only_on_v1, "{limit}");
    }
}

#[test]
fn shares_within_the_kernels_bounds_are_written() {
    for shares in [2, 262_144] {
        let cpu = json!({"cpu": {"shares": shares}});
        assert_written(Version::V1, cpu, &[("cpu.shares", &shares.to_string())]);
    }
    assert_written(Version::V2, json!({"cpu": {"shares": 1}}), &[("cpu.weight", "1")]);
    for version in [Version::V1, Version::V2] {
        assert_written(version, json!({"cpu": {"shares": 0}}), &[]);
    }
}

#[test]
fn v2_swap_is_what_is_above_memory() {
    assert_written(
        Version::V2,
        json!({"memory": {"limit": 100, "swap": 250}}),
        &[("memory.max", "100"), ("memory.swap.max", "150")],
    );
}

#[test]
fn an_update_gives_the_oom_killer_back() {
    let written = |disable, version, over| {
        let resources = json!({"memory": {"disableOOMKiller": disable}});
        let resources: LinuxResources = serde_json::from_value(resources).unwrap();
        let values = values(&resources, version, over, &Judge::strict()).unwrap();
        values.into_settings().map(|(_, s)| s.value).collect::<Vec<_>>()
    };
    let running = Over::Present(CpuTime::default());
    assert_eq!(written(false, Version::V1, running), ["0"]);
    assert_eq!(written(true, Version::V1, running), ["1"]);
    assert_eq!(written(true, Version::V1, Over::Defaults), ["1"]);
    assert!(written(false, Version::V1, Over::Defaults).is_empty());
    assert!(written(false, Version::V2, running).is_empty(), "it always has it");
}

#[test]
fn a_period_alone_leaves_the_quota_of_a_running_container() {
    let resources: LinuxResources =
        serde_json::from_value(json!({"cpu": {"period": 50000}})).unwrap();
    let written = |version, over| {
        let values = values(&resources, version, over, &Judge::strict()).unwrap();
        values.into_settings().map(|(_, s)| s.value).collect::<Vec<_>>()
    };
    let present = |quota| Over::Present(CpuTime { quota, period: Some(100_000) });
    assert_eq!(written(Version::V2, present(Some(20000))), ["20000 50000"]);
    assert_eq!(written(Version::V2, present(None)), ["max 50000"]);
    assert_eq!(written(Version::V2, Over::Defaults), ["max 50000"]);
    assert_eq!(written(Version::V1, present(Some(20000))), ["50000"]);
}

#[test]
fn what_can_not_be_is_refused_by_its_pointer() {
    for (version, resources, key) in [
        (Version::V1, json!({"memory": {"limit": 100, "swap": 50}}), "memory/swap"),
        (Version::V1, json!({"memory": {"kernel": 5}}), "memory/kernel"),
        (Version::V2, json!({"memory": {"swappiness": 5}}), "memory/swappiness"),
        (Version::V2, json!({"cpu": {"realtimeRuntime": 5}}), "cpu/realtimeRuntime"),
        (Version::V1, json!({"cpu": {"shares": 1}}), "cpu/shares"),
        (Version::V1, json!({"cpu": {"shares": 262_145}}), "cpu/shares"),
        (Version::V2, json!({"cpu": {"shares": 262_145}}), "cpu/shares"),
        (Version::V2, json!({"network": {"classID": 5}}), "network/classID"),
        (Version::V2, json!({"blockIO": {"leafWeight": 10}}), "blockIO/leafWeight"),
        (Version::V1, json!({"blockIO": {"weight": 9}}), "blockIO/weight"),
        (
            Version::V1,
            json!({"blockIO": {"weightDevice": [{"major": -1, "minor": 0, "weight": 10}]}}),
            "blockIO/weightDevice/0",
        ),
        (
            Version::V2,
            json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}, {"pageSize": "2MB/../x", "limit": 1}]}),
            "hugepageLimits/1/pageSize",
        ),
        (
            Version::V1,
            json!({"hugepageLimits": [{"pageSize": "\0", "limit": 1}]}),
            "hugepageLimits/0/pageSize",
        ),
        (Version::V1, json!({"rdma": {"a b": {"hcaHandles": 1}}}), "rdma/a b"),
        (Version::V2, json!({"rdma": {"x": {}}}), "rdma/x"),
        (
            Version::V2,
            json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}}),
            "blockIO/weightDevice/0",
        ),
        (
            Version::V2,
            json!({"network": {"priorities": [{"name": "lo", "priority": 5}]}}),
            "network/priorities",
        ),
        (Version::V2, json!({"unified": {"../x.y": "1"}}), "unified/..~1x.y"),
    ] {
        let error = decided(version, resources).unwrap_err();
        assert_eq!(error.key, Some(format!("/linux/resources/{key}")));
    }
}

#[test]
fn every_form_of_block_io_has_its_file() {
    let io = json!({"blockIO": {
        "weight": 500,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}],
        "throttleWriteBpsDevice": [{"major": 8, "minor": 1, "rate": 2}],
        "throttleReadIOPSDevice": [{"major": 8, "minor": 2, "rate": 3}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 3, "rate": 0}],
    }});
    let v1 = [
        ("blkio.weight", "500"),
        ("blkio.weight_device", "8:0 1000"),
        ("blkio.throttle.read_bps_device", "8:0 1"),
        ("blkio.throttle.write_bps_device", "8:1 2"),
        ("blkio.throttle.read_iops_device", "8:2 3"),
        ("blkio.throttle.write_iops_device", "8:3 0"),
    ];
    assert_written(Version::V1, io.clone(), &v1);
    let v2 = [
        ("io.bfq.weight", "500"),
        ("io.bfq.weight", "8:0 1000"),
        ("io.max", "8:0 rbps=1"),
        ("io.max", "8:1 wbps=2"),
        ("io.max", "8:2 riops=3"),
        ("io.max", "8:3 wiops=max"),
    ];
    assert_written(Version::V2, io.clone(), &v2);
    let resources: LinuxResources = serde_json::from_value(io).unwrap();
    let values = values(&resources, Version::V2, Over::Defaults, &Judge::strict()).unwrap();
    let wide: Vec<_> = values.into_settings().filter_map(|(_, s)| s.otherwise).collect();
    let wide: Vec<_> = wide.iter().map(|(f, v)| (f.as_str(), v.as_str())).collect();
    assert_eq!(wide, [("io.weight", "4950"), ("io.weight", "8:0 10000")]);
}

#[test]
fn pages_adapters_and_packets_have_their_files() {
    let all = json!({
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4096}],
        "rdma": {"mlx5_0": {"hcaHandles": 2, "hcaObjects": 3}, "a": {"hcaObjects": 1}},
        "network": {"classID": 1_048_577, "priorities": [{"name": "lo", "priority": 5}]},
    });
    let rdma = [("rdma.max", "a hca_object=1"), ("rdma.max", "mlx5_0 hca_handle=2 hca_object=3")];
    let v1 = [
        ("hugetlb.2MB.limit_in_bytes", "4096"),
        ("hugetlb.2MB.rsvd.limit_in_bytes", "4096"),
        ("net_cls.classid", "1048577"),
        ("net_prio.ifpriomap", "lo 5"),
    ];
    assert_written(Version::V1, all.clone(), &[&v1[..], &rdma].concat());
    let mut all = all;
    all.as_object_mut().unwrap().remove("network");
    let v2 = [("hugetlb.2MB.max", "4096"), ("hugetlb.2MB.rsvd.max", "4096")];
    assert_written(Version::V2, all, &[&v2[..], &rdma].concat());
}

#[test]
fn compat_turns_the_harmless_into_warnings_and_nothing_else() {
    let resources: LinuxResources = serde_json::from_value(json!({
        "memory": {"kernel": 5, "swappiness": 10, "limit": 100}, "blockIO": {"leafWeight": 20},
    }))
    .unwrap();
    let judge = Judge::lenient();
    let values = values(&resources, Version::V2, Over::Defaults, &judge).unwrap();
    assert_eq!(values.0.len(), 1, "the limit");
    let keys: Vec<_> =
        judge.warnings().into_iter().filter_map(|warning| warning.key.clone()).collect();
    let wanted = ["memory/kernel", "memory/swappiness", "blockIO/leafWeight"];
    assert_eq!(keys, wanted.map(|key| format!("/linux/resources/{key}")));
}
