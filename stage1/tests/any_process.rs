//! Any process that an exec asks for, as JSON or by flags, is decided about or refused.

use kickstage_config::Text;
use kickstage_config::exec::{Exec, Task};
use kickstage_config::handoff::{self, Descriptors, Form};
use kickstage_stage1::Judge;
use kickstage_stage1::exec::{Changes, Decided, exec, read_process};
use oci_spec::runtime::Spec;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;
use std::io::Write;

const SEED: &str = include_str!("../src/support/everything.json");

const WORDS: [&str; 14] = [
    "/",
    "..",
    "0-3",
    "CAP_KILL",
    "CAP_NOPE",
    "RLIMIT_NOFILE",
    "RLIMIT_CORE",
    "A=1",
    "=",
    "0",
    "SCHED_FIFO",
    "IOPRIO_CLASS_RT",
    "u:r:t:s0",
    "docker-default",
];

fn spec() -> Spec {
    serde_json::from_str(SEED).unwrap()
}

/// Half of all are JSON; of the others the bytes themselves are changed.
fn process() -> impl Strategy<Value = Vec<u8>> {
    let everything: Value = serde_json::from_str(SEED).unwrap();
    let seed = everything["process"].clone();
    let bytes = kickstage_fuzz::bytes(vec![seed.to_string().into_bytes()], &WORDS);
    let json = kickstage_fuzz::json(vec![seed], &WORDS);
    prop_oneof![json.prop_map(|json| json.to_string().into_bytes()), bytes]
}

prop_compose! {
    fn changes()(
        args in vec(word(), 0..4),
        cwd in option::of(word()),
        env in vec(word(), 0..4),
        ids in any::<(Option<u32>, Option<u32>)>(),
        additional_gids in any::<Vec<u32>>(),
        capabilities in vec(word(), 0..3),
        labels in (option::of(word()), option::of(word())),
        switches in any::<[bool; 2]>(),
    ) -> Changes {
        let [no_new_privs, terminal] = switches;
        Changes {
            process: None, args, cwd, env, uid: ids.0, gid: ids.1, additional_gids, capabilities,
            no_new_privs, apparmor: labels.0, label: labels.1, terminal,
        }
    }
}

fn word() -> impl Strategy<Value = String> {
    kickstage_fuzz::text(&WORDS, &WORDS)
}

/// What is decided arrives as it was; what is refused says where.
fn decided_or_refused(changes: &Changes) -> Result<(), TestCaseError> {
    let id = Text::new("any").unwrap();
    for judge in [Judge::strict(), Judge::lenient()] {
        match exec(&spec(), &id, changes, 1, true, &judge) {
            Ok(decided) => arrives(decided)?,
            Err(error) => prop_assert!(error.key.is_some(), "{}", error),
        }
    }
    Ok(())
}

fn arrives(decided: Decided) -> Result<(), TestCaseError> {
    let task = Task::Exec(Box::new(Exec {
        container: 3,
        container_pid: 4,
        namespaces: 0,
        unit: None,
        cgroups: Vec::new(),
        process: decided.process,
        oom_score_adj: decided.oom_score_adj,
        affinity: decided.affinity,
        listener: decided.listener.map(|listener| (listener, String::new())),
        detach: false,
        pid_file: None,
        report: kickstage_config::Report::default(),
        descriptors: Descriptors::default(),
    }));
    let bytes = handoff::encode(&task, Form::Compact).unwrap();
    prop_assert_eq!(handoff::decode::<Task>(&bytes).unwrap(), task);
    Ok(())
}

proptest! {
    #![proptest_config(kickstage_fuzz::seeded())]
    #[test]
    fn any_process_file_is_decided_about_or_refused(bytes in process()) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let path = Text::new(file.path().to_str().unwrap()).unwrap();
        let Ok(process) = read_process(&path) else { return Ok(()) };
        decided_or_refused(&Changes { process: Some(process), ..Changes::default() })?;
    }

    #[test]
    fn any_flags_of_exec_are_decided_about_or_refused(changes in changes()) {
        decided_or_refused(&changes)?;
    }
}
