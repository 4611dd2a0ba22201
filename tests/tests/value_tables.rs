//! Every word that some properties may have, each by the number that the kernel then shows.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::world::assert_nothing_left;
use kickstage_tests::{Bundle, Running, Runtime};
use serde_json::{Value, json};
use std::fs;

#[track_caller]
fn refused(bundle: &Bundle, pointer: &str) {
    let (runtime, id) = (Runtime::kickstage(), unique_id());
    let ended = runtime.run_as(&id, bundle);
    assert!(ended.code == 1 && ended.stderr.contains(pointer), "{ended:?}");
    assert_nothing_left(&runtime, &id);
}

/// Major and minor of this kernel.
fn release() -> (u32, u32) {
    let told = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = told.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Mode, nodes, flags; what that is called in /proc/self/numa_maps, and since when it is there.
type Policy =
    (&'static str, Option<&'static str>, &'static [&'static str], &'static str, (u32, u32));

const POLICIES: [Policy; 14] = [
    ("MPOL_DEFAULT", None, &[], "default", (5, 12)),
    ("MPOL_LOCAL", None, &[], "local", (5, 12)),
    // of no nodes it is the same as local
    ("MPOL_PREFERRED", None, &[], "local", (5, 12)),
    ("MPOL_PREFERRED", Some("0"), &[], "prefer:0", (5, 12)),
    ("MPOL_BIND", Some("0"), &[], "bind:0", (5, 12)),
    ("MPOL_INTERLEAVE", Some("0"), &[], "interleave:0", (5, 12)),
    ("MPOL_PREFERRED_MANY", Some("0"), &[], "prefer (many):0", (5, 15)),
    ("MPOL_WEIGHTED_INTERLEAVE", Some("0"), &[], "weighted interleave:0", (6, 9)),
    ("MPOL_BIND", Some("0"), &["MPOL_F_STATIC_NODES"], "bind=static:0", (5, 12)),
    ("MPOL_PREFERRED", Some("0"), &["MPOL_F_STATIC_NODES"], "prefer=static:0", (5, 12)),
    ("MPOL_BIND", Some("0"), &["MPOL_F_RELATIVE_NODES"], "bind=relative:0", (5, 12)),
    ("MPOL_INTERLEAVE", Some("0"), &["MPOL_F_RELATIVE_NODES"], "interleave=relative:0", (5, 12)),
    ("MPOL_BIND", Some("0"), &["MPOL_F_NUMA_BALANCING"], "bind=balancing:0", (5, 12)),
    (
        "MPOL_BIND",
        Some("0"),
        &["MPOL_F_NUMA_BALANCING", "MPOL_F_STATIC_NODES"],
        "bind=static|balancing:0",
        (5, 12),
    ),
];

#[test]
fn every_memory_policy_with_every_flag_is_the_programs() {
    for (mode, nodes, flags, shown, since) in POLICIES {
        let mut policy = json!({"mode": mode, "flags": flags});
        if let Some(nodes) = nodes {
            policy["nodes"] = json!(nodes);
        }
        let bundle = Bundle::new(&["busybox", "head", "-n1", "/proc/self/numa_maps"])
            .with("/linux/memoryPolicy", policy);
        if release() < since {
            refused(&bundle, "/linux/memoryPolicy");
            continue;
        }
        let ended = Runtime::kickstage().run(&bundle);
        assert_eq!(ended.code, 0, "{mode} {flags:?}: {ended:?}");
        // older kernels have the flag for balancing, and no word for it
        let wordless = shown.replace("|balancing", "").replace("balancing", "");
        let said = ended.stdout;
        let has = |shown: &str| said.contains(&format!(" {shown} "));
        assert!(has(shown) || has(&wordless), "{mode} {flags:?}: {said}");
    }
}

/// linux/personality.h.
const PERSONALITIES: [(&str, u32); 11] = [
    ("UNAME26", 0x002_0000),
    ("ADDR_NO_RANDOMIZE", 0x004_0000),
    ("FDPIC_FUNCPTRS", 0x008_0000),
    ("MMAP_PAGE_ZERO", 0x010_0000),
    ("ADDR_COMPAT_LAYOUT", 0x020_0000),
    ("READ_IMPLIES_EXEC", 0x040_0000),
    ("ADDR_LIMIT_32BIT", 0x080_0000),
    ("SHORT_INODE", 0x100_0000),
    ("WHOLE_SECONDS", 0x200_0000),
    ("STICKY_TIMEOUTS", 0x400_0000),
    ("ADDR_LIMIT_3GB", 0x800_0000),
];

#[test]
fn every_personality_is_the_programs() {
    for (domain, own) in [("LINUX", 0), ("LINUX32", 8)] {
        for (flag, bit) in PERSONALITIES {
            let bundle = Bundle::new(&["cat", "/proc/self/personality"])
                .with("/linux/personality", json!({"domain": domain, "flags": [flag]}));
            // the kernel takes this one away from what is executed with 64 bits
            let bit = if flag == "READ_IMPLIES_EXEC" { 0 } else { bit };
            let said = Runtime::kickstage().run(&bundle).ok().stdout;
            assert_eq!(said, format!("{:08x}\n", own | bit), "{domain} {flag}");
        }
    }
    // before it executes something it has that, too
    let personality = json!({"domain": "LINUX", "flags": ["READ_IMPLIES_EXEC"]});
    let runtime = Runtime::kickstage();
    let id = runtime.create(&Bundle::new(&["true"]).with("/linux/personality", personality));
    let pid = runtime.state(&id)["pid"].clone();
    let told = fs::read_to_string(format!("/proc/{pid}/personality")).unwrap();
    assert_eq!(told, "00400000\n");
    runtime.call(&["delete", "--force", &id]).ok();
}

/// The word, and the line of /proc/self/limits.
const LIMITS: [(&str, &str); 16] = [
    ("RLIMIT_CPU", "Max cpu time"),
    ("RLIMIT_FSIZE", "Max file size"),
    ("RLIMIT_DATA", "Max data size"),
    ("RLIMIT_STACK", "Max stack size"),
    ("RLIMIT_CORE", "Max core file size"),
    ("RLIMIT_RSS", "Max resident set"),
    ("RLIMIT_NPROC", "Max processes"),
    ("RLIMIT_NOFILE", "Max open files"),
    ("RLIMIT_MEMLOCK", "Max locked memory"),
    ("RLIMIT_AS", "Max address space"),
    ("RLIMIT_LOCKS", "Max file locks"),
    ("RLIMIT_SIGPENDING", "Max pending signals"),
    ("RLIMIT_MSGQUEUE", "Max msgqueue size"),
    ("RLIMIT_NICE", "Max nice priority"),
    ("RLIMIT_RTPRIO", "Max realtime priority"),
    ("RLIMIT_RTTIME", "Max realtime timeout"),
];

/// The two values of a line of /proc/self/limits.
fn values<'a>(told: &'a str, name: &str) -> Vec<&'a str> {
    let line = told.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("{name} is not in {told}"));
    line.split_whitespace().take(2).collect()
}

/// CAP_SYS_RESOURCE: whether our own hard limits may rise.
fn may_raise_limits() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(held.trim(), 16).unwrap() >> 24 & 1 == 1
}

/// Another soft and hard limit for each, large enough to live with. Not above our own hard ones:
/// here root may not have CAP_SYS_RESOURCE.
fn limits() -> Vec<[u64; 2]> {
    let own = fs::read_to_string("/proc/self/limits").unwrap();
    let may_raise = may_raise_limits();
    let one = |(index, (word, name)): (usize, &(&str, &str))| {
        let scale = match *word {
            "RLIMIT_NICE" | "RLIMIT_RTPRIO" | "RLIMIT_CPU" | "RLIMIT_NOFILE" => 1,
            "RLIMIT_NPROC" | "RLIMIT_SIGPENDING" => 100,
            "RLIMIT_MEMLOCK" | "RLIMIT_MSGQUEUE" => 1 << 12,
            _ => 1 << 24,
        };
        let most =
            if may_raise { u64::MAX } else { values(&own, name)[1].parse().unwrap_or(u64::MAX) };
        let hard = most.min((index as u64 + 20) * scale);
        [hard.saturating_sub(1), hard]
    };
    LIMITS.iter().enumerate().map(one).collect()
}

#[track_caller]
fn assert_limited(told: &str, limits: &[[u64; 2]]) {
    for ((word, name), both) in LIMITS.iter().zip(limits) {
        assert_eq!(values(told, name), both.map(|value| value.to_string()), "{word}");
    }
}

#[test]
fn every_resource_limit_is_the_programs_and_that_of_what_exec_adds() {
    let limits = limits();
    let rlimits = LIMITS.iter().zip(&limits);
    let rlimits: Vec<Value> = rlimits
        .map(|((word, _), [soft, hard])| json!({"type": word, "soft": soft, "hard": hard}))
        .collect();
    let bundle = Bundle::new(&["sleep", "1000"]).with("/process/rlimits", json!(rlimits));
    let running = Running::new(Runtime::kickstage(), bundle);
    let first = fs::read_to_string(format!("/proc/{}/limits", running.pid())).unwrap();
    assert_limited(&first, &limits);
    assert_limited(&running.exec(&[], &["cat", "/proc/self/limits"]).ok().stdout, &limits);
}

#[test]
fn in_a_user_namespace_too_root_raises_limits_above_the_callers() {
    let range = json!([{"containerID": 0, "hostID": 0, "size": 1000}]);
    let limit = json!([{"type": "RLIMIT_NOFILE", "soft": 300, "hard": 400}]);
    let bundle = Bundle::new(&["sleep", "1000"])
        .adding("/linux/namespaces", json!({"type": "user"}))
        .with("/linux/uidMappings", range.clone())
        .with("/linux/gidMappings", range)
        .with("/process/rlimits", limit);
    let runtime = Runtime::kickstage().after("ulimit -Sn 200; ulimit -Hn 200");
    if !may_raise_limits() {
        // without CAP_SYS_RESOURCE nobody raises one: the other half is for a host where root has it
        let ended = runtime.run(&bundle);
        assert!(ended.stderr.contains("/process/rlimits"), "{ended:?}");
        return;
    }
    let running = Running::new(runtime, bundle);
    let told = running.exec(&[], &["cat", "/proc/self/limits"]).ok().stdout;
    let first = fs::read_to_string(format!("/proc/{}/limits", running.pid())).unwrap();
    for told in [told, first] {
        assert_eq!(values(&told, "Max open files"), ["300", "400"]);
    }
}
