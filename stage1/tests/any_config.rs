//! Any config.json is decided about or refused: nothing panics, and `check` agrees.
//!
//! The seed is a config with everything; parts of it are exchanged for anything. `make fuzz` goes
//! on for as long as one likes.

use kickstage_config::handoff::{self, Descriptors, Form};
use kickstage_config::plan::{Goal, Supervision};
use kickstage_config::{Assembly, Report, Text};
use kickstage_stage1::cgroup::{CgroupHost, Hierarchy, Layout, Manager};
use kickstage_stage1::{Bundle, Host, Judge, Request, Rootless, Service, Severity, check, prepare};
use oci_spec::runtime::Spec;
use proptest::prelude::*;
use serde_json::{Value, json};

const SEED: &str = include_str!("../src/support/everything.json");

fn request(judge: Judge) -> Request {
    Request {
        id: Text::new("any").unwrap(),
        state_root: Text::new("/run/any").unwrap(),
        goal: Goal::Created,
        supervision: Supervision::Foreign,
        keep: false,
        pid_file: None,
        no_pivot: false,
        no_new_keyring: false,
        empty_process: false,
        preserve_fds: 0,
        service: Service::default(),
        report: Report::default(),
        descriptors: Descriptors::default(),
        judge,
        cgroup_manager: Manager::Cgroupfs,
        rootless: Rootless::Auto,
    }
}

fn hosts() -> [Host; 3] {
    let hierarchy = |controllers: &str| Hierarchy {
        controllers: controllers.into(),
        mount: Text::new(format!("/sys/fs/cgroup/{controllers}")).unwrap(),
        own: "/own".into(),
    };
    let legacy =
        Layout::Legacy { hierarchies: ["memory", "cpu,cpuacct", "name=x"].map(hierarchy).into() };
    [Layout::None, Layout::Unified { own: "/own".into() }, legacy].map(|layout| Host {
        cgroups: CgroupHost {
            layout,
            rootless: false,
            bus: Text::new("/bus").map_err(|_| unreachable!()),
        },
        unprivileged: None,
    })
}

/// Values that are most likely to hit a border.
fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop::sample::select(vec![0i64, 1, -1, 15, 16, 65_535, 65_536, i64::MAX, i64::MIN])
            .prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[a-z0-9:/.,=\\-\u{0}ä ]{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "/",
            "..",
            "/proc",
            "/dev",
            "/proc/self/fd/3",
            "bind",
            "rbind",
            "ro",
            "idmap",
            "ridmap",
            "tmpcopyup",
            "tmpfs",
            "cgroup",
            "0-3",
            "SCMP_ACT_NOTIFY",
            "SCMP_ACT_ALLOW",
            "user",
            "network",
            "rslave",
        ])
        .prop_map(Value::from),
    ]
}

fn anything() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z]{1,9}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Every pointer of a document.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                pointers(value, &pointer, all);
                all.push(pointer);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                let pointer = format!("{at}/{index}");
                pointers(value, &pointer, all);
                all.push(pointer);
            }
        }
        _ => {}
    }
}

/// The seed with some parts exchanged, or gone.
fn config() -> impl Strategy<Value = Value> {
    let change = (any::<prop::sample::Index>(), prop::option::of(anything()));
    prop::collection::vec(change, 0..8).prop_map(|changes| {
        let mut config: Value = serde_json::from_str(SEED).unwrap();
        // most would end at these
        for pointer in ["/linux/netDevices", "/linux/intelRdt"] {
            if changes.len() % 2 == 0 {
                *config.pointer_mut(pointer).unwrap() = json!({});
            }
        }
        for (place, value) in changes {
            let mut all = Vec::new();
            pointers(&config, "", &mut all);
            if all.is_empty() {
                break;
            }
            let pointer = place.get(&all);
            match value {
                Some(value) => *config.pointer_mut(pointer).unwrap() = value,
                None => {
                    let (above, name) = pointer.rsplit_once('/').unwrap();
                    let name = name.replace("~1", "/").replace("~0", "~");
                    match config.pointer_mut(above).unwrap() {
                        Value::Object(map) => drop(map.remove(&name)),
                        Value::Array(list) => drop(list.remove(name.parse().unwrap())),
                        _ => {}
                    }
                }
            }
        }
        config
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_config_is_decided_or_refused(config in config(), lenient in any::<bool>()) {
        let Ok(spec) = serde_json::from_value::<Spec>(config) else { return Ok(()) };
        let bundle =
            Bundle { path: Text::new("/b").unwrap(), rootfs: Text::new("/b/r").unwrap(), over_host: false, spec };
        for host in hosts() {
            let judge = if lenient { Judge::lenient() } else { Judge::strict() };
            match prepare(&bundle, &request(judge), &host) {
                // and what is decided arrives as it was
                Ok(assembly) => {
                    let bytes = handoff::encode(&assembly, Form::Compact).unwrap();
                    prop_assert_eq!(handoff::decode::<Assembly>(&bytes).unwrap(), assembly);
                }
                Err(error) => prop_assert!(error.to_string().contains("stage1"), "{}", error),
            }
        }
    }

    #[test]
    fn check_finds_an_error_exactly_where_one_is(config in config()) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("rootfs")).unwrap();
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let path = Text::new(dir.path().to_str().unwrap()).unwrap();
        let request = request(Judge::strict());
        let (findings, decided) = check(&path, &request).unwrap();
        let host = Host::read(request.rootless).unwrap();
        let made = Bundle::read(&path).and_then(|bundle| prepare(&bundle, &request, &host));
        prop_assert_eq!(made.is_ok(), decided.is_some());
        if let Err(error) = made {
            let told = findings.iter().any(|found| found.severity == Severity::Error);
            prop_assert!(told, "{}", error);
        }
    }
}
