use super::*;
use kickstage_sys::bpf;
use proptest::prelude::*;

/// What the kernel does with a program, for one access.
fn execute(program: &[u64], kind: u32, access: u32, major: u32, minor: u32) -> bool {
    let context = [access << 16 | kind, major, minor];
    let mut registers = [0u64; 11];
    let mut at = 0;
    loop {
        let [code, regs, low, high, a, b, c, d] = program[at].to_le_bytes();
        let (to, from) = (usize::from(regs & 15), usize::from(regs >> 4));
        let offset = i16::from_le_bytes([low, high]);
        let value = u32::from_le_bytes([a, b, c, d]);
        let (left, right) = (registers[to] as u32, registers[from] as u32);
        at += 1;
        let mut jump = |taken: bool| {
            if taken {
                at += usize::try_from(offset).expect("only forward jumps are made");
            }
        };
        match code {
            LOAD_WORD => registers[to] = u64::from(context[usize::try_from(offset).unwrap() / 4]),
            MOV64_IMM => registers[to] = u64::from(value),
            MOV32_REG => registers[to] = u64::from(right),
            AND32_IMM => registers[to] = u64::from(left & value),
            OR32_REG => registers[to] = u64::from(left | right),
            LSH32_IMM => registers[to] = u64::from(left << value),
            RSH32_IMM => registers[to] = u64::from(left >> value),
            JUMP => jump(true),
            JEQ32_IMM => jump(left == value),
            JNE32_IMM => jump(left != value),
            EXIT => return registers[0] != 0,
            other => panic!("operation {other:#x}"),
        }
    }
}

/// The same, read off the exceptions.
fn verdict(rules: &Rules, kind: u32, access: u8, major: u32, minor: u32) -> bool {
    let exception = rules.exceptions.iter().any(|((of, want_major, want_minor), granted)| {
        let same = *of as u32 == kind
            && want_major.is_none_or(|want| want == major)
            && want_minor.is_none_or(|want| want == minor);
        let touches = if rules.allow { access & granted != 0 } else { access & !granted == 0 };
        same && touches
    });
    rules.allow != exception
}

fn number() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![Just(None), (0u32..6).prop_map(Some), Just(Some(136)), Just(Some(5000))]
}

proptest! {
    #[test]
    fn the_program_decides_as_the_rules_say(
        allow in any::<bool>(),
        list in prop::collection::vec(
            (any::<bool>(), any::<bool>(), number(), number(), 1u8..8), 0..12),
    ) {
        let mut rules = Rules { allow, ..Rules::default() };
        for (allow, char, major, minor, access) in list {
            let kind = if char { Kind::Char } else { Kind::Block };
            rules.add(allow, (kind, major, minor), access);
        }
        let program = program(&rules);
        for kind in 1..=2 {
            for access in 1..8u8 {
                for major in [0, 1, 3, 5, 7, 136, 4095] {
                    for minor in [0, 2, 5, 9, 1_000_000] {
                        let ran = execute(&program, kind, u32::from(access), major, minor);
                        let wanted = verdict(&rules, kind, access, major, minor);
                        prop_assert_eq!(ran, wanted, "{} {} {}:{}", kind, access, major, minor);
                    }
                }
            }
        }
    }
}

fn of_json(devices: &str) -> Result<Rules> {
    rules(&serde_json::from_str(&format!("{{\"devices\":{devices}}}")).unwrap())
}

#[test]
fn the_common_rules_become_the_common_lines() {
    let rules = of_json(r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}]"#).unwrap();
    let lines: Vec<String> =
        settings(&rules).into_settings().map(|(_, s)| format!("{} {}", s.file, s.value)).collect();
    assert_eq!(lines[0], "devices.deny a");
    assert!(lines.contains(&"devices.allow c 10:229 rw".to_string()));
    assert!(lines.contains(&"devices.allow c *:* m".to_string()));
    assert!(lines.contains(&"devices.allow c 136:* rwm".to_string()));
    assert!(lines.contains(&"devices.allow c 10:200 rwm".to_string()));
}

#[test]
fn a_later_rule_takes_back_what_an_earlier_one_gave() {
    let rules = of_json(
        r#"[{"allow":true,"type":"c","major":10,"minor":1,"access":"rw"},
            {"allow":false,"type":"c","major":10,"minor":1,"access":"w"}]"#,
    )
    .unwrap();
    assert_eq!(rules.exceptions[&(Kind::Char, Some(10), Some(1))], READ);
}

#[test]
fn an_access_that_is_none_is_refused_by_its_pointer() {
    let error = of_json(r#"[{"allow":true,"access":"rx"}]"#).unwrap_err();
    assert_eq!(error.key.as_deref(), Some("/linux/resources/devices/0/access"));
}

#[test]
fn the_kernel_takes_the_program() {
    assert_eq!(kickstage_sys::process::effective_uid(), 0, "loading eBPF needs root");
    let program = program(&of_json(r#"[{"allow":false,"access":"rwm"}]"#).unwrap());
    let insns: Vec<bpf::Insn> = program
        .iter()
        .map(|raw| {
            let [code, registers, low, high, a, b, c, d] = raw.to_le_bytes();
            let offset = i16::from_le_bytes([low, high]);
            bpf::Insn { code, registers, offset, immediate: i32::from_le_bytes([a, b, c, d]) }
        })
        .collect();
    bpf::load_device_program(&insns).unwrap();
}
