//! The hooks of config.json.

use crate::text::{self, invalid, texts};
use kickstage_config::Result;
use kickstage_config::plan::{Hook, Hooks};
use oci_spec::runtime::{Hook as Entry, Spec};

/// Reads `/hooks`.
pub(crate) fn decide(spec: &Spec) -> Result<Hooks> {
    let Some(hooks) = spec.hooks() else { return Ok(Hooks::default()) };
    Ok(Hooks {
        prestart: read("prestart", hooks.prestart().as_deref())?,
        create_runtime: read("createRuntime", hooks.create_runtime().as_deref())?,
        create_container: read("createContainer", hooks.create_container().as_deref())?,
        start_container: read("startContainer", hooks.start_container().as_deref())?,
        poststart: read("poststart", hooks.poststart().as_deref())?,
        poststop: read("poststop", hooks.poststop().as_deref())?,
    })
}

fn read(moment: &str, list: Option<&[Entry]>) -> Result<Vec<Hook>> {
    let list = list.unwrap_or_default().iter().enumerate();
    list.map(|(index, entry)| read_one(&format!("/hooks/{moment}/{index}"), entry)).collect()
}

fn read_one(pointer: &str, entry: &Entry) -> Result<Hook> {
    let path = text::path(&format!("{pointer}/path"), entry.path())?;
    if !path.as_str().starts_with('/') {
        return Err(invalid(&format!("{pointer}/path"), "it must be absolute"));
    }
    let timeout = entry
        .timeout()
        .map(|seconds| {
            u32::try_from(seconds)
                .ok()
                .filter(|seconds| *seconds > 0)
                .ok_or_else(|| invalid(&format!("{pointer}/timeout"), "it must be above 0"))
        })
        .transpose()?;
    Ok(Hook {
        path,
        args: texts(&format!("{pointer}/args"), entry.args().as_deref().unwrap_or_default())?,
        env: texts(&format!("{pointer}/env"), entry.env().as_deref().unwrap_or_default())?,
        timeout,
    })
}
