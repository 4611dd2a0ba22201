use super::program::*;
use super::*;
use kickstage_sys::bpf;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// What the kernel does with a program, for one access.
fn execute(program: &[u64], kind: Kind, access: u8, major: u32, minor: u32) -> bool {
    let context = [u32::from(access) << 16 | kind as u32, major, minor];
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
            JSET32_IMM => jump(left & value != 0),
            EXIT => return registers[0] != 0,
            other => panic!("operation {other:#x}"),
        }
    }
}

/// What the kernel of v1 does with lines (security/device_cgroup.c).
struct Legacy {
    allow: bool,
    exceptions: Vec<(Devices, u8)>,
}

impl Legacy {
    fn read(rules: &Rules) -> Result<Self> {
        let mut lines = settings(rules)?.into_settings().map(|(_, setting)| setting);
        let base = lines.next().unwrap();
        assert_eq!(base.value, "a");
        let allow = base.file.as_str() == "devices.allow";
        let exceptions = lines.map(|line| {
            assert_eq!(line.file.as_str() == "devices.deny", allow, "an exception");
            let (kind, rest) = line.value.split_once(' ').unwrap();
            let (numbers, letters) = rest.split_once(' ').unwrap();
            let (major, minor) = numbers.split_once(':').unwrap();
            let number = |text: &str| (text != "*").then(|| text.parse().unwrap());
            let kind = if kind == "c" { Kind::Char } else { Kind::Block };
            let bit = |letter| [READ, WRITE, MKNOD]["rwm".find(letter).unwrap()];
            let access = letters.chars().fold(0, |access, letter| access | bit(letter));
            (Devices { kind, major: number(major), minor: number(minor) }, access)
        });
        Ok(Self { allow, exceptions: exceptions.collect() })
    }

    fn decides(&self, access: u8, device: Devices) -> bool {
        let mut about = self.exceptions.iter().filter(|(devices, _)| devices.contain(device));
        if self.allow {
            !about.any(|(_, denied)| access & denied != 0)
        } else {
            about.any(|(_, granted)| access & !granted == 0)
        }
    }
}

/// The list as the specification has it.
fn verdict(rules: &Rules, access: u8, device: Devices) -> bool {
    [MKNOD, READ, WRITE].iter().filter(|bit| access & **bit != 0).all(|bit| {
        let about = |rule: &&Rule| rule.access & bit != 0 && rule.devices.contain(device);
        rules.0.iter().rev().find(about).is_some_and(|rule| rule.allow)
    })
}

const MAJORS: [u32; 6] = [0, 1, 3, 5, 136, 4095];
const MINORS: [u32; 5] = [0, 2, 3, 5, 1_000_000];

fn all_devices() -> impl Iterator<Item = Devices> {
    let numbers = MAJORS.into_iter().flat_map(|major| MINORS.map(|minor| (major, minor)));
    numbers.flat_map(|(major, minor)| {
        [Kind::Block, Kind::Char].map(|kind| Devices {
            kind,
            major: Some(major),
            minor: Some(minor),
        })
    })
}

fn number() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![
        3 => Just(None),
        4 => (0u32..6).prop_map(Some),
        1 => Just(Some(136)),
        1 => Just(Some(5000))
    ]
}

/// A list, with what is always allowed at its end or without.
fn lists(most: usize) -> impl Strategy<Value = Rules> {
    let rule = (any::<bool>(), any::<bool>(), number(), number(), prop_oneof![Just(ALL), 1u8..8]);
    (prop::collection::vec(rule, 0..most), any::<bool>()).prop_map(|(list, always)| {
        let rule = |(index, (allow, char, major, minor, access))| {
            let kind = if char { Kind::Char } else { Kind::Block };
            Rule { allow, devices: Devices { kind, major, minor }, access, index: Some(index) }
        };
        let mut rules: Vec<Rule> = list.into_iter().enumerate().map(rule).collect();
        if always {
            rules.extend(rules_of("[]").unwrap().0);
        }
        Rules(rules)
    })
}

proptest! {
    #[test]
    fn the_program_decides_as_the_ordered_list(rules in lists(14)) {
        let program = program(&rules);
        for device in all_devices() {
            let (major, minor) = (device.major.unwrap(), device.minor.unwrap());
            for access in 1..8 {
                let ran = execute(&program, device.kind, access, major, minor);
                prop_assert_eq!(ran, verdict(&rules, access, device), "{} {:?}", access, device);
            }
        }
    }

    #[test]
    fn lines_decide_as_the_ordered_list_or_are_refused_by_a_rule(rules in lists(6)) {
        match Legacy::read(&rules) {
            Ok(legacy) => for device in all_devices() {
                // what the kernel asks for: making, or opening
                for access in [MKNOD, READ, WRITE, READ | WRITE] {
                    let wanted = verdict(&rules, access, device);
                    prop_assert_eq!(legacy.decides(access, device), wanted, "{} {:?}", access, device);
                }
            },
            Err(error) => {
                let key = error.key.clone().unwrap();
                let index = key.strip_prefix("/linux/resources/devices/").unwrap();
                prop_assert!(index.parse::<usize>().unwrap() < rules.0.len());
            }
        }
    }
}

fn rules_of(devices: &str) -> Result<Rules> {
    rules(&serde_json::from_str(&format!("{{\"devices\":{devices}}}")).unwrap())
}

fn lines(rules: &Rules) -> Result<Vec<String>> {
    let line = |(_, setting): (_, kickstage_config::cgroup::Setting)| {
        format!("{} {}", setting.file, setting.value)
    };
    Ok(settings(rules)?.into_settings().map(line).collect())
}

const USUAL: &str = r#"[{"allow":false,"access":"rwm"},
    {"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}]"#;

#[test]
fn the_common_rules_become_the_common_lines() {
    let lines = lines(&rules_of(USUAL).unwrap()).unwrap();
    assert_eq!(lines[0], "devices.deny a");
    assert_eq!(lines.len(), 1 + 1 + ALWAYS.len());
    for line in ["c 10:229 rw", "c *:* m", "c 136:* rwm", "c 10:200 rwm"] {
        assert!(lines.contains(&format!("devices.allow {line}")), "{lines:?}");
    }
    let open = self::lines(&rules_of(r#"[{"allow":true}]"#).unwrap()).unwrap();
    assert_eq!(open[1..], ["devices.allow c *:* rwm", "devices.allow b *:* rwm"]);
}

#[test]
fn the_common_rules_become_a_short_program() {
    let length = |list| program(&rules_of(list).unwrap()).len();
    assert_eq!(length("[]"), 29);
    assert_eq!(length(USUAL), 32);
    assert_eq!(length(r#"[{"allow":true}]"#), 11);
}

fn decided(list: &str, access: u8, (major, minor): (u32, u32)) -> bool {
    execute(&program(&rules_of(list).unwrap()), Kind::Char, access, major, minor)
}

#[test]
fn a_later_rule_takes_back_what_an_earlier_one_gave() {
    let wide = r#"[{"allow":false},
        {"allow":true,"type":"c","major":-1,"minor":-1,"access":"rw"},
        {"allow":false,"type":"c","major":1,"minor":11,"access":"rw"}]"#;
    assert!(!decided(wide, READ, (1, 11)) && decided(wide, READ, (1, 12)));
    // all is allowed but for block devices and this one
    let said = lines(&rules_of(wide).unwrap()).unwrap();
    assert_eq!(said, ["devices.allow a", "devices.deny b *:* rw", "devices.deny c 1:11 rw"]);
    let same = r#"[{"allow":true,"type":"c","major":10,"minor":1,"access":"rw"},
        {"allow":false,"type":"c","major":10,"minor":1,"access":"w"}]"#;
    let said = lines(&rules_of(same).unwrap()).unwrap();
    assert!(said.contains(&"devices.allow c 10:1 r".into()), "{said:?}");
    let nothing = same.replace(r#""access":"w"}]"#, r#""access":"rwm"}]"#);
    let said = lines(&rules_of(&nothing).unwrap()).unwrap();
    assert!(said.iter().all(|line| !line.contains("10:1 ")), "{said:?}");
}

#[test]
fn an_exception_to_an_exception_is_refused_on_v1_by_its_pointer() {
    let allow = r#"{"allow":true,"type":"c","major":7,"access":"rw"}"#;
    let deny = r#"{"allow":false,"type":"c","major":7,"minor":1,"access":"rw"}"#;
    for (list, index) in [
        (format!(r#"[{{"allow":false}},{allow},{deny}]"#), 2),
        (format!("[{},{}]", r#"{"allow":true}"#, r#"{"allow":false,"type":"c","major":1}"#), 1),
        (
            format!(
                r#"[{{"allow":true}},{},{}]"#,
                allow.replace("true", "false"),
                deny.replace("false", "true")
            ),
            2,
        ),
    ] {
        let error = lines(&rules_of(&list).unwrap()).unwrap_err();
        assert_eq!(error.key.clone().unwrap(), format!("{POINTER}/{index}"), "{list}");
    }
}

#[test]
fn all_devices_can_be_given_a_part_of_the_access() {
    let reading = r#"[{"allow":true,"access":"r"}]"#;
    assert!(decided(reading, READ, (1, 11)) && !decided(reading, WRITE, (1, 11)));
    let said = lines(&rules_of(reading).unwrap()).unwrap();
    assert!(said.contains(&"devices.allow b *:* rm".into()), "{said:?}");
    let not_writing = r#"[{"allow":true},{"allow":false,"type":"a","access":"w"}]"#;
    assert!(decided(not_writing, READ, (1, 11)) && !decided(not_writing, WRITE, (1, 11)));
}

#[test]
fn a_rule_that_is_none_is_refused_by_its_pointer() {
    let error = rules_of(r#"[{"allow":true,"access":"rx"}]"#).unwrap_err();
    assert_eq!(error.key.as_deref(), Some("/linux/resources/devices/0/access"));
    let error = rules_of(r#"[{"allow":true,"type":"p"}]"#).unwrap_err();
    assert_eq!(error.key.as_deref(), Some("/linux/resources/devices/0/type"));
    let many = vec![r#"{"allow":true}"#; MAX_RULES + 1].join(",");
    let error = rules_of(&format!("[{many}]")).unwrap_err();
    assert_eq!(error.key.as_deref(), Some(POINTER));
}

/// The longest that there can be: no two rules have the same answer or anything in common.
#[test]
fn jumps_reach_the_end_of_the_longest_program() {
    let rule = |index: usize| Rule {
        allow: index % 2 == 1,
        devices: char(u32::try_from(index / 2).ok(), Some(5_000_000).filter(|_| index % 2 == 1)),
        access: READ,
        index: Some(index),
    };
    let wide = Rule { allow: true, devices: char(None, None), access: READ, index: None };
    let rules = Rules([wide].into_iter().chain((0..MAX_RULES).map(rule)).collect());
    assert!(program(&rules).len() > 2 * MAX_RULES);
}

#[test]
fn the_kernel_takes_the_programs() {
    assert_eq!(kickstage_sys::process::effective_uid(), 0, "loading eBPF needs root");
    let mut runner = TestRunner::deterministic();
    let random = (0..40).map(|index| lists(1 + index * 5).new_tree(&mut runner).unwrap().current());
    for rules in [rules_of(USUAL).unwrap()].into_iter().chain(random) {
        let insn = |raw: &u64| {
            let [code, registers, low, high, a, b, c, d] = raw.to_le_bytes();
            let offset = i16::from_le_bytes([low, high]);
            bpf::Insn { code, registers, offset, immediate: i32::from_le_bytes([a, b, c, d]) }
        };
        let insns: Vec<bpf::Insn> = program(&rules).iter().map(insn).collect();
        bpf::load_device_program(&insns).unwrap();
    }
}
