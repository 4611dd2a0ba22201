//! What a decision depends on beside config.json, chosen so that it depends on this host as little
//! as possible.

use kickstage_config::Text;
use kickstage_config::plan::{Goal, Supervision};
use kickstage_stage1::cgroup::{CgroupHost, Layout};
use kickstage_stage1::{Bundle, Host, Judge, Request};
use oci_spec::runtime::Spec;

/// A container that is only created.
pub(crate) fn request(judge: Judge) -> Request {
    let text = |text| Text::new(text).unwrap();
    let (id, root) = (text("any"), text("/run/any"));
    Request { judge, ..Request::new(id, root, Goal::Created, Supervision::Foreign) }
}

/// A bundle that nobody looks for.
pub(crate) fn bundle(spec: Spec) -> Bundle {
    let text = |text| Text::new(text).unwrap();
    Bundle { path: text("/b"), rootfs: text("/b/r"), over_host: false, spec }
}

/// Root's, with these control groups.
pub(crate) fn host(layout: Layout) -> Host {
    let cgroups = CgroupHost { layout, rootless: false, no_device_programs: false };
    Host { cgroups, unprivileged: None }
}
