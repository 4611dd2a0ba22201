//! docs/HARDENING.md names every hardening test, and none that there is not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names of the tests in a file.
fn tests_in(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap();
    let after = text.split("#[test]\n").skip(1);
    let names = after.map(|test| test.trim_start().trim_start_matches("fn "));
    names.map(|test| test[..test.find('(').unwrap()].to_string()).collect()
}

#[test]
fn every_hardening_test_is_in_the_list_of_how_they_fail() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let own = fs::read_dir(workspace.join("tests/tests")).unwrap().flatten();
    let (hardening, others): (Vec<_>, Vec<_>) = own
        .map(|entry| entry.path())
        .filter(|path| !path.ends_with(Path::new(file!()).file_name().unwrap()))
        .partition(|path| path.file_name().unwrap().to_string_lossy().starts_with("hardening_"));
    let all = |paths: &[std::path::PathBuf]| -> BTreeSet<String> {
        paths.iter().flat_map(|path| tests_in(path)).collect()
    };
    let elsewhere = [
        "ffi/tests/c_starter.rs",
        "stage1/src/engine.rs",
        "cgroups/src/empty.rs",
        "cgroups/src/freeze.rs",
        "cgroups/tests/real.rs",
        "sys/src/file.rs",
    ];
    let elsewhere = elsewhere.map(|path| workspace.join(path));
    let document = fs::read_to_string(workspace.join("docs/HARDENING.md")).unwrap();
    let named: BTreeSet<String> = document
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.matches('_').count() > 4 && !word.contains(' '))
        .map(String::from)
        .collect();
    let wanted = all(&hardening);
    let known: BTreeSet<String> = &(&wanted | &all(&others)) | &all(&elsewhere);
    assert_eq!(&wanted - &named, BTreeSet::new(), "not in the list");
    assert_eq!(&named - &known, BTreeSet::new(), "no such test");
}
