//! A container that runs.

use crate::{Bundle, Ended, Runtime};

/// A running container that is deleted with the value.
pub struct Running {
    /// What it runs under.
    pub runtime: Runtime,
    /// Its name.
    pub id: String,
    /// Its root file system is needed until the end.
    pub bundle: Bundle,
}

impl Running {
    /// Creates and starts it.
    #[track_caller]
    pub fn new(runtime: Runtime, bundle: Bundle) -> Self {
        let id = runtime.start(&bundle);
        Self { runtime, id, bundle }
    }

    /// One that does nothing.
    #[track_caller]
    pub fn sleeping() -> Self {
        Self::new(Runtime::kickstage(), Bundle::new(&["sleep", "1000"]))
    }

    /// Runs a further program in it to its end.
    pub fn exec(&self, flags: &[&str], command: &[&str]) -> Ended {
        self.runtime.call(&self.exec_words(flags, command))
    }

    /// The command line for that.
    pub fn exec_words<'a>(&'a self, flags: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
        [&["exec"], flags, &[self.id.as_str()], command].concat()
    }

    /// Its first process as the host numbers it.
    #[track_caller]
    pub fn pid(&self) -> i64 {
        self.runtime.state(&self.id)["pid"].as_i64().expect("it runs")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.runtime.call(&["delete", "--force", &self.id]);
    }
}
