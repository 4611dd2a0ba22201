//! Device rules for v2: an eBPF program that goes through them from the last one to the first.
//!
//! What is asked for is a set of bits. A rule that allows takes its bits out, and when none is
//! left the answer is yes; a rule that denies one that is left makes it no.

use super::{ALL, Base, Devices, Kind, Rule, Rules};

/// An eBPF program under construction.
#[derive(Default)]
struct Program {
    insns: Vec<u64>,
    /// Jumps to the end, to be filled in.
    to_exit: Vec<usize>,
}

// Registers; the first holds the answer at the end, the second the context at the beginning.
const ANSWER: u8 = 0;
const KEY: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

// Operation codes (linux/bpf.h).
pub(super) const LOAD_WORD: u8 = 0x61;
pub(super) const MOV64_IMM: u8 = 0xb7;
pub(super) const MOV32_REG: u8 = 0xbc;
pub(super) const AND32_IMM: u8 = 0x54;
pub(super) const OR32_REG: u8 = 0x4c;
pub(super) const LSH32_IMM: u8 = 0x64;
pub(super) const RSH32_IMM: u8 = 0x74;
pub(super) const JUMP: u8 = 0x05;
pub(super) const JEQ32_IMM: u8 = 0x16;
pub(super) const JNE32_IMM: u8 = 0x56;
pub(super) const JSET32_IMM: u8 = 0x46;
pub(super) const EXIT: u8 = 0x95;

/// The whole program, on the base that needs fewer rules.
pub(in crate::cgroup) fn program(rules: &Rules) -> Vec<u64> {
    let on = |base| (base, rules.on(base));
    let (denied, allowed) = (on(Base::Denied), on(Base::Allowed));
    let (base, rules) = if allowed.1.len() < denied.1.len() { allowed } else { denied };
    let mut program = Program::default();
    program.read_context();
    for run in rules.chunk_by(|one, next| one.allow == next.allow).rev() {
        program.run(run);
    }
    program.push(MOV64_IMM, ANSWER, 0, 0, u32::from(base.is_allowed()));
    let exit = program.insns.len();
    program.push(EXIT, 0, 0, 0, 0);
    for at in std::mem::take(&mut program.to_exit) {
        program.set_offset(at, exit);
    }
    program.insns
}

/// Both numbers of one device as one: fewer branches are verified and run faster. The kernel's
/// device numbers have 12 and 20 bits.
fn key(devices: Devices) -> Option<u32> {
    let (major, minor) = (devices.major?, devices.minor?);
    (major < 1 << 12 && minor < 1 << 20).then_some(major << 20 | minor)
}

impl Program {
    fn push(&mut self, code: u8, to: u8, from: u8, offset: i16, immediate: u32) {
        let [low, high] = offset.to_le_bytes();
        let [a, b, c, d] = immediate.to_le_bytes();
        self.insns.push(u64::from_le_bytes([code, from << 4 | to, low, high, a, b, c, d]));
    }

    fn jump_to_exit(&mut self, code: u8, register: u8, immediate: u32) {
        self.to_exit.push(self.insns.len());
        self.push(code, register, 0, 0, immediate);
    }

    /// Goes on only if a register holds this; else to where the jump is told to land.
    fn require(&mut self, register: u8, immediate: u32) -> usize {
        self.push(JNE32_IMM, register, 0, 0, immediate);
        self.insns.len() - 1
    }

    fn land_here(&mut self, jump: usize) {
        self.set_offset(jump, self.insns.len());
    }

    fn set_offset(&mut self, at: usize, target: usize) {
        let offset = i16::try_from(target - at - 1).expect("MAX_RULES keeps programs short");
        self.insns[at] = self.insns[at] & !0xffff_0000 | u64::from(offset.cast_unsigned()) << 16;
    }

    /// `struct bpf_cgroup_dev_ctx`: access and kind in one word, then both numbers.
    fn read_context(&mut self) {
        let context = KEY;
        for (register, offset) in [(KIND, 0), (MAJOR, 4), (MINOR, 8)] {
            self.push(LOAD_WORD, register, context, offset, 0);
        }
        self.push(MOV32_REG, ACCESS, KIND, 0, 0);
        self.push(RSH32_IMM, ACCESS, 0, 0, 16);
        self.push(AND32_IMM, KIND, 0, 0, 0xffff);
        self.push(MOV32_REG, KEY, MAJOR, 0, 0);
        self.push(LSH32_IMM, KEY, 0, 0, 20);
        self.push(OR32_REG, KEY, MINOR, 0, 0);
    }

    /// Rules of one answer, the order of which does not matter.
    fn run(&mut self, rules: &[Rule]) {
        let allow = rules.first().is_some_and(|rule| rule.allow);
        self.push(MOV64_IMM, ANSWER, 0, 0, u32::from(allow));
        for kind in [Kind::Block, Kind::Char] {
            let of_kind = rules.iter().filter(|rule| rule.devices.kind == kind);
            // a device with all access, the common case, is one instruction
            let (whole, others): (Vec<&Rule>, Vec<&Rule>) =
                of_kind.partition(|rule| rule.access == ALL && key(rule.devices).is_some());
            if whole.is_empty() && others.is_empty() {
                continue;
            }
            let other_kind = self.require(KIND, kind as u32);
            for rule in others {
                self.rule(rule);
            }
            for key in whole.iter().filter_map(|rule| key(rule.devices)) {
                self.jump_to_exit(JEQ32_IMM, KEY, key);
            }
            self.land_here(other_kind);
        }
    }

    fn rule(&mut self, rule: &Rule) {
        let Devices { major, minor, .. } = rule.devices;
        let numbers = match key(rule.devices) {
            Some(key) => [Some((KEY, key)), None],
            None => [major.map(|major| (MAJOR, major)), minor.map(|minor| (MINOR, minor))],
        };
        let others: Vec<usize> = numbers
            .into_iter()
            .flatten()
            .map(|(register, number)| self.require(register, number))
            .collect();
        if rule.access == ALL {
            self.jump_to_exit(JUMP, 0, 0);
        } else if rule.allow {
            self.push(AND32_IMM, ACCESS, 0, 0, u32::from(ALL & !rule.access));
            self.jump_to_exit(JEQ32_IMM, ACCESS, 0);
        } else {
            self.jump_to_exit(JSET32_IMM, ACCESS, u32::from(rule.access));
        }
        for jump in others {
            self.land_here(jump);
        }
    }
}
