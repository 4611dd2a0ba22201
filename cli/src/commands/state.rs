//! `kickstage state ID`

use super::{Layout, json, open, owners::Owners, print};
use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::Result;
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
    };
    print(&json(&shown, Layout::Indented(b"  "))?)
}
