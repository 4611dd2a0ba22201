//! What a decision depends on beside config.json, chosen so that it depends on this host as little
//! as possible.

use kickstage_config::handoff::Descriptors;
use kickstage_config::plan::{Goal, Supervision};
use kickstage_config::{Report, Text};
use kickstage_stage1::cgroup::{CgroupHost, Layout, Manager};
use kickstage_stage1::{Bundle, Host, Judge, Request, Rootless, Service};
use oci_spec::runtime::Spec;

/// A container that is only created.
pub(crate) fn request(judge: Judge) -> Request {
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

/// A bundle that nobody looks for.
pub(crate) fn bundle(spec: Spec) -> Bundle {
    let text = |text| Text::new(text).unwrap();
    Bundle { path: text("/b"), rootfs: text("/b/r"), over_host: false, spec }
}

/// Root's, with these control groups.
pub(crate) fn host(layout: Layout) -> Host {
    Host { cgroups: CgroupHost { layout, rootless: false }, unprivileged: None }
}
