//! WebAssembly modules to run.

use crate::Bundle;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

/// tests/fixtures/wasm/box.c, compiled.
pub static BOX: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/box.wasm"));

/// A bundle whose program is that module, asked for as clients of crun do it.
pub fn bundle(words: &[&str]) -> Bundle {
    let bundle = Bundle::new(&[&["/box.wasm"], words].concat())
        .with("/annotations", json!({"run.oci.handler": "wasm"}));
    put(&bundle, "box.wasm", BOX);
    bundle
}

/// Puts a module into a bundle's root, as compilers leave one: nobody may execute it.
pub fn put(bundle: &Bundle, path: &str, bytes: &[u8]) {
    let path = bundle.inside(path);
    fs::write(&path, bytes).expect("writable");
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("it is ours");
}

/// A directory of the host with a file in it, which everybody may use.
pub fn shared() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("writable");
    fs::write(dir.path().join("file"), "from the host\n").expect("writable");
    dir
}

/// With that directory at /volume.
pub fn mounted(bundle: Bundle, dir: &TempDir, options: &[&str]) -> Bundle {
    bundle.adding(
        "/mounts",
        json!({"destination": "/volume", "type": "bind", "source": dir.path(), "options": options}),
    )
}
