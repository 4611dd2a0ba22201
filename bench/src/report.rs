//! Tables in Markdown.

use crate::measure::Cost;
use std::fmt::{self, Write};
use std::time::Duration;

/// All that is known of one runtime in one scenario.
pub(crate) struct Row {
    /// The runtime.
    pub(crate) name: String,
    /// One entry a round.
    pub(crate) costs: Vec<Cost>,
    /// System calls, and the executions among them; `None`: it can't be traced.
    pub(crate) calls: Option<(usize, usize)>,
}

impl Row {
    fn walls(&self) -> Vec<Duration> {
        let mut walls: Vec<_> = self.costs.iter().map(|cost| cost.wall).collect();
        walls.sort_unstable();
        walls
    }

    fn quickest(&self) -> Duration {
        self.walls()[0]
    }

    fn cpu(&self) -> Duration {
        self.costs.iter().map(|cost| cost.cpu).min().unwrap_or_default()
    }

    fn peak(&self) -> u64 {
        self.costs.iter().map(|cost| cost.peak).max().unwrap_or_default()
    }
}

/// One table: ours first, and beside every other the ratio of our minimum to theirs.
pub(crate) fn table(name: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "#### {name}\n\n\
         | | min ms | median ms | ours ÷ it | CPU ms | peak RSS kB | system calls | execs |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n"
    );
    let ours = rows[0].quickest();
    for row in rows {
        let walls = row.walls();
        let (calls, execs) = match row.calls {
            Some((calls, execs)) => (calls.to_string(), execs.to_string()),
            None => ("–".into(), "–".into()),
        };
        let ratio = ours.as_secs_f64() / row.quickest().as_secs_f64();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {ratio:.2} | {} | {} | {calls} | {execs} |",
            row.name,
            millis(walls[0]),
            millis(walls[walls.len() / 2]),
            millis(row.cpu()),
            row.peak(),
        );
    }
    text
}

/// What stands in a table whose columns have no form in common.
pub(crate) enum Cell {
    Number(f64),
    Ratio(f64),
    Count(usize),
    Unknown,
}

/// A table of its own columns.
pub(crate) fn cells(name: &str, columns: &[&str], rows: &[(String, Vec<Cell>)]) -> String {
    let mut text = format!("#### {name}\n\n| | {} |\n", columns.join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(columns.len()));
    for (name, cells) in rows {
        let cells: Vec<String> = cells.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    text
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) if *number >= 100.0 => write!(f, "{number:.0}"),
            Self::Number(number) if *number >= 10.0 => write!(f, "{number:.1}"),
            Self::Number(number) | Self::Ratio(number) => write!(f, "{number:.2}"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Unknown => f.write_str("–"),
        }
    }
}

fn millis(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}

/// Puts a text between the marks of a section of a document, in place of what is there.
pub(crate) fn replace(document: &str, section: &str, text: &str) -> Option<String> {
    let begin = format!("<!-- measured: {section} -->\n");
    const END: &str = "<!-- end -->";
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{begin}\n{text}\n\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let document =
            "a\n<!-- measured: v1 -->\n<!-- end -->\n<!-- measured: v2 -->\nold\n<!-- end -->\n";
        let replaced = replace(document, "v2", "new").unwrap();
        let wanted = "a\n<!-- measured: v1 -->\n<!-- end -->\n<!-- measured: v2 -->\n\nnew\n\n<!-- end -->\n";
        assert_eq!(replaced, wanted);
        assert_eq!(replace("no marks", "v2", "new"), None);
    }

    #[test]
    fn ratios_are_of_minima() {
        let row = |name: &str, millis: [u64; 3]| Row {
            name: name.into(),
            costs: millis
                .map(|wall| Cost { wall: Duration::from_millis(wall), ..Cost::default() })
                .to_vec(),
            calls: None,
        };
        let text = table("run", &[row("ours", [3, 2, 9]), row("other", [8, 8, 4])]);
        assert!(text.contains("| ours | 2.00 | 3.00 | 1.00 |"), "{text}");
        assert!(text.contains("| other | 4.00 | 8.00 | 0.50 |"), "{text}");
    }
}
