//! What the whole-system tests share: bundles, and runtimes to run them.
//!
//! A runtime is a program with runc's command line. The command under test is `$KICKSTAGE`, or
//! the static release build of this workspace, which `make build` makes.

pub mod attack;
pub mod bundle;
pub mod limits;
pub mod passed;
pub mod running;
pub mod runtime;
pub mod saved;
pub mod wasm;
pub mod world;

pub use bundle::Bundle;
pub use limits::Limits;
pub use running::Running;
pub use runtime::{Ended, Runtime};
