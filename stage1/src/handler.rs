//! Annotations that ask for another way to execute the program than the kernel's: WebAssembly
//! (docs/WASM.md). Their names and values are those of crun, which clients and images use.

use crate::text::invalid;
use kickstage_config::Result;
use kickstage_config::process::Handler;
use oci_spec::runtime::{Process, Spec};
use std::collections::HashMap;
use std::path::Path;

/// Names a handler.
pub(crate) const ANNOTATION: &str = "run.oci.handler";
/// Says that the image holds a module: has the same effect where no handler is named.
pub(crate) const VARIANT: &str = "module.wasm.image/variant";
/// Say what a container of a pod is for.
pub(crate) const CONTAINER_TYPES: [&str; 2] =
    ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];

/// What a value asks for.
#[derive(Clone, Copy)]
enum Asked {
    /// The program is a module.
    Always,
    /// It is one if its name says so: annotations of a pod reach each of its containers.
    ByName,
}

/// Each annotation and its values; the first that is there decides.
const VALUES: [(&str, [(&str, Asked); 2]); 2] = [
    (ANNOTATION, [("wasm", Asked::Always), ("wasm-smart", Asked::ByName)]),
    (VARIANT, [("compat", Asked::Always), ("compat-smart", Asked::ByName)]),
];

/// Others that clients may know from elsewhere, and what they are.
const ELSEWHERE: [(&str, &str); 7] = [
    ("krun", "a virtual machine; this engine makes containers only"),
    ("wasmedge", "a runtime that is not in this engine; wasm is the one that is"),
    ("wasmtime", "a runtime that is not in this engine; wasm is the one that is"),
    ("wasmer", "a runtime that is not in this engine; wasm is the one that is"),
    ("wamr", "a runtime that is not in this engine; wasm is the one that is"),
    ("spin", "for components (WASI preview 2); this engine runs modules only"),
    ("mono", "for .NET programs; this engine executes them by binfmt_misc or not at all"),
];

/// Decides who executes the program: `None` is the kernel.
pub(crate) fn decide(spec: &Spec) -> Result<Option<Handler>> {
    let (Some(annotations), Some(process)) = (spec.annotations(), spec.process()) else {
        return Ok(None);
    };
    let mut given =
        VALUES.iter().filter_map(|(name, values)| Some((name, values, annotations.get(*name)?)));
    let Some((name, values, value)) = given.next() else { return Ok(None) };
    // a pod's annotations reach this one too, which only holds its namespaces
    if is_sandbox(annotations) {
        return Ok(None);
    }
    match values.iter().find(|(known, _)| known == value) {
        Some((_, Asked::Always)) => Ok(Some(Handler::Wasm)),
        Some((_, Asked::ByName)) => Ok(is_named_a_module(process).then_some(Handler::Wasm)),
        None => {
            let elsewhere = ELSEWHERE.iter().find(|(known, _)| known == value);
            let why = elsewhere.map_or("unknown", |(_, why)| why);
            let words = values.map(|(known, _)| known).join(" or ");
            // a slash of a name is written so in a JSON pointer
            let pointer = format!("/annotations/{}", name.replace('/', "~1"));
            Err(invalid(&pointer, format!("the handler {value:?} is {why}"))
                .remedy(format!("say {words}, or remove it")))
        }
    }
}

fn is_sandbox(annotations: &HashMap<String, String>) -> bool {
    let mut kinds = CONTAINER_TYPES.iter().filter_map(|name| annotations.get(*name));
    kinds.any(|kind| kind == "sandbox")
}

fn is_named_a_module(process: &Process) -> bool {
    let name = process.args().iter().flatten().next();
    let end = name.and_then(|name| Path::new(name).extension());
    end.is_some_and(|end| end == "wasm" || end == "wat")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn decided(annotations: Value, program: &str) -> Result<Option<Handler>> {
        let spec = json!({
            "ociVersion": "1.0.2", "annotations": annotations,
            "process": {"cwd": "/", "args": [program, "x.wasm"], "user": {"uid": 0, "gid": 0}},
        });
        decide(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn a_handler_is_chosen_as_clients_of_crun_expect() {
        let cases = [
            (json!({}), "/a.wasm", None),
            (json!({"run.oci.handler": "wasm"}), "/a", Some(Handler::Wasm)),
            (json!({"run.oci.handler": "wasm-smart"}), "/a", None),
            (json!({"run.oci.handler": "wasm-smart"}), "/a.wasm", Some(Handler::Wasm)),
            (json!({"module.wasm.image/variant": "compat"}), "/a", Some(Handler::Wasm)),
            (json!({"module.wasm.image/variant": "compat-smart"}), "/sh", None),
            (json!({"module.wasm.image/variant": "compat-smart"}), "a.wat", Some(Handler::Wasm)),
            // the handler decides before the variant
            (
                json!({"run.oci.handler": "wasm-smart", "module.wasm.image/variant": "compat"}),
                "/sh",
                None,
            ),
        ];
        for (annotations, program, wanted) in cases {
            let label = annotations.to_string();
            assert_eq!(decided(annotations, program).unwrap(), wanted, "{label} {program}");
        }
    }

    #[test]
    fn the_container_that_holds_a_pod_is_an_ordinary_one() {
        for name in CONTAINER_TYPES {
            for (kind, wanted) in [("sandbox", None), ("container", Some(Handler::Wasm))] {
                let annotations = json!({"run.oci.handler": "wasm", name: kind});
                assert_eq!(decided(annotations, "/pause").unwrap(), wanted);
            }
        }
    }

    #[test]
    fn other_handlers_are_refused_by_name() {
        for (value, why) in
            [("krun", "virtual machine"), ("wasmtime", "not in this"), ("", "unknown")]
        {
            let error = decided(json!({"run.oci.handler": value}), "/a.wasm").unwrap_err();
            assert_eq!(error.key.as_deref(), Some("/annotations/run.oci.handler"));
            assert!(error.to_string().contains(why), "{error}");
        }
        let error = decided(json!({"module.wasm.image/variant": "x"}), "/a.wasm").unwrap_err();
        assert_eq!(error.key.as_deref(), Some("/annotations/module.wasm.image~1variant"));
        assert!(error.to_string().contains("compat"), "{error}");
    }

    #[test]
    fn without_a_process_there_is_nothing_to_handle() {
        let spec = json!({"ociVersion": "1.0.2", "annotations": {"run.oci.handler": "krun"}});
        assert_eq!(decide(&serde_json::from_value(spec).unwrap()).unwrap(), None);
    }
}
