//! docs/MIGRATING.md against the programs of this host: each of its tables about kickstage, runc
//! and crun is read and tried, row by row.

use kickstage_tests::bundle::unique_id;
use kickstage_tests::limits::is_v2;
use kickstage_tests::world::{assert_nothing_left, wait_until};
use kickstage_tests::{Bundle, Runtime};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

const PAGE: &str = include_str!("../../docs/MIGRATING.md");

/// The rows of the table that begins with a heading, in cells.
fn table(heading: &str) -> Vec<Vec<String>> {
    let start = PAGE.find(&format!("| {heading} |")).unwrap_or_else(|| panic!("no {heading}"));
    let rows = PAGE[start..].lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = rows.map(|row| cells(row.trim_matches('|'))).collect();
    assert!(!rows.is_empty(), "{heading}");
    rows
}

/// What stands between backquotes.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn help(program: &Runtime, command: Option<&str>) -> String {
    let mut asked = Command::new(program.program());
    let output = asked.args(command).arg("--help").output().expect("make deps installs it");
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

/// The long flags that a text lists, with their dashes.
fn flags(help: &str) -> BTreeSet<String> {
    let words = help.split(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '-'));
    let long = |word: &&str| word.len() > 2 && word.starts_with("--");
    words.filter(long).map(|word| word.trim_end_matches('-').to_owned()).collect()
}

/// The commands that a text lists between a heading and an empty line.
fn commands(help: &str) -> BTreeSet<String> {
    let list = help.lines().skip_while(|line| *line != "COMMANDS:").skip(1);
    let list = list.take_while(|line| !line.trim().is_empty());
    let names = list.filter_map(|line| line.split_whitespace().next());
    names.map(|name| name.trim_end_matches(',').to_owned()).filter(|name| name != "help").collect()
}

/// What a peer has and we have not, as the page writes it.
fn not_here(peer: &str) -> BTreeSet<String> {
    let (ours, theirs) = (Runtime::kickstage(), Runtime::of(peer));
    let global = flags(&help(&ours, None));
    let missing_global: BTreeSet<_> =
        flags(&help(&theirs, None)).difference(&global).cloned().collect();
    let mut missing: BTreeSet<_> =
        missing_global.iter().map(|flag| format!("{peer} {flag}")).collect();
    for command in commands(&help(&theirs, None)) {
        let own = help(&ours, Some(&command));
        if own.is_empty() {
            missing.insert(format!("{peer} {command}"));
            continue;
        }
        let known = flags(&own);
        let flags = flags(&help(&theirs, Some(&command)));
        let lacks = |flag: &&String| {
            ![&known, &global, &missing_global].iter().any(|flags| flags.contains(*flag))
        };
        let lacking = flags.iter().filter(lacks);
        missing.extend(lacking.map(|flag| format!("{peer} {command} {flag}")));
    }
    missing
}

#[test]
fn what_runc_and_crun_have_and_we_have_not_is_in_the_page_and_nothing_else() {
    let rows = table("not here");
    let named: BTreeSet<_> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let found: BTreeSet<_> = ["runc", "crun"].into_iter().flat_map(not_here).collect();
    assert_eq!(named, found);
}

/// The commands in our help, whose groups end where the flags begin.
fn own_commands() -> BTreeSet<String> {
    let help = help(&Runtime::kickstage(), None);
    let lines = help.lines().take_while(|line| *line != "Global flags:");
    let named = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    named.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn commands_that_only_we_have_are_in_the_page() {
    let (_, after) = PAGE.split_once("only here:").expect("the page tells them");
    let (sentence, _) = after.split_once('.').expect("a sentence");
    let named: BTreeSet<_> =
        code_spans(sentence).map(|span| span.trim_start_matches("kickstage ").to_owned()).collect();
    let theirs = ["runc", "crun"].map(|peer| commands(&help(&Runtime::of(peer), None)));
    let theirs: BTreeSet<_> = theirs.into_iter().flatten().collect();
    assert_eq!(named, &own_commands() - &theirs);
}

#[test]
fn every_command_line_of_ours_in_the_page_has_flags_that_its_command_takes() {
    let ours = Runtime::kickstage();
    let global = flags(&help(&ours, None));
    let lines = code_spans(PAGE).filter_map(|span| span.strip_prefix("kickstage "));
    let mut seen = 0;
    for line in lines {
        let Some(command) = line.split(' ').next().filter(|word| !word.starts_with('-')) else {
            assert!(flags(line).is_subset(&global), "{line}");
            continue;
        };
        let known = help(&ours, Some(command));
        assert!(known.starts_with(&format!("kickstage {command}:")), "no such command: {line}");
        let known = &flags(&known) | &global;
        assert!(flags(line).is_subset(&known), "{line}");
        seen += 1;
    }
    assert!(seen > 20, "the page has many of them, not {seen}");
}

/// The exit code of what a row of the table describes.
fn exit_code(runtime: &Runtime, what: &str) -> i32 {
    let seven = ["sh", "-c", "exit 7"];
    let killed = ["sh", "-c", "kill -9 $$"];
    let (place, case) = what.split_once(": ").unwrap_or(("", what));
    match (place, case) {
        ("run", "the program exits with 7") => runtime.run(&Bundle::new(&seven)).code,
        ("run", "there is no such program") => runtime.run(&Bundle::new(&["/nope"])).code,
        ("run", "signal 9 ends the program") => killed_from_outside(runtime),
        ("exec", "the program exits with 7") => exec(runtime, &seven),
        ("exec", "signal 9 ends the program") => exec(runtime, &killed),
        ("exec", "there is no such program") => exec(runtime, &["/nope"]),
        ("delete", "the container runs") => delete_running(runtime),
        ("delete", "there is no such container") => runtime.call(&["delete", "nope"]).code,
        ("delete --force", "there is no such container") => {
            runtime.call(&["delete", "--force", "nope"]).code
        }
        ("", "an unknown flag of run") => runtime.call(&["run", "--nope", "x"]).code,
        ("", "an unknown command") => runtime.call(&["nope"]).code,
        _ => panic!("nobody has said how to try this: {what}"),
    }
}

fn exec(runtime: &Runtime, args: &[&str]) -> i32 {
    let bundle = Bundle::new(&["sleep", "60"]);
    let id = runtime.start(&bundle);
    let ended = runtime.call(&[&["exec", &id], args].concat());
    runtime.call(&["delete", "--force", &id]).ok();
    ended.code
}

fn delete_running(runtime: &Runtime) -> i32 {
    let bundle = Bundle::new(&["sleep", "60"]);
    let id = runtime.start(&bundle);
    let refused = runtime.call(&["delete", &id]);
    runtime.call(&["delete", "--force", &id]).ok();
    refused.code
}

/// The kernel keeps the first process of a pid namespace from killing itself.
fn killed_from_outside(runtime: &Runtime) -> i32 {
    let bundle = Bundle::new(&["sleep", "60"]);
    let (id, path) = (unique_id(), bundle.path().to_str().expect("UTF-8").to_owned());
    let mut run = runtime.command(&["run", "--bundle", &path, &id]).spawn().expect("it is there");
    wait_until("it runs", || {
        let state = runtime.call(&["state", &id]);
        state.code == 0 && state.json()["status"] == "running"
    });
    runtime.call(&["kill", &id, "KILL"]).ok();
    run.wait().expect("a child").code().expect("it exits")
}

/// The programs of a table's columns.
fn runtimes() -> [Runtime; 3] {
    let peers = ["runc", "crun"].map(|name| Runtime::of(name).without_hybrid());
    let [runc, crun] = peers;
    [Runtime::kickstage(), runc, crun]
}

#[test]
fn exit_codes_are_as_the_page_says() {
    let runtimes = runtimes();
    for row in table("what happens") {
        let tried: Vec<_> =
            runtimes.iter().map(|runtime| exit_code(runtime, &row[0]).to_string()).collect();
        assert_eq!(tried, row[1..], "{}", row[0]);
    }
}

/// A cell says one thing, or another on cgroup v2.
fn on_this_host(cell: &str) -> &str {
    let unified = is_v2();
    match cell.split_once("; ") {
        None => cell,
        Some((_, on_v2)) if unified => on_v2.strip_suffix(" on cgroup v2").expect("it says where"),
        Some((on_v1, _)) => on_v1,
    }
}

#[test]
fn what_is_refused_and_what_runs_is_as_the_page_says() {
    let [ours, runc, crun] = runtimes();
    let columns = [(&ours, None), (&ours, Some("--compat")), (&runc, None), (&crun, None)];
    for row in table("config.json") {
        let mut spans = code_spans(&row[0]);
        let (pointer, value) = (spans.next().expect("a pointer"), spans.next().expect("a value"));
        let value: Value = serde_json::from_str(value).expect("JSON");
        let bundle = Bundle::new(&["true"]).with(pointer, value);
        let path = bundle.path().to_str().expect("UTF-8");
        let tried: Vec<_> = columns
            .iter()
            .map(|(runtime, flag)| {
                let id = unique_id();
                let given: Vec<&str> =
                    flag.iter().copied().chain(["run", "--bundle", path, &id]).collect();
                let ended = runtime.call(&given);
                // crun 1.8.1 leaves a cgroup where v2 refuses the kernel's memory
                if std::ptr::eq(*runtime, &raw const ours) {
                    assert_nothing_left(runtime, &id);
                }
                if ended.code == 0 { "runs" } else { "refused" }
            })
            .collect();
        let told: Vec<&str> = row[1..].iter().map(|cell| on_this_host(cell)).collect();
        assert_eq!(tried, told, "{}", row[0]);
    }
}
