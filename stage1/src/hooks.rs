//! The hooks of config.json.

use crate::text::{self, invalid, texts};
use kickstage_config::Result;
use kickstage_config::plan::{Hook, Hooks};
use oci_spec::runtime::{Hook as Entry, Hooks as Entries, Spec};

/// A moment: the specification's name, and where the model and the plan keep its hooks.
type Moment = (&'static str, fn(&Entries) -> &Option<Vec<Entry>>, fn(&mut Hooks) -> &mut Vec<Hook>);

/// Every moment, in the order of a container's life.
const MOMENTS: [Moment; 6] = [
    ("prestart", Entries::prestart, |hooks| &mut hooks.prestart),
    ("createRuntime", Entries::create_runtime, |hooks| &mut hooks.create_runtime),
    ("createContainer", Entries::create_container, |hooks| &mut hooks.create_container),
    ("startContainer", Entries::start_container, |hooks| &mut hooks.start_container),
    ("poststart", Entries::poststart, |hooks| &mut hooks.poststart),
    ("poststop", Entries::poststop, |hooks| &mut hooks.poststop),
];

/// The names of all moments, for `features`.
pub fn hook_moments() -> impl Iterator<Item = &'static str> {
    MOMENTS.iter().map(|(name, ..)| *name)
}

/// Reads `/hooks`.
pub(crate) fn decide(spec: &Spec) -> Result<Hooks> {
    let mut decided = Hooks::default();
    let Some(hooks) = spec.hooks() else { return Ok(decided) };
    for (name, given, kept) in MOMENTS {
        *kept(&mut decided) = read(name, given(hooks).as_deref())?;
    }
    Ok(decided)
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
