//! The program: architecture, number by halves, conditions at the leaves.

use super::MAX_INSNS;
use super::rules::{Answer, BAD_ARCHITECTURE, Condition, Family, Policy, Ranges, TooLong, Verdict};
use oci_spec::runtime::LinuxSeccompOperator;
use seccompiler::sock_filter;

// Operation codes (linux/filter.h, linux/bpf_common.h).
pub(super) const LOAD: u16 = 0x20;
pub(super) const AND: u16 = 0x54;
pub(super) const JUMP: u16 = 0x05;
pub(super) const JUMP_EQ: u16 = 0x15;
pub(super) const JUMP_GT: u16 = 0x25;
pub(super) const JUMP_GE: u16 = 0x35;
pub(super) const RETURN: u16 = 0x06;

// `struct seccomp_data` (seccomp(2)).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const AUDIT_X86_64: u32 = 0xc000_003e;
const AUDIT_I386: u32 = 0x4000_0003;

fn insn(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// The whole program for the families that the profile lists.
pub(super) fn program(policy: &Policy, families: &[Family]) -> Result<Vec<sock_filter>, TooLong> {
    let mut code = Backwards::default();
    let refused = vec![Verdict::always(BAD_ARCHITECTURE)];
    let ranges = |family: Family| {
        if families.contains(&family) {
            policy.ranges(family)
        } else {
            Ok(Ranges { verdicts: refused.clone(), starts: vec![(family.mark(), 0)] })
        }
    };
    let narrow = code.numbers(&[(Family::X86, ranges(Family::X86)?)]);
    let x86_64 = (Family::X86_64, ranges(Family::X86_64)?);
    let wide = code.numbers(&[x86_64, (Family::X32, ranges(Family::X32)?)]);
    let other = code.answer(BAD_ARCHITECTURE);
    let not_wide = code.branch(JUMP_EQ, AUDIT_I386, narrow, other);
    code.branch(JUMP_EQ, AUDIT_X86_64, wide, not_wide);
    code.push(insn(LOAD, 0, 0, ARCHITECTURE));
    code.instructions.reverse();
    if code.instructions.len() > MAX_INSNS {
        return Err(TooLong);
    }
    Ok(code.instructions)
}

/// A place in the program: how many instructions come after it.
type Place = usize;

/// A program that is written from its end, since jumps only lead forward: each knows where.
#[derive(Default)]
struct Backwards {
    instructions: Vec<sock_filter>,
    /// Where each answer was written last.
    answers: Vec<(Answer, Place)>,
}

impl Backwards {
    fn push(&mut self, insn: sock_filter) -> Place {
        self.instructions.push(insn);
        self.instructions.len() - 1
    }

    /// How far the next instruction would have to jump.
    fn distance(&self, to: Place) -> usize {
        self.instructions.len() - 1 - to
    }

    /// A place that gives an answer; one that is close is used again.
    fn answer(&mut self, value: Answer) -> Place {
        const CLOSE: usize = 200;
        if let Some((_, place)) = self.answers.iter().find(|(known, _)| *known == value)
            && self.distance(*place) < CLOSE
        {
            return *place;
        }
        let place = self.push(insn(RETURN, 0, 0, value));
        self.answers.retain(|(known, _)| *known != value);
        self.answers.push((value, place));
        place
    }

    /// To `then` if the comparison holds, else to `otherwise`.
    fn branch(&mut self, comparison: u16, value: u32, then: Place, otherwise: Place) -> Place {
        let then = self.near(then);
        let otherwise = self.near(otherwise);
        let (jt, jf) = (self.distance(then) as u8, self.distance(otherwise) as u8);
        self.push(insn(comparison, jt, jf, value))
    }

    /// A conditional jump reaches 255 instructions, an unconditional one any. One is spared for
    /// the jump that the other branch may need.
    fn near(&mut self, target: Place) -> Place {
        if self.distance(target) < usize::from(u8::MAX) { target } else { self.jump(target) }
    }

    fn jump(&mut self, target: Place) -> Place {
        let distance = self.distance(target) as u32;
        self.push(insn(JUMP, 0, 0, distance))
    }

    /// Loads a word, then goes on at `next`.
    fn load(&mut self, offset: u32, mask: u32, next: Place) -> Place {
        if self.distance(next) != 0 {
            self.jump(next);
        }
        if mask != u32::MAX {
            self.push(insn(AND, 0, 0, mask));
        }
        self.push(insn(LOAD, 0, 0, offset))
    }

    /// The calls of families that share a word size, by number; the lower mark first.
    fn numbers(&mut self, families: &[(Family, Ranges)]) -> Place {
        let mut starts = Vec::new();
        for (family, ranges) in families {
            let all = ranges.starts.iter();
            starts
                .extend(all.map(|(start, verdict)| (*start, *family, &ranges.verdicts[*verdict])));
        }
        let root = self.halve(&starts);
        self.load(NUMBER, u32::MAX, root)
    }

    fn halve(&mut self, starts: &[(u32, Family, &Verdict)]) -> Place {
        if let [(_, family, verdict)] = starts {
            return self.verdict(verdict, *family);
        }
        let (low, high) = starts.split_at(starts.len() / 2);
        let above = self.halve(high);
        let below = self.halve(low);
        self.branch(JUMP_GE, high[0].0, above, below)
    }

    fn verdict(&mut self, verdict: &Verdict, family: Family) -> Place {
        let mut entry = self.answer(verdict.otherwise);
        for rule in verdict.conditional.iter().rev() {
            let fails = entry;
            entry = self.answer(rule.answer);
            for condition in rule.conditions.iter().rev() {
                entry = self.condition(condition, family, entry, fails);
            }
        }
        entry
    }

    fn condition(
        &mut self,
        condition: &Condition,
        family: Family,
        holds: Place,
        fails: Place,
    ) -> Place {
        let offset = ARGUMENTS + 8 * condition.argument;
        let leads = |to: To, next: Place| match to {
            To::Next => next,
            To::Holds => holds,
            To::Fails => fails,
        };
        let (comparison, then, otherwise) = lower(condition.operator);
        let (then, otherwise) = (leads(then, holds), leads(otherwise, holds));
        let compared = self.branch(comparison, condition.value as u32, then, otherwise);
        let low = self.load(offset, condition.mask as u32, compared);
        if !family.is_wide() {
            return low;
        }
        let mut next = low;
        for (comparison, then, otherwise) in upper(condition.operator).iter().rev() {
            let (then, otherwise) = (leads(*then, next), leads(*otherwise, next));
            next = self.branch(*comparison, (condition.value >> 32) as u32, then, otherwise);
        }
        self.load(offset + 4, (condition.mask >> 32) as u32, next)
    }
}

/// Where a comparison leads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    /// The next comparison; after the last one the condition holds.
    Next,
    /// The condition holds: on to the next.
    Holds,
    /// Out of the rule.
    Fails,
}

use LinuxSeccompOperator as Operator;
use To::{Fails, Holds, Next};

/// How the upper halves decide, and when the lower ones have to.
const fn upper(operator: Operator) -> &'static [(u16, To, To)] {
    match operator {
        Operator::ScmpCmpEq | Operator::ScmpCmpMaskedEq => &[(JUMP_EQ, Next, Fails)],
        Operator::ScmpCmpNe => &[(JUMP_EQ, Next, Holds)],
        Operator::ScmpCmpGt | Operator::ScmpCmpGe => {
            &[(JUMP_GT, Holds, Next), (JUMP_EQ, Next, Fails)]
        }
        Operator::ScmpCmpLt | Operator::ScmpCmpLe => {
            &[(JUMP_GT, Fails, Next), (JUMP_EQ, Next, Holds)]
        }
    }
}

/// How the lower halves decide.
const fn lower(operator: Operator) -> (u16, To, To) {
    match operator {
        Operator::ScmpCmpEq | Operator::ScmpCmpMaskedEq => (JUMP_EQ, Next, Fails),
        Operator::ScmpCmpNe => (JUMP_EQ, Fails, Next),
        Operator::ScmpCmpGt => (JUMP_GT, Next, Fails),
        Operator::ScmpCmpGe => (JUMP_GE, Next, Fails),
        Operator::ScmpCmpLt => (JUMP_GE, Fails, Next),
        Operator::ScmpCmpLe => (JUMP_GT, Fails, Next),
    }
}
