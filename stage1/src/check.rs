//! `check`: everything that is wrong with a bundle on this host, before anything runs.

mod host;
mod kernel;
mod unknown;

use crate::text::invalid;
use crate::{Bundle, Host, Request, bundle, cgroup, devices, handler, hooks, host_work, landlock};
use crate::{mounts, namespaces, process, propagation, rootless, sysctl};
use kickstage_config::{Assembly, Error, Result, Text};
use oci_spec::runtime::Spec;
use serde_json::Value;

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The container can't be made.
    Error,
    /// It can, and differs from what somebody may expect.
    Warning,
}

/// One thing that was found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong: config key, cause and remedy.
    pub error: Error,
}

impl Finding {
    /// The container can't be made.
    pub fn error(error: Error) -> Self {
        Self { severity: Severity::Error, error }
    }

    fn warning(error: Error) -> Self {
        Self { severity: Severity::Warning, error }
    }
}

/// Looks at all of it. `request` says what the container would be made with. Also gives what would
/// be done, if that can be decided.
pub fn check(path: &Text, request: &Request) -> Result<(Vec<Finding>, Option<Assembly>)> {
    let bytes = bundle::read_bytes(path)?;
    let value: Value = match serde_json::from_slice(&bytes) {
        Ok(value) => value,
        Err(error) => return Ok((vec![Finding::error(invalid("", error.to_string()))], None)),
    };
    let mut findings = unknown::properties(&value);
    let spec = match bundle::parse_config(path, &bytes) {
        Ok(spec) => spec,
        Err(error) => {
            findings.push(Finding::error(error));
            return Ok((findings, None));
        }
    };
    let host = Host::read(request.rootless)?;
    let spec = rootless::completed(&spec, request.rootless, &host).unwrap_or(spec);
    let mut decided = None;
    findings.extend(parts(&spec, request, &host).into_iter().map(Finding::error));
    match Bundle::with_spec(path, spec) {
        Err(error) => findings.push(Finding::error(error)),
        Ok(bundle) => {
            // what depends on several parts at once
            match crate::prepare(&bundle, request, &host) {
                Ok(assembly) => {
                    findings.extend(host::lacks(&bundle.spec, &assembly, &host));
                    kernel::lacks(&assembly, &mut findings);
                    decided = Some(assembly);
                }
                Err(error) => add(&mut findings, error),
            }
            findings.extend(unknown_calls(&bundle.spec));
        }
    }
    for warning in request.judge.warnings() {
        if findings.iter().all(|known| known.error.key != warning.key) {
            findings.push(Finding::warning(warning));
        }
    }
    findings.sort_by_key(|finding| finding.severity);
    Ok((findings, decided))
}

fn add(findings: &mut Vec<Finding>, error: Error) {
    if findings.iter().all(|known| known.error != error) {
        findings.push(Finding::error(error));
    }
}

/// The first error of each part of config.json, instead of the first of all.
fn parts(spec: &Spec, request: &Request, host: &Host) -> Vec<Error> {
    let judge = &request.judge;
    let mut errors: Vec<Error> = Vec::new();
    let mut note = |result: Result<()>| {
        if let Err(error) = result
            && !errors.contains(&error)
        {
            errors.push(error);
        }
    };
    note(crate::platforms(spec, judge));
    note(hooks::decide(spec).map(drop));
    note(devices::decide(spec).map(drop));
    note(landlock::decide(spec).map(drop));
    note(handler::decide(spec).map(drop));
    note(process::oom_score_adj(spec).map(drop));
    note(propagation::of_host(spec).map(drop));
    let around = process::Around {
        id: &request.id,
        new_keyring: true,
        preserve_fds: 0,
        mount_console: false,
        empty: false,
        start_container: Vec::new(),
    };
    note(process::decide(spec, around, judge).map(drop));
    note(cgroup::plan(spec, &cgroup::Around::new(request, host)).map(drop));
    for (index, entry) in spec.mounts().iter().flatten().enumerate() {
        note(mounts::Wanted::read(index, entry).map(drop));
    }
    match namespaces::decide(spec) {
        Err(error) => note(Err(error)),
        Ok(namespaces) => {
            note(namespaces::time_offsets(spec, &namespaces).map(drop));
            note(sysctl::decide(spec, &namespaces).map(drop));
            note(host_work::decide(spec, request, &namespaces).map(drop));
        }
    }
    errors
}

/// Names in a seccomp profile that no system call has: they have no effect.
fn unknown_calls(spec: &Spec) -> Option<Finding> {
    let profile = spec.linux().as_ref()?.seccomp().as_ref()?;
    let names = crate::seccomp::compile(profile).ok()?.unknown;
    (!names.is_empty()).then(|| {
        let cause = format!("no system call has these names: {}", names.join(", "));
        Finding::warning(invalid("/linux/seccomp/syscalls", cause))
    })
}
