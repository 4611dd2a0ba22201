//! The program: architecture, number by halves, conditions at the leaves.

use super::Refused;
use super::rules::{Answer, BAD_ARCHITECTURE, Condition, Family, Policy, Verdict};
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
/// Numbers from here on are x32's.
const X32_MARK: u32 = 0x4000_0000;

type Code = Vec<sock_filter>;

fn insn(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

fn answer(value: Answer) -> Code {
    vec![insn(RETURN, 0, 0, value)]
}

/// The whole program for the families that the profile lists.
pub(super) fn program(policy: &Policy, families: &[Family]) -> Result<Code, Refused> {
    let lists = |family: Family| families.contains(&family);
    let mut wide = Vec::new();
    if lists(Family::X86_64) {
        wide.extend(leaves(policy, Family::X86_64)?);
    } else {
        wide.push((0, answer(BAD_ARCHITECTURE)));
    }
    if lists(Family::X32) {
        wide.extend(leaves(policy, Family::X32)?);
    } else {
        wide.push((X32_MARK, answer(BAD_ARCHITECTURE)));
    }
    let narrow = if lists(Family::X86) {
        leaves(policy, Family::X86)?
    } else {
        vec![(0, answer(BAD_ARCHITECTURE))]
    };
    let mut code = vec![insn(LOAD, 0, 0, ARCHITECTURE)];
    let narrow = branch(JUMP_EQ, AUDIT_I386, by_number(&narrow), answer(BAD_ARCHITECTURE));
    code.extend(branch(JUMP_EQ, AUDIT_X86_64, by_number(&wide), narrow));
    Ok(code)
}

fn leaves(policy: &Policy, family: Family) -> Result<Vec<(u32, Code)>, Refused> {
    let ranges = policy.ranges(family);
    ranges.into_iter().map(|(start, verdict)| Ok((start, leaf(&verdict, family)?))).collect()
}

fn by_number(leaves: &[(u32, Code)]) -> Code {
    let mut code = vec![insn(LOAD, 0, 0, NUMBER)];
    code.extend(halve(leaves));
    code
}

fn halve(leaves: &[(u32, Code)]) -> Code {
    if let [(_, code)] = leaves {
        return code.clone();
    }
    let (low, high) = leaves.split_at(leaves.len() / 2);
    branch(JUMP_GE, high[0].0, halve(high), halve(low))
}

/// `then` if the comparison holds, else `otherwise`. A conditional jump reaches 255
/// instructions, an unconditional one any.
fn branch(comparison: u16, value: u32, then: Code, otherwise: Code) -> Code {
    let mut code = match u8::try_from(otherwise.len()) {
        Ok(distance) => vec![insn(comparison, distance, 0, value)],
        Err(_) => vec![insn(comparison, 0, 1, value), insn(JUMP, 0, 0, otherwise.len() as u32)],
    };
    code.extend(otherwise);
    code.extend(then);
    code
}

fn leaf(verdict: &Verdict, family: Family) -> Result<Code, Refused> {
    let mut code = Code::new();
    for rule in &verdict.conditional {
        let mut block = Block::default();
        for condition in &rule.conditions {
            block.add(condition, family);
        }
        code.extend(block.finish(rule.answer)?);
    }
    code.extend(answer(verdict.otherwise));
    Ok(code)
}

/// Where a comparison leads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    /// The next instruction.
    Next,
    /// The next condition.
    Holds,
    /// Out of the rule.
    Fails,
}

/// The conditions of one rule.
#[derive(Default)]
struct Block {
    code: Code,
    /// Jumps out of the rule, to be filled in: place, and which of both.
    fails: Vec<(usize, bool)>,
}

impl Block {
    fn add(&mut self, condition: &Condition, family: Family) {
        let offset = ARGUMENTS + 8 * condition.argument;
        let (low, high) = (condition.value as u32, (condition.value >> 32) as u32);
        let mut holds = Vec::new();
        if family.is_wide() {
            self.load(offset + 4, (condition.mask >> 32) as u32);
            for (comparison, then, otherwise) in upper(condition.operator) {
                self.compare(*comparison, high, (*then, *otherwise), &mut holds);
            }
        }
        self.load(offset, condition.mask as u32);
        let (comparison, then, otherwise) = lower(condition.operator);
        self.compare(comparison, low, (then, otherwise), &mut holds);
        let end = self.code.len();
        for (at, when_true) in holds {
            self.set(at, when_true, end);
        }
    }

    fn load(&mut self, offset: u32, mask: u32) {
        self.code.push(insn(LOAD, 0, 0, offset));
        if mask != u32::MAX {
            self.code.push(insn(AND, 0, 0, mask));
        }
    }

    fn compare(
        &mut self,
        comparison: u16,
        value: u32,
        (then, otherwise): (To, To),
        holds: &mut Vec<(usize, bool)>,
    ) {
        let at = self.code.len();
        self.code.push(insn(comparison, 0, 0, value));
        for (to, when_true) in [(then, true), (otherwise, false)] {
            match to {
                To::Next => {}
                To::Holds => holds.push((at, when_true)),
                To::Fails => self.fails.push((at, when_true)),
            }
        }
    }

    /// Six conditions are 36 instructions at most: a jump among them always fits.
    fn set(&mut self, at: usize, when_true: bool, target: usize) {
        let distance = (target - at - 1) as u8;
        let insn = &mut self.code[at];
        if when_true {
            insn.jt = distance;
        } else {
            insn.jf = distance;
        }
    }

    fn finish(mut self, value: Answer) -> Result<Code, Refused> {
        let end = self.code.len() + 1;
        if end > usize::from(u8::MAX) {
            return Err(Refused::new("/syscalls", "a rule with too many conditions"));
        }
        for (at, when_true) in std::mem::take(&mut self.fails) {
            self.set(at, when_true, end);
        }
        self.code.extend(answer(value));
        Ok(self.code)
    }
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
