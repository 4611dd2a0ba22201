//! The one image of all tests: busybox and the probe.

use kickstage_tests::Bundle;
use std::path::Path;
use std::process::Command;

/// Writes the root file system of [`Bundle`] as a tar archive, for `podman import` and the like.
pub fn archive(to: &Path) {
    let bundle = Bundle::new(&["true"]);
    let packed = Command::new("tar")
        .arg("--directory")
        .arg(bundle.inside(""))
        .args(["--numeric-owner", "--owner=0", "--group=0", "-cf"])
        .arg(to)
        .arg(".")
        .status();
    assert!(packed.is_ok_and(|status| status.success()), "tar(1) packs the image");
}
