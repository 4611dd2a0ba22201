//! `kickstage state ID`

use super::{Layout, json, open, owners::Owners, print};
use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::Result;
use kickstage_config::record::Record;
use kickstage_config::state::Status;
use serde::Serialize;
use std::collections::BTreeMap;

/// What `state` and `list` print of a container; keys as runc's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown<'a> {
    oci_version: &'a str,
    pub(super) id: &'a str,
    pub(super) pid: i32,
    pub(super) status: &'a str,
    pub(super) bundle: &'a str,
    rootfs: &'a str,
    pub(super) created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a BTreeMap<String, String>>,
    pub(super) owner: String,
}

impl<'a> Shown<'a> {
    pub(super) fn new(record: &'a Record, status: Status, owner: String) -> Self {
        Self {
            oci_version: &record.oci_version,
            id: &record.id,
            pid: if status == Status::Stopped { 0 } else { record.pid },
            status: status.as_str(),
            bundle: &record.bundle,
            rootfs: &record.rootfs,
            created: record.created.to_string(),
            annotations: Some(&record.annotations).filter(|annotations| !annotations.is_empty()),
            owner,
        }
    }

    /// One of which there is no readable record.
    pub(super) fn without_record(id: &'a str, status: &'a str, owner: String) -> Self {
        let (pid, created, annotations) = (0, String::new(), None);
        let (oci_version, bundle, rootfs) = ("", "", "");
        Self { oci_version, id, pid, status, bundle, rootfs, created, annotations, owner }
    }
}

/// Prints it.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    let container = open(global, parsed)?;
    let (record, status) = (container.record()?, container.status()?);
    let owner = Owners::default().name(record.owner_uid);
    print(&json(&Shown::new(record, status, owner), Layout::Indented(b"  "))?)
}
