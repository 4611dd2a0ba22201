//! Inputs that are nearly right: good ones, changed at random, so that most get past the first
//! check and some to the last one.
//!
//! For the property tests of everything that reads what somebody else has written. Their names
//! begin with `any_`; `cargo test` tries a few hundred inputs, `make fuzz` goes on for as long as
//! one likes. An input that fails leaves its seed in a file beside the test, which is tried first
//! from then on.

mod bytes;
mod json;

pub use bytes::{bytes, text};
pub use json::json;

use proptest::test_runner::{Config, FileFailurePersistence};

/// As many cases as `PROPTEST_CASES` says, or proptest's 256.
pub fn seeded() -> Config {
    let persistence = FileFailurePersistence::WithSource("seeds");
    Config { failure_persistence: Some(Box::new(persistence)), ..Config::default() }
}

/// The same for a property that takes its time: `cases`, unless `PROPTEST_CASES` says more.
pub fn seeded_with(cases: u32) -> Config {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let default = seeded();
    Config { cases: if asked { default.cases } else { cases }, ..default }
}
