//! `kickstage state ID`

use super::{Layout, json, open, owners::Owners, print};
use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::Result;
use kickstage_config::monitored::{LogFailure, Monitored};
use kickstage_config::state::Status;
use serde::Serialize;
use std::collections::BTreeMap;

/// What `state` and `list` print of a container; keys as runc's.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown<'a> {
    pub(super) oci_version: &'a str,
    pub(super) id: &'a str,
    /// 0 when there is no process.
    pub(super) pid: i32,
    pub(super) status: &'a str,
    pub(super) bundle: &'a str,
    pub(super) rootfs: &'a str,
    pub(super) created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<&'a BTreeMap<String, String>>,
    pub(super) owner: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) monitored: Option<Told>,
}

/// What a monitor tells; times as in the seed, in nanoseconds since 1970-01-01 00:00 UTC.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    exit_desc: String,
    attach_socket: String,
    control_socket: String,
    log_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_failure: Option<LogFailure>,
}

impl From<Monitored> for Told {
    fn from(monitored: Monitored) -> Self {
        Self {
            created_at: monitored.created_at.0,
            started_at: monitored.started_at.map(|time| time.0),
            finished_at: monitored.finished_at.map(|time| time.0),
            exit_code: monitored.exit_code,
            exit_desc: monitored.exit_desc,
            attach_socket: monitored.attach_socket,
            control_socket: monitored.control_socket,
            log_path: monitored.log_path.to_string(),
            log_failure: monitored.log_failure,
        }
    }
}

/// Nothing for nothing.
pub(super) fn some(annotations: &BTreeMap<String, String>) -> Option<&BTreeMap<String, String>> {
    (!annotations.is_empty()).then_some(annotations)
}

/// Prints it.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    let container = open(global, parsed)?;
    let (record, status) = (container.record()?, container.status()?);
    let shown = Shown {
        oci_version: &record.oci_version,
        id: &record.id,
        pid: if status == Status::Stopped { 0 } else { record.pid },
        status: status.as_str(),
        bundle: &record.bundle,
        rootfs: &record.rootfs,
        created: record.created.to_string(),
        annotations: some(&record.annotations),
        owner: Owners::default().name(record.owner_uid),
        monitored: container.monitored()?.map(Told::from),
    };
    print(&json(&shown, Layout::Indented(b"  "))?)
}
