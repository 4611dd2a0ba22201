//! The words of a profile, for the compiler, `features` and the documentation.

use super::rules::{ALLOW, Answer, ERRNO, Family, KILL_PROCESS, KILL_THREAD, TRAP};
use oci_spec::runtime::{Arch, LinuxSeccompAction as Action, LinuxSeccompFilterFlag as Flag};

/// What a filter can answer: the word, and the kernel's number (linux/seccomp.h).
pub(super) const ANSWERS: [(&str, Action, Answer); 9] = [
    ("SCMP_ACT_ALLOW", Action::ScmpActAllow, ALLOW),
    ("SCMP_ACT_ERRNO", Action::ScmpActErrno, ERRNO),
    ("SCMP_ACT_KILL", Action::ScmpActKill, KILL_THREAD),
    ("SCMP_ACT_KILL_PROCESS", Action::ScmpActKillProcess, KILL_PROCESS),
    ("SCMP_ACT_KILL_THREAD", Action::ScmpActKillThread, KILL_THREAD),
    ("SCMP_ACT_LOG", Action::ScmpActLog, 0x7ffc_0000),
    ("SCMP_ACT_NOTIFY", Action::ScmpActNotify, 0x7fc0_0000),
    ("SCMP_ACT_TRACE", Action::ScmpActTrace, 0x7ff0_0000),
    ("SCMP_ACT_TRAP", Action::ScmpActTrap, TRAP),
];

/// Flags of the filter (seccomp(2)).
pub(super) const FLAG_BITS: [(&str, Flag, u32); 4] = [
    ("SECCOMP_FILTER_FLAG_LOG", Flag::SeccompFilterFlagLog, 1 << 1),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", Flag::SeccompFilterFlagSpecAllow, 1 << 2),
    ("SECCOMP_FILTER_FLAG_TSYNC", Flag::SeccompFilterFlagTsync, 1),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", Flag::SeccompFilterFlagWaitKillableRecv, 1 << 5),
];

/// What this machine can execute.
pub(super) const FAMILIES: [(&str, Arch, Family); 3] = [
    ("SCMP_ARCH_X32", Arch::ScmpArchX32, Family::X32),
    ("SCMP_ARCH_X86", Arch::ScmpArchX86, Family::X86),
    ("SCMP_ARCH_X86_64", Arch::ScmpArchX86_64, Family::X86_64),
];

const fn words<A: Copy, B: Copy, const N: usize>(
    rows: &[(&'static str, A, B); N],
) -> [&'static str; N] {
    let mut words = [""; N];
    let mut at = 0;
    while at < N {
        words[at] = rows[at].0;
        at += 1;
    }
    words
}

/// What a filter can answer.
pub const ACTIONS: [&str; 9] = words(&ANSWERS);

/// Flags of the filter.
pub const FLAGS: [&str; 4] = words(&FLAG_BITS);

/// What this machine can execute. Others are known and have no effect.
pub const ARCHITECTURES: [&str; 3] = words(&FAMILIES);

/// How an argument is compared.
pub const OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

/// What other machines can execute.
pub const FOREIGN_ARCHITECTURES: [&str; 20] = [
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
];

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxSeccompOperator;
    use serde::de::DeserializeOwned;
    use std::collections::BTreeSet;
    use std::fmt::Debug;

    /// What the model would have read, as it says itself when it can't.
    fn of_model<T: DeserializeOwned + Debug>() -> BTreeSet<String> {
        let said = serde_json::from_str::<T>("\"nothing\"").unwrap_err().to_string();
        let (_, expected) = said.split_once("expected one of ").unwrap();
        expected.split('`').skip(1).step_by(2).map(String::from).collect()
    }

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_string()).collect()
    }

    #[test]
    fn every_word_that_the_model_reads_is_in_a_table_and_no_other() {
        assert_eq!(set(&ACTIONS), of_model::<Action>());
        assert_eq!(set(&FLAGS), of_model::<Flag>());
        assert_eq!(set(&OPERATORS), of_model::<LinuxSeccompOperator>());
        let architectures = [&ARCHITECTURES[..], &FOREIGN_ARCHITECTURES, &["SCMP_ARCH_NATIVE"]];
        assert_eq!(set(&architectures.concat()), of_model::<Arch>());
    }

    #[test]
    fn a_word_is_the_value_beside_it() {
        fn read<T: DeserializeOwned>(word: &str) -> T {
            serde_json::from_value(word.into()).unwrap()
        }
        for (word, value, _) in ANSWERS {
            assert_eq!(read::<Action>(word), value);
        }
        for (word, value, _) in FLAG_BITS {
            assert_eq!(read::<Flag>(word), value);
        }
        for (word, value, _) in FAMILIES {
            assert_eq!(read::<Arch>(word), value);
        }
    }
}
