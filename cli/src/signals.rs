//! Signals by name.

use kickstage_config::{Error, Result, Role};

/// Every name, without SIG; the first one of a number is its own, others are older words for it.
pub(crate) const SIGNALS: &[(&str, i32)] = &[
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("IOT", libc::SIGIOT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("POLL", libc::SIGPOLL),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// The first and last real-time signal as programs of the GNU C library count them, whatever
/// library we are built with: containers mean these (`SIGRTMIN+3` halts a systemd).
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// The number of a signal: a name with or without SIG, in any case, `RTMIN+n`, `RTMAX-n`, or a
/// number itself. 0 asks only.
pub(crate) fn parse(text: &str) -> Result<i32> {
    number(text).ok_or_else(|| {
        Error::new(Role::Cli, "parse arguments")
            .because(format!("unknown signal {text:?}"))
            .remedy("use a name such as TERM, RTMIN+3, or a number from 0 to 64")
    })
}

fn number(text: &str) -> Option<i32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|number| (0..=*REAL_TIME.end()).contains(number));
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some((_, number)) = SIGNALS.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let real_time = if let Some(above) = name.strip_prefix("RTMIN") {
        REAL_TIME.start().checked_add(offset(above, '+')?)?
    } else {
        REAL_TIME.end().checked_sub(offset(name.strip_prefix("RTMAX")?, '-')?)?
    };
    REAL_TIME.contains(&real_time).then_some(real_time)
}

/// `+3` or `-3` with that sign; nothing is 0.
fn offset(text: &str, sign: char) -> Option<i32> {
    match text.strip_prefix(sign) {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
        Some(_) => None,
        None => text.is_empty().then_some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_numbers_and_real_time_signals_are_understood_as_by_kill() {
        let known = [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigkill", 9),
            ("9", 9),
            ("0", 0),
            ("64", 64),
            ("CLD", 17),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmax", 64),
            ("RTMAX-30", 34),
        ];
        for (text, number) in known {
            assert_eq!(parse(text).ok(), Some(number), "{text}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in [
            "",
            "65",
            "-9",
            "+9",
            "SIG",
            "SIGSIGTERM",
            "TERM ",
            "RTMIN+31",
            "RTMIN-1",
            "RTMAX+1",
            "RTMIN+",
            "RTMIN+-1",
            "RTMIN++1",
            "99999999999",
            "RTMAX-2147483648",
            "TERMINATE",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_standard_signals_are_all_there() {
        for number in 1..32 {
            assert!(SIGNALS.iter().any(|(_, known)| *known == number), "{number}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_signal_of_the_kernel_or_an_error(text in "(?i)(SIG)?(RTMIN|RTMAX)?[-+0-9A-Z]{0,12}") {
            if let Ok(number) = parse(&text) {
                prop_assert!((0..=64).contains(&number));
            }
        }
    }
}
