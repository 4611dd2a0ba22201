//! The state of a container as the world sees it (runtime.md, "State", of runtime-spec), with
//! what the seed's master adds to it.

use crate::null;
use crate::plan::Plan;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Where a container is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its environment is being made.
    Creating,
    /// Everything is made; the user's program has not been started.
    Created,
    /// The user's program runs.
    Running,
    /// The user's program is frozen (cgroup freezer); not a status of runtime-spec itself.
    Paused,
    /// The user's program has ended.
    Stopped,
}

impl Status {
    /// The word of runtime-spec, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What `state` prints, hooks read from stdin, and the sync socket receives.
///
/// Keys without a value are left out, so this type is for JSON only: the compact form of the
/// handoff needs every field. Reading demands `status` alone and ignores unknown keys.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of runtime-spec that the bundle follows.
    #[serde(default, deserialize_with = "null::as_zero")]
    pub oci_version: String,
    /// The container's name, unique on the host.
    #[serde(default, deserialize_with = "null::as_zero")]
    pub id: String,
    /// Where it is in its life.
    pub status: Status,
    /// Its first process as the host numbers it; 0 when there is none, and then left out.
    #[serde(default, deserialize_with = "null::as_zero", skip_serializing_if = "is_zero")]
    pub pid: i32,
    /// Absolute path of the bundle.
    #[serde(default, deserialize_with = "null::as_zero")]
    pub bundle: String,
    /// The annotations of config.json.
    #[serde(
        default,
        deserialize_with = "null::as_zero",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// When it became `created`, in nanoseconds since 1970-01-01 00:00 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    /// When it became `running`, in the same unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<i64>,
    /// When it became `stopped`, in the same unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<i64>,
    /// Exit status of the program, 128 + n after signal n, 255 after a failure of the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why it ended, in words; empty when the exit code says all.
    #[serde(default, deserialize_with = "null::as_zero", skip_serializing_if = "String::is_empty")]
    pub exit_desc: String,
    /// Absolute path of the socket that carries its stdio; empty when there is none.
    #[serde(default, deserialize_with = "null::as_zero", skip_serializing_if = "String::is_empty")]
    pub attach_socket: String,
    /// Absolute path of the socket that takes [`Control`](crate::control::Control) messages;
    /// empty when there is none.
    #[serde(default, deserialize_with = "null::as_zero", skip_serializing_if = "String::is_empty")]
    pub control_socket: String,
}

impl State {
    /// A container of which nothing else is known yet.
    pub fn new(oci_version: impl Into<String>, id: impl Into<String>, status: Status) -> Self {
        Self {
            oci_version: oci_version.into(),
            id: id.into(),
            status,
            pid: 0,
            bundle: String::new(),
            annotations: BTreeMap::new(),
            created_at: None,
            started_at: None,
            finished_at: None,
            exit_code: None,
            exit_desc: String::new(),
            attach_socket: String::new(),
            control_socket: String::new(),
        }
    }
}

impl Plan {
    /// The container's state as its hooks get it.
    pub fn state(&self, status: Status, pid: i32) -> State {
        let mut state = State::new(self.oci_version.clone(), self.id.as_str(), status);
        state.pid = pid;
        state.bundle = self.bundle.as_str().into();
        state.annotations.clone_from(&self.annotations);
        state
    }

    /// The state for the hooks of one moment (runtime-spec, runtime.md, "Lifecycle").
    pub fn state_at(&self, moment: &str, pid: i32) -> State {
        let status = match moment {
            "startContainer" => Status::Created,
            "poststart" => Status::Running,
            "poststop" => Status::Stopped,
            _ => Status::Creating,
        };
        self.state(status, pid)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
fn is_zero(pid: &i32) -> bool {
    *pid == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// Every key of the seed's state, in its order.
    const FULL: &str = concat!(
        r#"{"ociVersion":"1.0.2","id":"web","status":"stopped","pid":4711,"bundle":"/b/web","#,
        r#""annotations":{"a":"1","b":""},"createdAt":1700000000000000001,"#,
        r#""startedAt":1700000000000000002,"finishedAt":1700000000000000003,"exitCode":137,"#,
        r#""exitDesc":"killed","attachSocket":"/run/web/attach.sock","#,
        r#""controlSocket":"/run/web/control.sock"}"#
    );

    #[test]
    fn a_full_state_round_trips_byte_for_byte() {
        let state: State = serde_json::from_str(FULL).unwrap();
        assert_eq!((state.pid, state.exit_code), (4711, Some(137)));
        assert_eq!(serde_json::to_string(&state).unwrap(), FULL);
    }

    #[test]
    fn keys_without_a_value_are_left_out() {
        let state = State::new("1.0.2", "web", Status::Creating);
        assert_eq!(
            serde_json::to_string(&state).unwrap(),
            r#"{"ociVersion":"1.0.2","id":"web","status":"creating","bundle":""}"#
        );
    }

    #[test]
    fn an_exit_code_and_times_of_zero_are_values_not_absence() {
        let mut state = State::new("1.0.2", "web", Status::Stopped);
        (state.exit_code, state.started_at) = (Some(0), Some(0));
        let written = serde_json::to_value(&state).unwrap();
        assert_eq!((&written["exitCode"], &written["startedAt"]), (&json!(0), &json!(0)));
    }

    #[test]
    fn unknown_keys_and_null_are_tolerated() {
        let text = r#"{"status":"paused","id":null,"annotations":null,"pid":null,"later":[1,{}]}"#;
        let state: State = serde_json::from_str(text).unwrap();
        assert_eq!(state, State::new("", "", Status::Paused));
    }

    #[test]
    fn every_status_is_its_word_in_json() {
        use Status::{Created, Creating, Paused, Running, Stopped};
        for status in [Creating, Created, Running, Paused, Stopped] {
            assert_eq!(serde_json::to_value(status).unwrap(), Value::from(status.as_str()));
        }
        assert!(serde_json::from_str::<Status>(r#""Running""#).is_err());
        assert!(serde_json::from_str::<State>(r#"{"id":"web"}"#).is_err());
    }

    proptest! {
        #[test]
        fn any_state_round_trips(
            texts in any::<[String; 6]>(),
            annotations in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..4),
            pid in any::<i32>(),
            times in any::<[Option<i64>; 3]>(),
            exit_code in any::<Option<i32>>(),
        ) {
            let [oci_version, id, bundle, exit_desc, attach_socket, control_socket] = texts;
            let [created_at, started_at, finished_at] = times;
            let state = State {
                oci_version, id, status: Status::Running, pid, bundle, annotations, created_at,
                started_at, finished_at, exit_code, exit_desc, attach_socket, control_socket,
            };
            let text = serde_json::to_string(&state).unwrap();
            prop_assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
        }
    }
}
