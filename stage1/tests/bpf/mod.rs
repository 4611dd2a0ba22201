//! What the kernel does with a filter, for one call.

use seccompiler::sock_filter;

/// linux/audit.h.
pub(crate) const X86_64: u32 = 0xc000_003e;
/// linux/audit.h.
pub(crate) const I386: u32 = 0x4000_0003;

/// Classes and modes of classic BPF (linux/bpf_common.h).
mod code {
    pub(super) const LOAD: u16 = 0x20;
    pub(super) const AND: u16 = 0x54;
    pub(super) const JUMP: u16 = 0x05;
    pub(super) const JUMP_EQ: u16 = 0x15;
    pub(super) const JUMP_GT: u16 = 0x25;
    pub(super) const JUMP_GE: u16 = 0x35;
    pub(super) const JUMP_SET: u16 = 0x45;
    pub(super) const RETURN: u16 = 0x06;
}

/// What it answers, and after how many instructions.
pub(crate) fn execute(
    program: &[sock_filter],
    arch: u32,
    number: u32,
    args: [u64; 6],
) -> (u32, usize) {
    let mut data = vec![number, arch, 0, 0];
    data.extend(args.iter().flat_map(|arg| [*arg as u32, (*arg >> 32) as u32]));
    let (mut at, mut accumulator, mut count) = (0, 0, 0);
    loop {
        let insn = &program[at];
        at += 1;
        count += 1;
        let taken = match insn.code {
            code::LOAD => {
                accumulator = data[insn.k as usize / 4];
                continue;
            }
            code::AND => {
                accumulator &= insn.k;
                continue;
            }
            code::JUMP => {
                at += insn.k as usize;
                continue;
            }
            code::RETURN => return (insn.k, count),
            code::JUMP_EQ => accumulator == insn.k,
            code::JUMP_GT => accumulator > insn.k,
            code::JUMP_GE => accumulator >= insn.k,
            code::JUMP_SET => accumulator & insn.k != 0,
            other => panic!("operation {other:#x}"),
        };
        at += usize::from(if taken { insn.jt } else { insn.jf });
    }
}
