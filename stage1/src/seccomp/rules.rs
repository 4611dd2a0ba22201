//! The rules of a profile, by system call.

use super::Refused;
use super::syscalls::{self, number};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompOperator, LinuxSyscall};
use std::collections::BTreeMap;

/// An architecture in the sense of the filter: which numbers, how wide the arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    X86_64,
    X86,
    X32,
}

impl Family {
    pub(super) const fn table(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::X86_64 => syscalls::X86_64,
            Self::X86 => syscalls::X86,
            Self::X32 => syscalls::X32,
        }
    }

    /// What is added to every number.
    pub(super) const fn mark(self) -> u32 {
        match self {
            Self::X32 => 0x4000_0000,
            Self::X86_64 | Self::X86 => 0,
        }
    }

    /// Whether arguments have 64 bits.
    pub(super) const fn is_wide(self) -> bool {
        !matches!(self, Self::X86)
    }
}

/// What the filter answers (`SECCOMP_RET_*` with its data).
pub(super) type Answer = u32;

const KILL_THREAD: Answer = 0;
const ERRNO: Answer = 0x0005_0000;
const ALLOW: Answer = 0x7fff_0000;
const LOG: Answer = 0x7ffc_0000;

/// For an architecture that is not listed, as libseccomp has it.
pub(super) const BAD_ARCHITECTURE: Answer = KILL_THREAD;

/// A comparison of an argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Condition {
    pub(super) argument: u32,
    pub(super) operator: LinuxSeccompOperator,
    /// What is compared with.
    pub(super) value: u64,
    /// The bits that count, for a masked comparison.
    pub(super) mask: u64,
}

/// An answer that is given if all conditions hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Conditional {
    pub(super) conditions: Vec<Condition>,
    pub(super) answer: Answer,
}

/// All that a profile says of one system call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    pub(super) conditional: Vec<Conditional>,
    /// If none of them applies.
    pub(super) otherwise: Answer,
}

/// A rule without its names.
struct Rule {
    names: Vec<String>,
    alternatives: Vec<Vec<Condition>>,
    answer: Answer,
}

/// A profile, understood.
pub(super) struct Policy {
    default: Answer,
    /// Whether newer calls than the profile's newest get ENOSYS.
    stubs: bool,
    rules: Vec<Rule>,
}

impl Policy {
    pub(super) fn read(profile: &LinuxSeccomp) -> Result<Self, Refused> {
        let default_errno = profile.default_errno_ret();
        let default = answer("", profile.default_action(), default_errno)?;
        let mut rules = Vec::new();
        for (index, rule) in profile.syscalls().iter().flatten().enumerate() {
            let pointer = format!("/syscalls/{index}");
            let answer = answer(&pointer, rule.action(), rule.errno_ret())?;
            let alternatives = alternatives(&pointer, rule)?;
            rules.push(Rule { names: rule.names().clone(), alternatives, answer });
        }
        let denies = !matches!(default & 0xffff_0000, ALLOW | LOG);
        let stubs = denies && default != ERRNO | libc::ENOSYS as u32;
        Ok(Self { default, stubs, rules })
    }

    /// Names that no architecture has.
    pub(super) fn unknown(&self) -> Vec<String> {
        let tables = [syscalls::X86_64, syscalls::X86, syscalls::X32];
        let is_unknown = |name: &&String| tables.iter().all(|table| number(table, name).is_none());
        self.rules.iter().flat_map(|rule| &rule.names).filter(is_unknown).cloned().collect()
    }

    /// What is answered from each number on, up to the next; the first is 0 and the mark.
    pub(super) fn ranges(&self, family: Family) -> Vec<(u32, Verdict)> {
        let default = Verdict { conditional: Vec::new(), otherwise: self.default };
        let mut verdicts: BTreeMap<u32, Verdict> = BTreeMap::new();
        let mut newest = 0;
        for rule in &self.rules {
            let numbers = rule.names.iter().filter_map(|name| number(family.table(), name));
            for number in numbers {
                newest = newest.max(number);
                // rules of the default action say nothing new
                if rule.answer != self.default {
                    verdicts.entry(number).or_insert_with(|| default.clone()).add(rule);
                }
            }
        }
        let mut ranges = vec![(family.mark(), default.clone())];
        let mut extend = |start: u32, verdict: &Verdict| {
            if ranges.last().is_some_and(|(_, last)| last == verdict) {
                return;
            }
            match ranges.last_mut() {
                Some(last) if last.0 == start => last.1 = verdict.clone(),
                _ => ranges.push((start, verdict.clone())),
            }
        };
        for (number, verdict) in &verdicts {
            extend(family.mark() + number, verdict);
            if !verdicts.contains_key(&(number + 1)) {
                extend(family.mark() + number + 1, &default);
            }
        }
        if self.stubs {
            let nothing = ERRNO | libc::ENOSYS as u32;
            let stub = Verdict { conditional: Vec::new(), otherwise: nothing };
            extend(family.mark() + newest + 1, &stub);
        }
        ranges
    }
}

impl Verdict {
    fn add(&mut self, rule: &Rule) {
        if rule.alternatives.is_empty() {
            self.otherwise = rule.answer;
            return;
        }
        let answer = rule.answer;
        self.conditional.extend(
            rule.alternatives
                .iter()
                .map(|conditions| Conditional { conditions: conditions.clone(), answer }),
        );
    }
}

fn answer(
    pointer: &str,
    action: LinuxSeccompAction,
    errno: Option<u32>,
) -> Result<Answer, Refused> {
    let takes_errno =
        matches!(action, LinuxSeccompAction::ScmpActErrno | LinuxSeccompAction::ScmpActTrace);
    let data = errno.unwrap_or(libc::EPERM as u32);
    if takes_errno && data > 0xffff {
        return Err(Refused::new(&format!("{pointer}/errnoRet"), "it is above 65535"));
    }
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => KILL_THREAD,
        LinuxSeccompAction::ScmpActKillProcess => 0x8000_0000,
        LinuxSeccompAction::ScmpActTrap => 0x0003_0000,
        LinuxSeccompAction::ScmpActErrno => ERRNO | data,
        LinuxSeccompAction::ScmpActNotify => 0x7fc0_0000,
        LinuxSeccompAction::ScmpActTrace => 0x7ff0_0000 | data,
        LinuxSeccompAction::ScmpActLog => LOG,
        LinuxSeccompAction::ScmpActAllow => ALLOW,
    })
}

/// Lists of conditions of which one must hold as a whole; none at all for a rule without.
fn alternatives(pointer: &str, rule: &LinuxSyscall) -> Result<Vec<Vec<Condition>>, Refused> {
    let mut conditions: Vec<Condition> = Vec::new();
    let mut repeats = false;
    for (index, wanted) in rule.args().iter().flatten().enumerate() {
        let argument = u32::try_from(wanted.index()).ok().filter(|argument| *argument < 6);
        let Some(argument) = argument else {
            let pointer = format!("{pointer}/args/{index}/index");
            return Err(Refused::new(&pointer, "a system call has arguments 0 to 5"));
        };
        let operator = wanted.op();
        let (value, mask) = if operator == LinuxSeccompOperator::ScmpCmpMaskedEq {
            (wanted.value_two().unwrap_or(0) & wanted.value(), wanted.value())
        } else {
            (wanted.value(), u64::MAX)
        };
        repeats |= conditions.iter().any(|known| known.argument == argument);
        conditions.push(Condition { argument, operator, value, mask });
    }
    Ok(match (conditions.is_empty(), repeats) {
        (true, _) => Vec::new(),
        (false, false) => vec![conditions],
        (false, true) => conditions.into_iter().map(|condition| vec![condition]).collect(),
    })
}
