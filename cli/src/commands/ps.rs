//! `kickstage ps [--format table|json] ID [OPTIONS]`

use super::{Layout, json, open, print};
use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::{Error, Result, Role};
use std::process::Command;

/// Shows the container's processes, by way of the host's ps(1).
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    let pids = open(global, parsed)?.processes()?;
    if parsed.choice("format") == "json" {
        return print(&json(&pids, Layout::Line)?);
    }
    let options = match &parsed.words[1..] {
        [] => &["-ef".to_owned()],
        given => given,
    };
    print(&select(&ps(options)?, &pids)?)
}

fn ps(options: &[String]) -> Result<String> {
    let failed = |cause: String| Error::new(Role::Cli, "run ps").because(cause);
    let ran = Command::new("ps").args(options).output().map_err(|error| {
        failed(error.to_string()).remedy("install procps, or use --format json")
    })?;
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        return Err(failed(format!("{}: {}", ran.status, said.trim_end())));
    }
    Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
}

/// The head line and the lines of these processes.
fn select(output: &str, pids: &[i32]) -> Result<String> {
    let head = output.lines().next().unwrap_or_default();
    let column = head.split_ascii_whitespace().position(|title| title == "PID");
    let column = column.ok_or_else(|| {
        Error::new(Role::Cli, "read the output of ps")
            .because("it has no PID column")
            .remedy("give ps options that show one")
    })?;
    let is_ours = |line: &&str| {
        let pid = line.split_ascii_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    let lines = std::iter::once(head).chain(output.lines().skip(1).filter(is_ours));
    Ok(lines.flat_map(|line| [line, "\n"]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_the_containers_processes_are_shown() {
        let output = "UID  PID PPID CMD\nroot   7    1 init\n\nroot  70    7 sh 7\nme    71 7 x\n";
        let shown = select(output, &[7, 71]).unwrap();
        assert_eq!(shown, "UID  PID PPID CMD\nroot   7    1 init\nme    71 7 x\n");
    }

    #[test]
    fn output_without_process_ids_is_refused() {
        assert!(select("UID CMD\nroot 7\n", &[7]).is_err());
        assert!(select("", &[7]).is_err());
    }
}
