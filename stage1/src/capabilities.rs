//! Capability sets: from names to bits, once.

use crate::text::invalid;
use kickstage_config::Result;
use kickstage_config::process::Capabilities;
use oci_spec::runtime::{Capabilities as Names, LinuxCapabilities};

/// Reads `/process/capabilities`. Without it the process has none.
///
/// Ambient capabilities must be permitted and inheritable (capabilities(7)); those that are not
/// are left out, since the default configurations of other engines name some and no engine has
/// ever been able to give them.
pub(crate) fn decide(given: Option<&LinuxCapabilities>) -> Result<Capabilities> {
    let Some(given) = given else { return Ok(Capabilities::default()) };
    let permitted = set(given.permitted().as_ref());
    let effective = set(given.effective().as_ref());
    let inheritable = set(given.inheritable().as_ref());
    if effective & !permitted != 0 {
        let names = names(effective & !permitted);
        return Err(invalid(
            "/process/capabilities/effective",
            format!("{names} would be in effect and is not permitted"),
        )
        .remedy("add it to permitted"));
    }
    Ok(Capabilities {
        bounding: set(given.bounding().as_ref()),
        effective,
        permitted,
        inheritable,
        ambient: set(given.ambient().as_ref()) & permitted & inheritable,
    })
}

fn set(names: Option<&Names>) -> u64 {
    names
        .into_iter()
        .flatten()
        .filter_map(|name| format!("CAP_{name}").parse::<caps::Capability>().ok())
        .fold(0, |set, capability| set | capability.bitmask())
}

fn names(set: u64) -> String {
    let names: Vec<String> = caps::all()
        .into_iter()
        .filter(|capability| set & capability.bitmask() != 0)
        .map(|capability| capability.to_string())
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{Capability, LinuxCapabilitiesBuilder};

    #[test]
    fn every_name_of_the_model_has_a_bit() {
        let all = caps::all();
        for capability in &all {
            let text = format!("\"{capability}\"");
            let name: Capability = serde_json::from_str(&text).unwrap();
            assert_eq!(set(Some(&Names::from([name]))), capability.bitmask(), "{text}");
        }
        assert_eq!(all.len(), 41);
    }

    #[test]
    fn ambient_needs_permitted_and_inheritable() {
        let kill = || Names::from([Capability::Kill]);
        let sets = LinuxCapabilitiesBuilder::default()
            .bounding(kill())
            .permitted(kill())
            .effective(kill())
            .inheritable(Names::new())
            .ambient(kill())
            .build()
            .unwrap();
        let decided = decide(Some(&sets)).unwrap();
        assert_eq!((decided.permitted, decided.ambient), (1 << 5, 0));
    }
}
