//! Any bytes in place of a handoff are refused, or are what somebody could have handed over.

mod around;
mod seeds;

use around::{bundle, host, request};
use kickstage_config::channel::Message;
use kickstage_config::exec::Task;
use kickstage_config::handoff::{self, Form};
use kickstage_config::plan::Step;
use kickstage_config::{Assembly, Error, Role};
use kickstage_stage1::cgroup::Layout;
use kickstage_stage1::{Judge, prepare};
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// What stage1 makes of a config with everything.
fn assembly() -> Assembly {
    let bundle = bundle(serde_json::from_value(seeds::seeds().remove(0)).unwrap());
    let host = host(Layout::Unified { own: "/own".into() });
    prepare(&bundle, &request(Judge::lenient()), &host).unwrap()
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
