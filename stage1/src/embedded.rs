//! The bundle that needs no bundle: this host's root, read-only, under a layer in memory.

use crate::Bundle;
use kickstage_config::{Error, Result, Role, Text};
use oci_spec::runtime::Spec;

/// Its config.json, but for the program.
const CONFIG: &str = include_str!("embedded.json");

/// Where the layer is mounted: inside the container's mount namespace only.
const SCRATCH: &str = "/tmp";

impl Bundle {
    /// A container of this host's own files, in which `args` run with what `env` says. Changes
    /// stay in memory and are gone with the container.
    pub fn of_this_host(args: &[String], env: &[String], terminal: bool) -> Result<Self> {
        let mut spec: Spec = serde_json::from_slice(CONFIG.as_bytes()).map_err(|error| {
            Error::new(Role::Stage1, "parse the embedded config").because(error.to_string())
        })?;
        if let Some(process) = spec.process_mut() {
            process.set_args(Some(args.to_vec()));
            process.set_env(Some(env.to_vec()));
            process.set_terminal(Some(terminal));
        }
        let scratch = Text::from_literal(SCRATCH);
        Ok(Self { path: Text::from_literal("/"), rootfs: scratch, over_host: true, spec })
    }
}
