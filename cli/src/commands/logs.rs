//! `kickstage logs [-f] [--since TIME] [--tail N] ID`

use crate::arguments::Parsed;
use crate::global::Global;
use crate::logs::{Asked, Files, show};
use kickstage_config::{Context, Error, Level, Result, Role, Timestamp};
use kickstage_master::monitor::NO_LOG;
use kickstage_sys::poll::{Wait, poll};
use kickstage_sys::{Fd, FdRef};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::os::fd::{AsFd, AsRawFd};

/// Shows what the container's log holds, and with `--follow` what comes.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    let container = super::open(global, parsed)?;
    let monitored = container.monitored()?.ok_or_else(|| {
        Error::new(Role::Cli, "logs")
            .because("the container has no monitor, so nobody keeps a log")
            .remedy("create it with --monitor, or run it with --detach")
    })?;
    if monitored.log_path.as_str() == NO_LOG {
        return Err(Error::new(Role::Cli, "logs")
            .because(
                "the container's output goes to its caller's streams (--log-driver passthrough)",
            )
            .remedy("see journalctl, if a service of systemd made it"));
    }
    let asked = Asked {
        format: monitored.log_format,
        since: parsed.text("since").map(since).transpose()?,
        timestamps: parsed.is_on("timestamps"),
    };
    let tail = parsed.text("tail").map(tail).transpose()?.flatten();
    let mut files = Files::new(&monitored.log_path, monitored.log_kept);
    // before the first look: what comes meanwhile is not missed
    let news = parsed.is_on("follow").then(|| watch(&files)).transpose()?;
    files.begin(tail, asked.format)?;
    show(&mut files, &asked)?;
    if let Some(news) = news {
        let monitor = container.monitor()?;
        follow(&mut files, &asked, &news, monitor.as_ref())?;
    }
    if let Some(failure) = container.monitored()?.and_then(|monitored| monitored.log_failure) {
        let message = format!("{} bytes are missing: {}", failure.lost_bytes, failure.reason);
        global.report.line(Level::Warning, &message);
    }
    Ok(0)
}

/// Wakes up at changes of the log's directory, until the monitor has ended.
fn follow(files: &mut Files, asked: &Asked, news: &Inotify, monitor: Option<&Fd>) -> Result<()> {
    loop {
        let monitor = monitor.map(Fd::borrow);
        let mut table = [
            Wait::readable(FdRef::of_raw(news.as_fd().as_raw_fd())),
            monitor.map_or(Wait::nothing(), Wait::readable),
        ];
        if monitor.is_some() {
            poll(&mut table, -1).during(Role::Cli, "wait for the log")?;
        }
        let ended = monitor.is_none() || table[1].happened();
        // EAGAIN: only the monitor has moved
        let _ = news.read_events();
        show(files, asked)?;
        if ended {
            return Ok(());
        }
    }
}

fn watch(files: &Files) -> Result<Inotify> {
    let failed = |errno: nix::Error| Error::new(Role::Cli, "watch the log").because(errno.desc());
    let news = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(failed)?;
    let changes = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    news.add_watch(files.directory(), changes).map_err(failed)?;
    Ok(news)
}

fn tail(text: &str) -> Result<Option<usize>> {
    match text {
        "all" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| {
            Error::new(Role::Cli, "parse arguments")
                .because(format!("--tail: {text:?} is neither a number nor all"))
        }),
    }
}

/// A point in time as it is written in logs: that sorts as the time does.
fn since(text: &str) -> Result<String> {
    let refused = || {
        Error::new(Role::Cli, "parse arguments")
            .because(format!("--since: {text:?} is no time"))
            .remedy("write 2026-01-31T12:00:00Z, or a duration such as 90s, 10m, 2h, 1d")
    };
    if let Some((number, unit)) = text.split_at_checked(text.len().wrapping_sub(1))
        && let Ok(number) = number.parse::<u64>()
    {
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(refused()),
        };
        let back = number.checked_mul(seconds * 1_000_000_000).ok_or_else(refused)?;
        return Ok(Timestamp(Timestamp::now().0.saturating_sub(back)).to_string());
    }
    let shape = b"0000-00-00T00:00:00";
    let fits = text.len() >= shape.len()
        && text.ends_with('Z')
        && text.bytes().zip(shape).all(|(byte, wanted)| match wanted {
            b'0' => byte.is_ascii_digit(),
            wanted => byte == *wanted,
        });
    // without its Z it sorts before every fraction of that second
    if fits { Ok(text.trim_end_matches('Z').to_owned()) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_so_long_ago() {
        assert_eq!(since("2026-01-31T12:00:00Z").unwrap(), "2026-01-31T12:00:00");
        assert_eq!(since("2026-01-31T12:00:00.5Z").unwrap(), "2026-01-31T12:00:00.5");
        assert!(since("10m").unwrap() < Timestamp::now().to_string());
        for wrong in ["", "m", "10", "10y", "yesterday", "2026-01-31", "2026-01-31T12:00:00+01:00"]
        {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
