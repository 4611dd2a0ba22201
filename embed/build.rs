//! Builds the stage image and hands its path to the compiler, which embeds it.
//!
//! The image has no std and must not meet std's features in one build, so a cargo of its own
//! builds it: always optimised, for the target of the command.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What ends in the image.
const SOURCES: [&str; 12] = [
    "image",
    "master",
    "starter",
    "stage2",
    "rpc",
    "hooks",
    "cgroups",
    "systemd",
    "config",
    "sys",
    "Cargo.toml",
    "Cargo.lock",
];

fn main() {
    let workspace = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("..");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let target = variable("TARGET");
    let directory = Path::new(&variable("OUT_DIR")).join("image");
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .current_dir(&workspace)
        .args(["build", "--profile", "image", "--package", "kickstage-image"])
        .args(["--features", "program", "--target", &target, "--target-dir"])
        .arg(&directory)
        // what is set for the command's own build is not meant for the image
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    let status = cargo.status().unwrap_or_else(|error| panic!("run {cargo:?}: {error}"));
    assert!(status.success(), "building the stage image failed: {cargo:?}");
    let image = directory.join(&target).join("image/kickstage-image");
    println!("cargo::rustc-env=KICKSTAGE_IMAGE={}", image.display());
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}
