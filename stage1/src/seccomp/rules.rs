//! The rules of a profile, by system call.

use super::multiplexed::Part;
use super::syscalls::{self, NO, Numbers};
use super::{MAX_INSNS, Refused, words};
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
    /// Its number of a call, if it has that call.
    pub(super) fn number(self, numbers: Numbers) -> Option<u16> {
        Some(numbers[self as usize]).filter(|number| *number != NO)
    }

    /// What is added to every number.
    pub(super) const fn mark(self) -> u32 {
        match self {
            Self::X32 => 0x4000_0000,
            Self::X86_64 | Self::X86 => 0,
        }
    }

    /// Whether arguments have 64 bits. Those of x32 are taken as 32 bits, as in libseccomp.
    pub(super) const fn is_wide(self) -> bool {
        matches!(self, Self::X86_64)
    }
}

/// What the filter answers (`SECCOMP_RET_*` with its data).
pub(super) type Answer = u32;

pub(super) const KILL_PROCESS: Answer = 0x8000_0000;
pub(super) const KILL_THREAD: Answer = 0;
pub(super) const TRAP: Answer = 0x0003_0000;
pub(super) const ERRNO: Answer = 0x0005_0000;
pub(super) const ALLOW: Answer = 0x7fff_0000;

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

/// A rule, its names understood.
struct Rule {
    calls: Vec<Numbers>,
    /// Where i386 has these calls in others.
    parts: Vec<Part>,
    alternatives: Vec<Vec<Condition>>,
    answer: Answer,
}

/// A profile, understood.
pub(super) struct Policy {
    default: Answer,
    /// Whether newer calls than the profile's newest get ENOSYS.
    stubs: bool,
    rules: Vec<Rule>,
    /// Names that no architecture has.
    pub(super) unknown: Vec<String>,
}

/// The calls of one family: from each number on, up to the next, one verdict.
pub(super) struct Ranges {
    pub(super) verdicts: Vec<Verdict>,
    /// The first number, and the index of its verdict. The first of all is 0 and the mark.
    pub(super) starts: Vec<(u32, usize)>,
}

impl Policy {
    pub(super) fn read(profile: &LinuxSeccomp) -> Result<Self, Refused> {
        let errno = ("/defaultErrnoRet", profile.default_errno_ret());
        let default = answer(profile.default_action(), errno)?;
        let stubs = denies(default) && default != ERRNO | libc::ENOSYS as u32;
        let mut policy = Self { default, stubs, rules: Vec::new(), unknown: Vec::new() };
        for (index, rule) in profile.syscalls().iter().flatten().enumerate() {
            let pointer = format!("/syscalls/{index}");
            let answer = answer(rule.action(), (&format!("{pointer}/errnoRet"), rule.errno_ret()))?;
            if rule.names().is_empty() {
                let pointer = format!("{pointer}/names");
                return Err(Refused::new(&pointer, "a rule must name at least one system call"));
            }
            let alternatives = alternatives(&pointer, rule)?;
            let (calls, parts) = policy.calls(rule.names());
            policy.rules.push(Rule { calls, parts, alternatives, answer });
        }
        let (denied, allowed) = policy.multiplexed();
        policy.rules.splice(0..0, denied);
        policy.rules.extend(allowed);
        Ok(policy)
    }

    fn calls(&mut self, names: &[String]) -> (Vec<Numbers>, Vec<Part>) {
        let (mut calls, mut parts) = (Vec::with_capacity(names.len()), Vec::new());
        let mut after = 0;
        for name in names {
            let (numbers, part) = (syscalls::find(name, &mut after), Part::find(name));
            if numbers.is_none() && part.is_none() {
                self.unknown.push(name.clone());
            }
            calls.extend(numbers);
            parts.extend(part);
        }
        (calls, parts)
    }

    /// Rules for `socketcall` and `ipc` that follow from those for their parts: what is stricter
    /// than the default, which comes before all that the profile says of them under a condition,
    /// and what is not, which comes after.
    ///
    /// The arguments of a part lie in memory, where no filter sees them: what a condition denies
    /// is denied whatever they are, and what a condition allows is not allowed.
    fn multiplexed(&self) -> (Vec<Rule>, Vec<Rule>) {
        let mut answers: BTreeMap<Part, (Option<Answer>, Answer)> = BTreeMap::new();
        for rule in self.rules.iter().filter(|rule| rule.answer != self.default) {
            for part in &rule.parts {
                let (always, strictest) = answers.entry(*part).or_insert((None, self.default));
                if rule.alternatives.is_empty() {
                    always.get_or_insert(rule.answer);
                } else if is_stricter(rule.answer, *strictest) {
                    *strictest = rule.answer;
                }
            }
        }
        let decided = answers.into_iter().map(|(part, (always, strictest))| Rule {
            calls: vec![[NO, part.whole, NO]],
            parts: Vec::new(),
            alternatives: vec![vec![part.condition()]],
            answer: always.unwrap_or(strictest),
        });
        decided
            .filter(|rule| rule.answer != self.default)
            .partition(|rule| is_stricter(rule.answer, self.default))
    }

    /// What is answered to each number of a family.
    pub(super) fn ranges(&self, family: Family) -> Result<Ranges, TooLong> {
        let mentions = self.mentions(family);
        let newest = mentions.last().map_or(0, |(number, _)| *number);
        let mut ranges =
            Ranges { verdicts: vec![Verdict::always(self.default)], starts: Vec::new() };
        let (mut left, mut conditions) = (&*mentions, 0);
        for number in 0..=newest {
            let count = left.iter().take_while(|(mentioned, _)| *mentioned == number).count();
            let (about_it, others) = left.split_at(count);
            left = others;
            let verdict = match about_it {
                [] => 0,
                rules => known(&mut ranges.verdicts, self.verdict(rules)?),
            };
            if ranges.begin(family, number, verdict) {
                conditions += ranges.verdicts[verdict].size();
                fits(conditions)?;
            }
        }
        // nothing is newer where nothing is named; number 0 alone tells runc nothing either
        let end = if self.stubs && newest > 0 {
            let otherwise = ERRNO | libc::ENOSYS as u32;
            known(&mut ranges.verdicts, Verdict::always(otherwise))
        } else {
            0
        };
        ranges.begin(family, newest + 1, end);
        Ok(ranges)
    }

    /// Every number that a rule is about, with that rule: by number, and then as in the profile.
    fn mentions(&self, family: Family) -> Vec<(u16, &Rule)> {
        let numbers = |rule: &Rule| {
            rule.calls.iter().filter_map(|numbers| family.number(*numbers)).collect::<Vec<_>>()
        };
        let of_rule = |rule| numbers(rule).into_iter().map(move |number| (number, rule));
        let mut mentions: Vec<(u16, &Rule)> = self.rules.iter().flat_map(of_rule).collect();
        mentions.sort_by_key(|(number, _)| *number);
        mentions
    }

    /// What the rules about one call say together; those of the default action say nothing new.
    fn verdict(&self, rules: &[(u16, &Rule)]) -> Result<Verdict, TooLong> {
        let rules = rules.iter().map(|(_, rule)| *rule).filter(|rule| rule.answer != self.default);
        if let Some(rule) = rules.clone().find(|rule| rule.alternatives.is_empty()) {
            return Ok(Verdict::always(rule.answer));
        }
        let alternatives = rules
            .flat_map(|rule| rule.alternatives.iter().map(|conditions| (conditions, rule.answer)));
        fits(alternatives.clone().map(|(conditions, _)| conditions.len()).sum())?;
        let conditional = alternatives
            .map(|(conditions, answer)| Conditional { conditions: conditions.clone(), answer })
            .collect();
        Ok(Verdict { conditional, otherwise: self.default })
    }
}

impl Ranges {
    /// From `number` on it is this verdict. Whether that is another than before.
    fn begin(&mut self, family: Family, number: u16, verdict: usize) -> bool {
        let changes = self.starts.last().is_none_or(|(_, last)| *last != verdict);
        if changes {
            self.starts.push((family.mark() + u32::from(number), verdict));
        }
        changes
    }
}

impl Verdict {
    pub(super) const fn always(otherwise: Answer) -> Self {
        Self { conditional: Vec::new(), otherwise }
    }

    /// How many comparisons it takes.
    fn size(&self) -> usize {
        self.conditional.iter().map(|rule| rule.conditions.len()).sum()
    }
}

/// The program would be longer than the kernel takes, however it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TooLong;

/// Every comparison is an instruction at least. To find that out before anything is written keeps
/// a profile of many rules from taking memory without end.
fn fits(conditions: usize) -> Result<(), TooLong> {
    if conditions > MAX_INSNS { Err(TooLong) } else { Ok(()) }
}

/// The index of a verdict among those that there are.
fn known(verdicts: &mut Vec<Verdict>, verdict: Verdict) -> usize {
    verdicts.iter().position(|known| *known == verdict).unwrap_or_else(|| {
        verdicts.push(verdict);
        verdicts.len() - 1
    })
}

/// Whether one answer prevails over another where both are given, as the kernel has it.
const fn is_stricter(one: Answer, other: Answer) -> bool {
    ((one & 0xffff_0000) as i32) < (other & 0xffff_0000) as i32
}

/// Whether the call does not happen. A tracer or a listener may know what to do with a call that
/// the profile does not know.
const fn denies(answer: Answer) -> bool {
    matches!(answer & 0xffff_0000, KILL_PROCESS | KILL_THREAD | TRAP | ERRNO)
}

/// `errno` is what the answer carries, with its pointer.
fn answer(
    action: LinuxSeccompAction,
    (pointer, errno): (&str, Option<u32>),
) -> Result<Answer, Refused> {
    let known = words::ANSWERS.iter().find(|(_, known, _)| *known == action);
    let (name, _, answer) = known.expect("the table has every action of the model");
    let takes_errno =
        matches!(action, LinuxSeccompAction::ScmpActErrno | LinuxSeccompAction::ScmpActTrace);
    match errno {
        Some(_) if !takes_errno => Err(Refused::new(
            pointer,
            format!("{name} has no errno; only SCMP_ACT_ERRNO and SCMP_ACT_TRACE have"),
        )),
        Some(0x1_0000..) => Err(Refused::new(pointer, "it is above 65535")),
        None if !takes_errno => Ok(*answer),
        errno => Ok(answer | errno.unwrap_or(libc::EPERM as u32)),
    }
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
