use super::*;
use kickstage_config::engine::Common;
use oci_spec::runtime::LinuxSchedulerFlag::{
    SchedFlagDLOverrun, SchedFlagReclaim, SchedResetOnFork,
};
use oci_spec::runtime::{LinuxResources, Process, Spec};
use serde_json::json;

fn config() -> Value {
    serde_json::from_str(include_str!("../support/everything.json")).unwrap()
}

#[test]
fn the_specifications_flags_are_known_in_every_document() {
    let scheduler = json!({"policy": "SCHED_RR", "flags": [
        "SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_RECLAIM"]});
    let mut config = config();
    config["process"]["scheduler"] = scheduler;
    let bytes = config["process"].to_string();
    let process: Process = Document::Process.read(bytes.as_bytes()).unwrap();
    let spec: Spec = Document::Config.read(config.to_string().as_bytes()).unwrap();
    let engine = json!({"engineConfig": {"ociConfig": config}}).to_string();
    let engine: Common = Document::Engine.read(engine.as_bytes()).unwrap();
    let of_engine = engine.engine_config.oci_config.unwrap().process().clone();
    for process in [Some(process), spec.process().clone(), of_engine] {
        let flags = process.unwrap().scheduler().as_ref().unwrap().flags().clone().unwrap();
        assert_eq!(flags, [SchedResetOnFork, SchedFlagDLOverrun, SchedFlagReclaim]);
    }
}

#[test]
fn older_names_of_monitoring_are_not_lost() {
    for name in MONITORING {
        let config = json!({"ociVersion": "1.2.0", "linux": {"intelRdt": {name: true}}});
        let spec: Spec = Document::Config.read(config.to_string().as_bytes()).unwrap();
        let engine = json!({"engineConfig": {"ociConfig": config}}).to_string();
        let engine: Common = Document::Engine.read(engine.as_bytes()).unwrap();
        for spec in [spec, engine.engine_config.oci_config.unwrap()] {
            let rdt = spec.linux().as_ref().unwrap().intel_rdt().as_ref().unwrap();
            assert_eq!(*rdt.enable_monitoring(), Some(true), "{name}");
        }
    }
    let config = json!({"ociVersion": "1.2.0", "linux": {"intelRdt": {"enableCMT": "yes"}}});
    let why = Document::Config.read::<Spec>(config.to_string().as_bytes()).unwrap_err();
    assert_eq!(why.pointer.as_deref(), Some("/linux/intelRdt/enableMonitoring"));
}

/// The pointers of all values that are no lists or objects, with the values.
fn leaves(value: &Value, at: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| leaves(item, &format!("{at}/{index}"), found)),
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            leaves(value, &format!("{at}/{}", crate::text::escape(name)), found);
        }),
        leaf => found.push((at.to_string(), leaf.clone())),
    }
}

#[test]
fn whatever_the_model_refuses_is_told_by_its_pointer() {
    let config = config();
    let mut all = Vec::new();
    leaves(&config, "", &mut all);
    let mut words = Vec::new();
    for (at, value) in all {
        // neither a number nor a text is both
        for wrong in [json!("no such word"), json!(["of another kind"])] {
            let mut spoilt = config.clone();
            *spoilt.pointer_mut(&at).unwrap() = wrong.clone();
            let text = serde_json::to_string_pretty(&spoilt).unwrap();
            let read = Document::Config.read::<Spec>(text.as_bytes());
            let older = MONITORING.iter().any(|name| at.ends_with(name));
            let told = if older { "/linux/intelRdt/enableMonitoring" } else { &*at };
            match read {
                Err(why) => assert_eq!(why.pointer.as_deref(), Some(told), "{}", why.cause),
                Ok(_) => assert!(value.is_string() && wrong.is_string(), "{at} is ignored"),
            }
            if value.is_string() && Document::Config.read::<Spec>(text.as_bytes()).is_err() {
                words.push(at.clone());
            }
        }
    }
    for enumeration in [
        "/process/capabilities/bounding/0",
        "/process/rlimits/0/type",
        "/process/scheduler/policy",
        "/process/scheduler/flags/0",
        "/process/ioPriority/class",
        "/linux/namespaces/0/type",
        "/linux/devices/0/type",
        "/linux/resources/devices/0/type",
        "/linux/personality/domain",
        "/linux/memoryPolicy/mode",
        "/linux/memoryPolicy/flags/0",
        "/linux/seccomp/defaultAction",
        "/linux/seccomp/architectures/0",
        "/linux/seccomp/flags/0",
        "/linux/seccomp/syscalls/0/action",
        "/linux/seccomp/syscalls/0/args/0/op",
    ] {
        assert!(words.iter().any(|at| at == enumeration), "{enumeration} is not looked at");
    }
    let mut process = config["process"].clone();
    process["rlimits"][0]["type"] = json!("RLIMIT_COLOUR");
    let why = Document::Process.read::<Process>(process.to_string().as_bytes()).unwrap_err();
    assert_eq!(why.pointer.as_deref(), Some("/process/rlimits/0/type"));
}

/// Where something is required, and what. Devices, whose type decides, and pids are not here.
const REQUIRED: [(&str, &[&str]); 32] = [
    ("/hooks/createContainer/0", &["path"]),
    ("/hooks/createRuntime/0", &["path"]),
    ("/hooks/poststart/0", &["path"]),
    ("/hooks/poststop/0", &["path"]),
    ("/hooks/prestart/0", &["path"]),
    ("/hooks/startContainer/0", &["path"]),
    ("/linux/devices/0", &["path", "type"]),
    ("/linux/gidMappings/0", &["containerID", "hostID", "size"]),
    ("/linux/memoryPolicy", &["mode"]),
    ("/linux/namespaces/0", &["type"]),
    ("/linux/personality", &["domain"]),
    ("/linux/resources/blockIO/throttleReadBpsDevice/0", &["major", "minor", "rate"]),
    ("/linux/resources/blockIO/throttleReadIOPSDevice/0", &["major", "minor", "rate"]),
    ("/linux/resources/blockIO/throttleWriteBpsDevice/0", &["major", "minor", "rate"]),
    ("/linux/resources/blockIO/throttleWriteIOPSDevice/0", &["major", "minor", "rate"]),
    ("/linux/resources/blockIO/weightDevice/0", &["major", "minor"]),
    ("/linux/resources/devices/0", &["allow"]),
    ("/linux/resources/hugepageLimits/0", &["limit", "pageSize"]),
    ("/linux/resources/network/priorities/0", &["name", "priority"]),
    ("/linux/seccomp", &["defaultAction"]),
    ("/linux/seccomp/syscalls/0", &["action", "names"]),
    ("/linux/seccomp/syscalls/0/args/0", &["index", "op", "value"]),
    ("/linux/uidMappings/0", &["containerID", "hostID", "size"]),
    ("/mounts/0", &["destination"]),
    ("/mounts/0/gidMappings/0", &["containerID", "hostID", "size"]),
    ("/mounts/0/uidMappings/0", &["containerID", "hostID", "size"]),
    ("/process/consoleSize", &["height", "width"]),
    ("/process", &["cwd", "user"]),
    ("/process/ioPriority", &["class"]),
    ("/process/rlimits/0", &["hard", "soft", "type"]),
    ("/process/scheduler", &["policy"]),
    ("/root", &["path"]),
];

#[test]
fn nothing_that_is_required_is_made_up() {
    fn members(value: &Value, at: &str, found: &mut Vec<String>) {
        let below = match value {
            Value::Array(items) => {
                items.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect()
            }
            Value::Object(all) => {
                all.iter().map(|(name, v)| (crate::text::escape(name), v)).collect()
            }
            _ => Vec::new(),
        };
        for (name, inner) in below {
            let at = format!("{at}/{name}");
            members(inner, &at, found);
            if value.is_object() {
                found.push(at);
            }
        }
    }
    let config = config();
    let mut all = Vec::new();
    members(&config, "", &mut all);
    let mut refused = Vec::new();
    for at in all {
        let (above, name) = at.rsplit_once('/').unwrap();
        let mut without = config.clone();
        without.pointer_mut(above).unwrap().as_object_mut().unwrap().remove(name);
        if let Err(why) = Document::Config.read::<Spec>(without.to_string().as_bytes()) {
            assert_eq!(why.pointer.as_deref(), Some(above), "{at}: {}", why.cause);
            assert_eq!(why.cause, format!("missing field `{name}`"));
            refused.push(at);
        }
    }
    refused.sort();
    let wanted = |(above, names): (&str, &[&str])| -> Vec<String> {
        names.iter().map(|name| format!("{above}/{name}")).collect()
    };
    let mut wanted: Vec<String> = REQUIRED.into_iter().flat_map(wanted).collect();
    wanted.sort();
    assert_eq!(refused, wanted);
}

#[test]
fn what_is_required_is_missed_in_every_document() {
    let refused = |document: Document, value: Value| {
        let bytes = value.to_string();
        let why = match document {
            Document::Config => document.read::<Spec>(bytes.as_bytes()).unwrap_err(),
            Document::Process => document.read::<Process>(bytes.as_bytes()).unwrap_err(),
            Document::Engine => document.read::<Common>(bytes.as_bytes()).unwrap_err(),
            Document::Resources => document.read::<LinuxResources>(bytes.as_bytes()).unwrap_err(),
        };
        why.pointer.unwrap()
    };
    let mut process = config()["process"].clone();
    process["rlimits"] = json!([{"type": "RLIMIT_CORE", "hard": 5}]);
    let in_engine = json!({"engineConfig": {"ociConfig": {"process": process}}});
    let pages = json!({"hugepageLimits": [{"pageSize": "2MB"}]});
    assert_eq!(refused(Document::Process, process), "/process/rlimits/0");
    assert_eq!(refused(Document::Engine, in_engine), "/process/rlimits/0");
    assert_eq!(refused(Document::Resources, pages), "/linux/resources/hugepageLimits/0");
    let empty = json!({"engineConfig": null}).to_string();
    assert!(Document::Engine.read::<Common>(empty.as_bytes()).is_ok());
}

#[test]
fn pids_without_a_limit_are_left_as_they_are() {
    for (pids, wanted) in
        [(json!({}), None), (json!({"limit": 0}), Some(0)), (json!({"limit": -1}), Some(-1))]
    {
        let resources = json!({"pids": pids, "cpu": {"quota": 5000}});
        let config = json!({"ociVersion": "1.3.0", "linux": {"resources": resources}});
        let engine = json!({"engineConfig": {"ociConfig": config}}).to_string();
        let spec: Spec = Document::Config.read(config.to_string().as_bytes()).unwrap();
        let engine: Common = Document::Engine.read(engine.as_bytes()).unwrap();
        let alone: LinuxResources =
            Document::Resources.read(resources.to_string().as_bytes()).unwrap();
        let inside = |spec: &Spec| spec.linux().clone().unwrap().resources().clone().unwrap();
        let of_engine = inside(&engine.engine_config.oci_config.unwrap());
        for resources in [inside(&spec), of_engine, alone] {
            assert_eq!(resources.pids().map(|pids| pids.limit()), wanted);
            assert_eq!(resources.cpu().as_ref().unwrap().quota(), Some(5000));
        }
    }
}
