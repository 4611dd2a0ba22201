//! podman: an image that holds a WebAssembly module and nothing else.

use kickstage_clients::podman::Podman;
use kickstage_tests::Ended;
use kickstage_tests::bundle::unique_id;
use kickstage_tests::wasm::BOX;
use kickstage_tests::world::wait_until;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const MODULE: &str = "localhost/module";

/// A podman with that image.
fn with_module() -> Podman {
    let podman = Podman::new();
    let dir = tempfile::tempdir_in(podman.dir()).unwrap();
    fs::write(dir.path().join("box.wasm"), BOX).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let archive = podman.dir().join(format!("{}.tar", unique_id()));
    let mut pack = Command::new("tar");
    pack.arg("--directory").arg(dir.path()).args([
        "--numeric-owner",
        "--owner=0",
        "--group=0",
        "-cf",
    ]);
    assert!(pack.arg(&archive).arg(".").status().unwrap().success());
    let archive = archive.display().to_string();
    podman.call(&["import", "--quiet", "--change", "CMD [\"/box.wasm\"]", &archive, MODULE]).ok();
    podman
}

fn run(podman: &Podman, flags: &[&str], words: &[&str]) -> Ended {
    let asked = ["run", "--rm", "--annotation", "run.oci.handler=wasm"];
    podman.call(&[&asked, flags, &[MODULE], words].concat())
}

#[test]
fn a_module_is_an_image_of_its_own() {
    let podman = with_module();
    let described = run(&podman, &["--env", "A=1"], &["/box.wasm", "describe", "word"]).ok().stdout;
    for line in ["arg /box.wasm", "arg word", "env A=1", "env container=podman"] {
        assert!(described.lines().any(|found| found == line), "{line}: {described}");
    }
    assert_eq!(run(&podman, &[], &["/box.wasm", "exit", "42"]).code, 42);
    // its own command is a word that it does not know
    assert_eq!(run(&podman, &[], &[]).code, 2);
    let native = podman.call(&["run", "--rm", MODULE]);
    assert_eq!(native.code, 126, "{native:?}");
    assert_eq!(run(&podman, &[], &["/absent.wasm"]).code, 127);
}

#[test]
fn it_uses_volumes_and_the_default_profile_lets_it() {
    let podman = with_module();
    let dir = tempfile::tempdir_in(podman.dir()).unwrap();
    fs::write(dir.path().join("file"), "from the host").unwrap();
    let volume = format!("{}:/volume", dir.path().display());
    let step = |words: &[&str]| {
        run(&podman, &["--volume", &volume], &[&["/box.wasm"], words].concat()).ok().stdout
    };
    assert_eq!(step(&["read", "/volume/file"]), "from the host");
    step(&["write", "/volume/new", "from the module"]);
    assert_eq!(fs::read_to_string(dir.path().join("new")).unwrap(), "from the module");
    let status = step(&["read", "/proc/self/status"]);
    assert!(status.contains("Seccomp:\t2\n"), "{status}");
}

#[test]
fn it_ends_at_once_when_it_is_told_to() {
    let podman = with_module();
    let name = unique_id();
    let flags = ["--detach", "--rm=false", "--name", &name];
    run(&podman, &flags, &["/box.wasm", "pause"]).ok();
    let said = || podman.call(&["logs", &name]).stdout;
    wait_until("it can be told", || said() == "waiting\n");
    podman.call(&["stop", "--time", "60", &name]).ok();
    // by the first signal: of the second it would be 137
    let code = podman.call(&["inspect", "--format", "{{.State.ExitCode}}", &name]).ok().stdout;
    assert_eq!(code, "143\n");
    podman.call(&["rm", &name]).ok();
}
