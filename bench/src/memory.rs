//! The smallest memory limit with which a container runs.

use crate::scenario::Subject;
use kickstage_tests::Bundle;
use serde_json::json;
use std::process::{Command, Stdio};

/// In KiB: `run true` succeeds three times in a row with it. The runtime's own processes count
/// as long as they are in the container's cgroup.
pub(crate) fn least(subject: &Subject) -> u64 {
    let mut fails = 0;
    let mut works = 64 * 1024;
    assert!(runs(subject, works), "{} does not run with 64 MiB", subject.name);
    while works - fails > 4 {
        let half = u64::midpoint(works, fails) / 4 * 4;
        if (0..3).all(|_| runs(subject, half)) { works = half } else { fails = half }
    }
    works
}

fn runs(subject: &Subject, kib: u64) -> bool {
    let bundle =
        Bundle::new(&["true"]).with("/linux/resources", json!({"memory": {"limit": kib * 1024}}));
    let words = subject.run(&bundle);
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "10"]).args(words).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().expect("timeout(1) can be executed").success()
}
