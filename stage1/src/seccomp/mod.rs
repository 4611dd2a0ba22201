//! From a seccomp profile to one filter.
//!
//! System calls with the same answer that lie side by side become one range; ranges are found
//! by halves. The kernel runs a filter once for each system call when it is loaded, and again at
//! each call that is not always allowed, so what counts is how deep the program is, not how long.
//!
//! What the answers are follows runc with libseccomp:
//! * a rule whose action is the default's is left out;
//! * the first rule without conditions decides about its calls, whatever others say; conditions of
//!   one rule must all hold, unless two are about the same argument: then each is a rule of its
//!   own; of two rules that apply the first one counts;
//! * arguments of i386 and x32 have 32 bits;
//! * rules are about this machine's own architecture even if others alone are listed; a foreign one
//!   that it can execute is killed unless it is listed;
//! * calls newer than the newest that the profile names are answered with ENOSYS, not with the
//!   default, if that denies: a C library then falls back to an older call. A profile that names
//!   none has no newest.
//!
//! * on i386 a rule about `socket`, `semop` and the like is also about that part of `socketcall` or
//!   `ipc`, unless a rule without conditions names the whole.
//!
//! Different from libseccomp: the arguments of such a part lie in memory, where no filter sees them.
//! libseccomp compares other values in their place, and the first with none; here a condition is
//! taken to hold if the rule is stricter than the default, and else not to hold. And `ipc` is told
//! a version beside the part, which leads around no rule.

mod dispatch;
mod multiplexed;
mod rules;
mod syscalls;
pub mod words;

use oci_spec::runtime::LinuxSeccomp;
use rules::{Family, Policy};
use seccompiler::sock_filter;

/// A filter for seccomp(2).
#[derive(Clone, Debug)]
pub struct Filter {
    /// The program.
    pub program: Vec<sock_filter>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
    /// Names of the profile that no table here knows; they have no effect.
    pub unknown: Vec<String>,
}

/// Why a profile can't be compiled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// JSON pointer of the value.
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
}

impl Refused {
    pub(crate) fn new(pointer: &str, message: impl Into<String>) -> Self {
        Self { pointer: format!("/linux/seccomp{pointer}"), message: message.into() }
    }
}

/// The kernel's limit (linux/bpf_common.h, `BPF_MAXINSNS`).
const MAX_INSNS: usize = 4096;

/// Compiles a profile.
pub fn compile(profile: &LinuxSeccomp) -> Result<Filter, Refused> {
    let families = families(profile);
    let policy = Policy::read(profile)?;
    let program = dispatch::program(&policy, &families).map_err(|rules::TooLong| {
        let message = format!("they need more than the {MAX_INSNS} instructions of the kernel");
        Refused::new("/syscalls", message)
    })?;
    Ok(Filter { program, flags: flags(profile), unknown: policy.unknown })
}

/// The architectures that the rules are about: this machine's own, and those of the profile that it
/// can execute.
fn families(profile: &LinuxSeccomp) -> Vec<Family> {
    let listed = profile.architectures().as_deref().unwrap_or_default();
    let known = words::FAMILIES.iter().filter(|(_, arch, _)| listed.contains(arch));
    // SCMP_ARCH_NATIVE needs no look; what else is listed the kernel of this machine never reports
    [Family::X86_64].into_iter().chain(known.map(|(.., family)| *family)).collect()
}

/// Without a word about flags a filter does not turn on the mitigation of speculation, as in
/// runc and crun: it costs much and was meant for other filters.
fn flags(profile: &LinuxSeccomp) -> u32 {
    const SPEC_ALLOW: u32 = 1 << 2;
    let Some(flags) = profile.flags() else { return SPEC_ALLOW };
    let asked = words::FLAG_BITS.iter().filter(|(_, flag, _)| flags.contains(flag));
    asked.fold(0, |all, (.., bit)| all | bit)
}

#[cfg(test)]
mod tests;
