use super::*;
use crate::cgroup::facts::Layout;
use kickstage_config::cgroup::Setting;
use serde_json::json;

fn host(own: &str, rootless: bool) -> CgroupHost {
    let layout = Layout::Unified { own: own.into() };
    CgroupHost { layout, rootless, no_device_programs: rootless }
}

fn place(path: &str, host: &CgroupHost) -> Result<(String, String)> {
    let spec = json!({"ociVersion": "1.3.0", "linux": {"cgroupsPath": path}});
    let spec: Spec = serde_json::from_value(spec).unwrap();
    Place::decide(&spec, "box", host).map(|place| (place.unit, place.path.to_string()))
}

#[test]
fn units_are_named_as_runc_names_them() {
    let root = host("/", false);
    for (wanted, unit, path) in [
        ("", "kickstage-box.scope", "/system.slice/kickstage-box.scope"),
        ("machine.slice:libpod:1", "libpod-1.scope", "/machine.slice/libpod-1.scope"),
        ("a-b-c.slice:x:1", "x-1.scope", "/a.slice/a-b.slice/a-b-c.slice/x-1.scope"),
        (":x:1", "x-1.scope", "/system.slice/x-1.scope"),
        ("-.slice:x:1", "x-1.scope", "/x-1.scope"),
        ("system.slice::1", "-1.scope", "/system.slice/-1.scope"),
        ("system.slice:x:own-1.slice", "own-1.slice", "/own.slice/own-1.slice"),
    ] {
        assert_eq!(place(wanted, &root).unwrap(), (unit.into(), path.into()), "{wanted}");
    }
    for wrong in ["/a/b", "a.slice:b", "a:b:c", "a--b.slice:x:1", "a/b.slice:x:1", ":x:a/b"] {
        let error = place(wrong, &root).unwrap_err().to_string();
        assert!(error.contains("/linux/cgroupsPath"), "{wrong}: {error}");
    }
}

#[test]
fn a_users_units_are_below_his_own_systemd() {
    let unit = "user.slice/kickstage-box.scope";
    for own in [
        "/user.slice/user-7.slice/session-2.scope",
        "/user.slice/user-7.slice/user@7.service/app.slice/x.service",
    ] {
        let path = format!("/user.slice/user-7.slice/user@7.service/{unit}");
        assert_eq!(place("", &host(own, true)).unwrap().1, path);
    }
}

fn setting(file: &str, value: &str) -> Setting {
    Setting { file: Text::new(file).unwrap(), value: value.into(), ..Setting::default() }
}

#[test]
fn the_time_of_processors_that_is_not_named_is_the_present_one() {
    let present = CpuTime { quota: Some(20_000), period: Some(50_000) };
    for (file, value, a_second, period) in [
        ("cpu.max", "30000", 600_000, 50_000),
        ("cpu.max", "20000 40000", 500_000, 40_000),
        ("cpu.cfs_quota_us", "30000", 600_000, 50_000),
        ("cpu.cfs_period_us", "40000", 500_000, 40_000),
    ] {
        let found = of_settings(&[setting(file, value)], present);
        let found: Vec<_> = found.iter().map(|p| (p.name.as_str(), p.value.clone())).collect();
        let wanted = [("CPUQuotaPeriodUSec", period), ("CPUQuotaPerSecUSec", a_second)];
        assert_eq!(found, wanted.map(|(name, value)| (name, Value::Large(value))), "{file}");
    }
    assert!(of_settings(&[], present).is_empty(), "nothing is changed");
}

#[test]
fn values_are_told_to_systemd_too() {
    let settings = [
        setting("memory.max", "4096"),
        setting("memory.swap.max", "max"),
        setting("cpu.max", "15000 100000"),
        setting("cpuset.cpus", "0-8"),
        setting("io.weight", "7"),
        setting("io.bfq.weight", "300"),
        setting("io.max", "8:0 rbps=5"),
        setting("io.max", "8:0 wiops=max"),
        setting("io.max", "8:16 rbps=6"),
        setting("hugetlb.2MB.max", "0"),
        setting("memory.max", "8192"),
    ];
    let found = of_settings(&settings, CpuTime::default());
    let value = |name: &str| found.iter().find(|p| p.name == name).map(|p| p.value.clone());
    assert_eq!(value("MemoryMax"), Some(Value::Large(8192)), "the last one");
    assert_eq!(value("MemorySwapMax"), Some(Value::Large(u64::MAX)));
    assert_eq!(value("CPUQuotaPerSecUSec"), Some(Value::Large(150_000)));
    assert_eq!(value("CPUQuotaPeriodUSec"), Some(Value::Large(100_000)));
    assert_eq!(value("AllowedCPUs"), Some(Value::Bytes(vec![0xff, 1])));
    let rates = vec![("/dev/block/8:0".to_string(), 5), ("/dev/block/8:16".to_string(), 6)];
    assert_eq!(value("IOReadBandwidthMax"), Some(Value::Rates(rates)));
    let rates = vec![("/dev/block/8:0".to_string(), u64::MAX)];
    assert_eq!(value("IOWriteIOPSMax"), Some(Value::Rates(rates)));
    assert_eq!(value("IOWeight"), Some(Value::Large(2300)), "which systemd makes 300 of");
    assert_eq!(found.len(), 8);
    let small = of_settings(&[setting("io.bfq.weight", "60")], CpuTime::default());
    assert_eq!(small[0].value, Value::Large(60));
}
