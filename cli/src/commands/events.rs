//! `kickstage events [--stats] [--interval TIME] ID`

mod oom;
mod stats;

use crate::arguments::Parsed;
use crate::commands::{Layout, json, open, print};
use crate::global::Global;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::poll::{Wait, poll};
use oom::OutOfMemory;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Prints what the container uses, once or again and again, and when it runs out of memory.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    let interval = interval(parsed.text("interval").unwrap_or("5s"))?;
    let container = open(global, parsed)?;
    let dirs = container.cgroups()?;
    let id = &container.record()?.id;
    if parsed.is_on("stats") {
        return print(&event("stats", id, Some(stats::read(dirs)?))?);
    }
    let Some(process) = container.process()? else { return Ok(0) };
    let memory = dirs.iter().find(|dir| stats::is_of(dir, "memory"));
    let mut oom = memory.map(OutOfMemory::watch).transpose()?;
    let mut next = Instant::now() + interval;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        let mut table = [
            Wait::readable(process.borrow()),
            oom.as_ref().map_or(Wait::nothing(), OutOfMemory::wait),
        ];
        // a millisecond more: else the last one would be spent turning round
        poll(&mut table, i32::try_from(left.as_millis()).unwrap_or(i32::MAX).saturating_add(1))
            .during(Role::Cli, "wait for events")?;
        let [ended, pressed] = table.map(|wait| wait.happened());
        if pressed && oom.as_mut().is_some_and(OutOfMemory::has_happened) {
            print(&event("oom", id, None)?)?;
        }
        if ended {
            return Ok(0);
        }
        if Instant::now() >= next {
            print(&event("stats", id, Some(stats::read(dirs)?))?)?;
            next += interval;
        }
    }
}

/// In runc's form.
fn event(kind: &str, id: &str, data: Option<Value>) -> Result<String> {
    let mut event = serde_json::json!({ "type": kind, "id": id });
    if let Some(data) = data {
        event["data"] = data;
    }
    json(&event, Layout::Line)
}

/// As Go writes durations, as far as it makes sense here: 500ms, 5s, 2m, 1h.
fn interval(text: &str) -> Result<Duration> {
    let at = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let millis = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let number = number.parse::<u64>().ok().filter(|number| *number > 0);
    let total = number.zip(millis).and_then(|(number, millis)| number.checked_mul(millis));
    total.map(Duration::from_millis).ok_or_else(|| {
        Error::new(Role::Cli, "parse arguments")
            .because(format!("--interval: {text:?} is not a duration"))
            .remedy("write 500ms, 5s, 2m or 1h")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_durations_above_nothing() {
        for (text, millis) in [("500ms", 500), ("5s", 5000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(interval(text).unwrap(), Duration::from_millis(millis));
        }
        for wrong in ["", "5", "0s", "s", "-1s", "1d", "99999999999999999999s"] {
            assert!(interval(wrong).is_err(), "{wrong:?}");
        }
    }
}
