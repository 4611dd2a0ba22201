//! Any bytes in place of a handoff are refused, or are what somebody could have handed over.

use kickstage_config::channel::Message;
use kickstage_config::exec::Task;
use kickstage_config::handoff::{self, Descriptors, Form};
use kickstage_config::plan::{Goal, Step, Supervision};
use kickstage_config::{Assembly, Error, Report, Role, Text};
use kickstage_stage1::cgroup::{CgroupHost, Layout};
use kickstage_stage1::{Bundle, Host, Judge, Request, prepare};
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// What stage1 makes of a config with everything.
fn assembly() -> Assembly {
    let text = include_str!("../src/support/everything.json");
    let bundle = Bundle {
        path: Text::new("/b").unwrap(),
        rootfs: Text::new("/b/r").unwrap(),
        over_host: false,
        spec: serde_json::from_str(text).unwrap(),
    };
    let request = Request {
        id: Text::new("any").unwrap(),
        state_root: Text::new("/run/any").unwrap(),
        goal: Goal::Running,
        supervision: Supervision::Foreground,
        keep: true,
        pid_file: Some(Text::new("/p").unwrap()),
        no_pivot: false,
        no_new_keyring: false,
        empty_process: false,
        preserve_fds: 2,
        report: Report::default(),
        descriptors: Descriptors { console_socket: Some(3), timeline: None, monitor: Some(9) },
        judge: Judge::lenient(),
    };
    let cgroups = CgroupHost { layout: Layout::Unified { own: "/own".into() }, optional: false };
    prepare(&bundle, &request, &Host { cgroups, unprivileged: None }).unwrap()
}

fn encoded<T: Serialize>(value: &T) -> Vec<Vec<u8>> {
    [Form::Compact, Form::Json].map(|form| handoff::encode(value, form).unwrap()).into()
}

/// Every kind of handoff, in both forms, and JSON without a header.
fn seeds() -> Vec<Vec<u8>> {
    let assembly = assembly();
    let steps: Vec<Step> = assembly.plan.setup.mounts.clone();
    let failed = Message::Failed(
        Error::new(Role::Rpc, "mount").on("/x").at("/mounts/1").errno(kickstage_sys::Errno(13)),
    );
    let mut seeds = encoded(&steps);
    seeds.extend(encoded(&failed));
    seeds.extend(encoded(&Message::Placed { pid: 7 }));
    seeds.extend(encoded(&assembly));
    seeds.push(serde_json::to_vec(&assembly).unwrap());
    seeds.extend(encoded(&Task::Make(Box::new(assembly))));
    seeds
}

/// What has been read can be handed over again, and arrives as it was.
fn reads<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    bytes: &[u8],
) -> Result<(), TestCaseError> {
    let Ok(value) = handoff::decode::<T>(bytes) else { return Ok(()) };
    for again in encoded(&value) {
        prop_assert_eq!(&handoff::decode::<T>(&again).unwrap(), &value);
    }
    Ok(())
}

proptest! {
    #![proptest_config(kickstage_fuzz::seeded())]
    #[test]
    fn any_bytes_are_a_handoff_or_refused(bytes in kickstage_fuzz::bytes(seeds(), &["\"pid\":"])) {
        reads::<Assembly>(&bytes)?;
        reads::<Task>(&bytes)?;
        reads::<Vec<Step>>(&bytes)?;
        reads::<Message>(&bytes)?;
        reads::<Error>(&bytes)?;
    }
}
