//! `kickstage list [--format table|json] [--quiet]`

use super::{
    Layout, json,
    owners::Owners,
    print,
    state::{Shown, some},
};
use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::state::Status;
use kickstage_config::{Level, Result};
use kickstage_master::list::{Listed, list, names};

/// Prints all containers. One that can't be read is shown as damaged, and why is a warning.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    let root = global.root()?;
    if parsed.is_on("quiet") {
        let ids = names(&root)?;
        return print(&ids.iter().flat_map(|id| [id.as_str(), "\n"]).collect::<String>());
    }
    let containers = list(&root)?;
    let mut owners = Owners::default();
    let rows: Vec<Shown> = containers.iter().map(|container| row(container, &mut owners)).collect();
    for container in &containers {
        if let Err(error) = &container.status {
            let warning = format!("container {}: {error}", container.id);
            global.report.line(Level::Warning, &warning);
        }
    }
    match parsed.choice("format") {
        "json" => print(&json(&rows, Layout::Line)?),
        _ => print(&table(&rows)),
    }
}

fn row<'a>(container: &'a Listed, owners: &mut Owners) -> Shown<'a> {
    let owner = owners.name(container.owner_uid);
    let (id, pid) = (container.id.as_str(), 0);
    let status = container.status.as_ref().map_or("damaged", |status| status.as_str());
    let Some(summary) = &container.summary else {
        return Shown { id, pid, status, owner, ..Shown::default() };
    };
    Shown {
        oci_version: &summary.oci_version,
        id,
        pid: if container.status == Ok(Status::Stopped) { pid } else { summary.pid },
        status,
        bundle: &summary.bundle,
        rootfs: &summary.rootfs,
        created: summary.created.to_string(),
        annotations: some(&summary.annotations),
        owner,
        monitored: None,
    }
}

const HEAD: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];

/// Columns as runc aligns them: at least 12 wide, at least 3 blanks between two.
fn table(rows: &[Shown]) -> String {
    let pids: Vec<String> = rows.iter().map(|row| row.pid.to_string()).collect();
    let cells = rows
        .iter()
        .zip(&pids)
        .map(|(row, pid)| [row.id, pid, row.status, row.bundle, &row.created, &row.owner]);
    let lines: Vec<[&str; 6]> = std::iter::once(HEAD).chain(cells).collect();
    let widths: [usize; 6] = std::array::from_fn(|column| {
        let longest = lines.iter().map(|line| line[column].chars().count()).max();
        longest.map_or(12, |longest| (longest + 3).max(12))
    });
    let mut text = String::with_capacity(128 * lines.len());
    for line in &lines {
        let (last, firsts) = line.split_last().expect("six columns");
        for (cell, width) in firsts.iter().zip(widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
        }
        text.push_str(last);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_is_runcs_head_line() {
        let head = "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n";
        assert_eq!(table(&[]), head);
    }

    #[test]
    fn columns_grow_with_their_longest_cell() {
        let (id, status, owner) = ("a-name-of-20-letters", "damaged", "#7".to_owned());
        let row = Shown { id, status, owner, bundle: "/ä", ..Shown::default() };
        let (id, status, owner) = ("b", "stopped", "root".to_owned());
        let rows = [row, Shown { id, status, owner, ..Shown::default() }];
        let expected = "\
ID                     PID         STATUS      BUNDLE      CREATED     OWNER
a-name-of-20-letters   0           damaged     /ä                      #7
b                      0           stopped                             root
";
        assert_eq!(table(&rows), expected);
    }
}
