//! libseccomp, asked through a small C program.

use seccompiler::sock_filter;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program.
pub(crate) struct Oracle(PathBuf);

/// What libseccomp makes of a profile.
pub(crate) struct Compiled {
    pub(crate) program: Vec<sock_filter>,
    /// Names that it does not know.
    #[allow(dead_code, reason = "the benchmark has no use for them")]
    pub(crate) unknown: Vec<String>,
    /// Nanoseconds that it took, if it was asked to measure.
    #[allow(dead_code, reason = "the tests do not measure")]
    pub(crate) took: Option<u64>,
}

impl Oracle {
    /// Compiles it into a directory.
    pub(crate) fn build(dir: &Path) -> Self {
        let program = dir.join("libseccomp-oracle");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stage1/tests/oracle/oracle.c");
        let mut command = Command::new("cc");
        command.arg("-O2").arg("-o").arg(&program).arg(source).arg("-lseccomp");
        let output = command.output().expect("a C compiler is installed");
        assert!(output.status.success(), "libseccomp-dev is installed by make deps: {output:?}");
        Self(program)
    }

    /// Has it compile a profile; gives what it says when it refuses.
    pub(crate) fn compile(&self, profile: &Value, arguments: &[&str]) -> Result<Compiled, String> {
        let mut child = Command::new(&self.0)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it has been built");
        let text = as_text(profile);
        let written = child.stdin.take().expect("it is a pipe").write_all(text.as_bytes());
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8(output.stderr).expect("it says ASCII");
        if !output.status.success() {
            return Err(said);
        }
        written.expect("it reads everything");
        let instructions = output.stdout.chunks_exact(8).map(|bytes| sock_filter {
            code: u16::from_ne_bytes([bytes[0], bytes[1]]),
            jt: bytes[2],
            jf: bytes[3],
            k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        });
        let unknown = said.lines().filter_map(|line| line.strip_prefix("unknown "));
        let took = said.lines().find_map(|line| line.strip_prefix("took ")?.parse().ok());
        Ok(Compiled {
            program: instructions.collect(),
            unknown: unknown.map(String::from).collect(),
            took,
        })
    }
}

/// SCMP_ACT_* of seccomp.h: what the kernel returns, but for two.
fn action(rule: &Value, errno: &Value) -> u32 {
    let data = errno.as_u64().unwrap_or(1) as u32;
    match rule.as_str().unwrap() {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | data,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | data,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        other => panic!("{other}"),
    }
}

fn operator(name: &str) -> u32 {
    let names = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    1 + names.iter().position(|known| name.ends_with(&format!("CMP_{known}"))).unwrap() as u32
}

/// As runc gives it to libseccomp: nothing for a rule of the default action; a rule with two
/// conditions on one argument is as many rules.
fn as_text(profile: &Value) -> String {
    let default = action(&profile["defaultAction"], &profile["defaultErrnoRet"]);
    let mut text = format!("default {default}\n");
    for arch in profile["architectures"].as_array().into_iter().flatten() {
        let name = arch.as_str().unwrap().trim_start_matches("SCMP_ARCH_").to_lowercase();
        let _ = writeln!(text, "arch {name}");
    }
    for rule in profile["syscalls"].as_array().unwrap() {
        let answer = action(&rule["action"], &rule["errnoRet"]);
        if answer == default {
            continue;
        }
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let conditions: Vec<(u64, String)> = rule["args"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|arg| {
                let (index, op) = (number(&arg["index"]), operator(arg["op"].as_str().unwrap()));
                let (one, two) = (number(&arg["value"]), number(&arg["valueTwo"]));
                (index, format!(" {index} {op} {one} {two}"))
            })
            .collect();
        let mut indices: Vec<u64> = conditions.iter().map(|(index, _)| *index).collect();
        indices.sort_unstable();
        indices.dedup();
        let alternatives: Vec<String> = if indices.len() < conditions.len() {
            conditions.into_iter().map(|(_, text)| text).collect()
        } else {
            vec![conditions.into_iter().map(|(_, text)| text).collect()]
        };
        for name in rule["names"].as_array().unwrap() {
            for conditions in &alternatives {
                let _ = writeln!(text, "rule {answer} {}{conditions}", name.as_str().unwrap());
            }
        }
    }
    text
}
