//! Any JSON of an engine's configuration is prepared for a starter or refused.

use kickstage_config::engine::Common;
use kickstage_stage1::engine::prepare_config;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::os::fd::{FromRawFd, OwnedFd};

const WORDS: [&str; 10] =
    ["/", "oci", "json", "kubernetes", "basic", "running", "user", "0-3", "/proc", "x"];

/// All that a container CLI can say, with a root file system that is there.
fn seeds() -> Vec<Value> {
    let config = |text: &str| {
        let mut config: Value = serde_json::from_str(text).unwrap();
        config["root"]["path"] = "/".into();
        config
    };
    let everything = config(include_str!("../src/support/everything.json"));
    let usual = config(include_str!("../../tests/fixtures/default.json"));
    let seed = |config: Value| {
        json!({
            "engineName": "oci", "containerID": "web", "plugin": {"x": {"y": [1]}},
            "engineConfig": {
                "bundlePath": "/", "logPath": "/var/log/web", "logFormat": "json",
                "pidFile": "/run/web.pid", "ociConfig": config, "masterPts": 7, "slavePts": 8,
                "outputStreams": [-1, -1], "errorStreams": [-1, -1], "inputStreams": [-1, -1],
                "syncSocket": "/run/sync", "emptyProcess": false, "exec": false,
                "systemdCgroups": false, "state": {
                    "ociVersion": "1.0.2", "id": "web", "status": "running", "pid": 4711,
                    "bundle": "/", "createdAt": 1, "attachSocket": "/a", "controlSocket": "/c",
                },
            },
        })
    };
    let mut exec = seed(usual.clone());
    exec["engineConfig"]["exec"] = true.into();
    vec![seed(everything), seed(usual), exec]
}

/// What one role writes for the next arrives there as it was. (Once written, that is: the model
/// leaves out lists that are empty.)
fn passes_on(common: &Common) -> Result<(), TestCaseError> {
    let pass = |common: &Common| -> Common {
        serde_json::from_slice(&serde_json::to_vec(common).unwrap()).unwrap()
    };
    let read = pass(common);
    prop_assert_eq!(pass(&read), read);
    Ok(())
}

proptest! {
    #![proptest_config(kickstage_fuzz::seeded())]
    #[test]
    fn any_engine_json_is_prepared_or_refused(
        json in kickstage_fuzz::json(seeds(), &WORDS),
        is_suid in prop::bool::weighted(0.05),
    ) {
        let Ok(mut common) = serde_json::from_value::<Common>(json) else { return Ok(()) };
        let Ok(starter) = prepare_config(&mut common, is_suid) else { return Ok(()) };
        prop_assert!(starter.check().is_ok());
        let fds = starter.starter.fds.iter().copied();
        for fd in fds {
            // SAFETY: it has just been opened for whoever comes after stage1, which is nobody.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
        passes_on(&common)?;
    }

    #[test]
    fn any_bytes_of_engine_json_are_read_or_refused(
        bytes in kickstage_fuzz::bytes(
            seeds().iter().map(|seed| seed.to_string().into_bytes()).collect(), &WORDS,
        ),
    ) {
        let Ok(common) = serde_json::from_slice::<Common>(&bytes) else { return Ok(()) };
        passes_on(&common)?;
    }
}
