//! `kickstage check [--bundle DIR] [--json] [ID]`

use super::launch::{self, LaunchOptions};
use super::launch_options::{launching, options};
use super::{Layout, json, print};
use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::Result;
use kickstage_embed::handler;
use kickstage_stage1::{Finding, Severity};
use kickstage_sys::process;
use serde_json::{Value, json};

/// Prints all that is found.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    if parsed.is_on("support") {
        return print(&kickstage_stage1::support::document());
    }
    let options: LaunchOptions = options(parsed)?;
    let (mut findings, decided) = launch::check(&launching(global)?, &options)?;
    // only root could have them mapped, and can try it on a copy that nobody sees
    let trees = decided.iter().flat_map(|assembly| &assembly.plan.host.mapped);
    for tree in trees.filter(|_| process::effective_uid() == 0) {
        let refused = kickstage_master::mapped_tree(tree).err();
        findings.extend(refused.map(Finding::error));
    }
    let handlers = decided.iter().filter_map(|assembly| assembly.process.handler);
    findings
        .extend(handlers.filter_map(|handler| handler::find(handler).err()).map(Finding::error));
    if parsed.is_on("json") {
        let list: Vec<Value> = findings.iter().map(object).collect();
        print(&json(&list, Layout::Indented(b"  "))?)?;
    } else {
        print(&text(&findings))?;
    }
    Ok(i32::from(findings.iter().any(|finding| finding.severity == Severity::Error)))
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// What validation itself says needs no word about who says it.
fn message(finding: &Finding) -> String {
    let error = &finding.error;
    let operation = Some(&error.operation).filter(|what| !what.starts_with("validate"));
    let errno = error.errno.map(|errno| kickstage_sys::Errno(errno).text().to_string());
    let parts = [operation.cloned(), error.cause.clone(), errno];
    parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

fn object(finding: &Finding) -> Value {
    json!({
        "severity": word(finding.severity),
        "pointer": finding.error.key,
        "message": message(finding),
        "remedy": finding.error.remedy,
    })
}

fn text(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing is wrong: this host can run it\n".into();
    }
    let line = |finding: &Finding| {
        let pointer = finding.error.key.as_deref().filter(|key| !key.is_empty());
        let pointer = pointer.unwrap_or("config.json");
        let remedy = finding.error.remedy.as_ref().map(|remedy| format!("\n         {remedy}"));
        let severity = word(finding.severity);
        format!("{severity:8} {pointer}: {}{}\n", message(finding), remedy.unwrap_or_default())
    };
    findings.iter().map(line).collect()
}
