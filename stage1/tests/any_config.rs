//! Any config.json is decided about or refused: nothing panics, and `check` agrees.
//!
//! The seed is a config with everything; parts of it are exchanged for anything.

mod around;
mod seeds;

use around::{bundle, host, request};
use kickstage_config::handoff::{self, Form};
use kickstage_config::{Assembly, Text};
use kickstage_stage1::cgroup::{Hierarchy, Layout};
use kickstage_stage1::{Bundle, Host, Judge, Severity, check, prepare};
use oci_spec::runtime::Spec;
use proptest::prelude::*;
use seeds::seeds;
use serde_json::Value;

const EVERYTHING: &str = include_str!("../src/support/everything.json");

fn hosts() -> [Host; 3] {
    let hierarchy = |controllers: &str| Hierarchy {
        controllers: controllers.into(),
        mount: Text::new(format!("/sys/fs/cgroup/{controllers}")).unwrap(),
        own: "/own".into(),
    };
    let legacy =
        Layout::Legacy { hierarchies: ["memory", "cpu,cpuacct", "name=x"].map(hierarchy).into() };
    [Layout::None, Layout::Unified { own: "/own".into() }, legacy].map(host)
}

/// With all that a config.json can hold among the seeds, though nothing can be decided about that.
fn config() -> impl Strategy<Value = Value> {
    let mut seeds = seeds();
    seeds.push(serde_json::from_str(EVERYTHING).unwrap());
    kickstage_fuzz::json(seeds, &WORDS)
}

#[test]
fn the_seeds_hold_nearly_everything() {
    let size = |config: &Value| config.to_string().len();
    let everything = size(&serde_json::from_str(EVERYTHING).unwrap());
    let [all, usual] = &seeds()[..] else { panic!() };
    assert!(size(all) * 4 > everything * 3, "{all}");
    assert!(size(usual) > 1000);
}

/// Words that mean something somewhere.
const WORDS: [&str; 21] = [
    "/",
    "..",
    "/proc",
    "/dev",
    "/proc/self/fd/3",
    "/b/r/x",
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
    "a:b:c",
];

proptest! {
    #![proptest_config(kickstage_fuzz::seeded_with(64))]
    #[test]
    fn any_config_is_decided_or_refused(config in config(), lenient in any::<bool>()) {
        let Ok(spec) = serde_json::from_value::<Spec>(config) else { return Ok(()) };
        let bundle = bundle(spec);
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
    fn any_config_is_refused_exactly_where_check_finds_an_error(config in config()) {
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
