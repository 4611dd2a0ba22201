//! `kickstage --version`

use kickstage_config::Result;

/// The newest runtime-spec that we follow.
pub(super) const SPEC: &str = "1.3.0";

/// This program's version.
pub(super) const OWN: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from, as the build was told.
pub(super) const COMMIT: &str = match option_env!("KICKSTAGE_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Prints the three lines that containerd and podman parse.
pub(super) fn run() -> Result<i32> {
    super::print(&format!("kickstage version {OWN}\ncommit: {COMMIT}\nspec: {SPEC}\n"))
}
