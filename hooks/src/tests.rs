use super::*;
use kickstage_config::Text;
use kickstage_config::state::Status;

fn hook(script: &str, timeout: Option<u32>) -> Hook {
    let text = |text: &str| Text::new(text).unwrap();
    Hook {
        path: text("/bin/sh"),
        args: alloc::vec![text("sh"), text("-c"), text(script)],
        env: alloc::vec![text("COLOUR=blue")],
        timeout,
    }
}

fn state() -> State {
    let mut state = State::new("1.0.2", "box", Status::Creating);
    state.annotations.insert("long".into(), "x".repeat(200_000));
    state
}

fn failure(script: &str, timeout: Option<u32>) -> Error {
    run("prestart", &[hook("true", None), hook(script, timeout)], &state()).unwrap_err()
}

#[test]
fn a_hook_gets_the_whole_state_and_only_its_own_environment() {
    let script = r#"test "$COLOUR" = blue && test -z "$HOME" && test "$(wc -c)" -gt 200000"#;
    run("prestart", &[hook(script, None)], &state()).unwrap();
}

#[test]
fn a_hook_that_reads_nothing_is_no_failure() {
    run("prestart", &[hook("exec <&-; exit 0", None)], &state()).unwrap();
}

#[test]
fn a_failure_quotes_the_output_and_names_the_hook() {
    let error = failure("echo one; echo two >&2; exit 3", None);
    assert_eq!(error.cause.as_deref(), Some("exited with status 3: one; two"));
    assert_eq!(error.key.as_deref(), Some("/hooks/prestart/1"));
}

#[test]
fn a_hook_over_its_time_is_killed_with_all_it_started() {
    let error = failure("sleep 60 & echo $!; wait", Some(1));
    let cause = error.cause.clone().unwrap();
    assert!(cause.starts_with("did not end within 1 s and was killed: "), "{cause}");
    let sleeper: i32 = cause.rsplit(' ').next().unwrap().parse().unwrap();
    // killed with its group; our subreaper or init reaps it
    let gone = || {
        let stat = std::fs::read_to_string(std::format!("/proc/{sleeper}/stat"));
        stat.is_err() || stat.unwrap().contains(") Z ")
    };
    let start = std::time::Instant::now();
    while !gone() {
        assert!(start.elapsed().as_secs() < 10, "the sleeper lives on");
        std::thread::yield_now();
    }
}

#[test]
fn a_child_that_keeps_the_output_open_does_not_hold_us_up() {
    let start = std::time::Instant::now();
    run("prestart", &[hook("sleep 30 & exit 0", None)], &state()).unwrap();
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn a_missing_program_is_told_with_its_path() {
    let mut missing = hook("true", None);
    missing.path = Text::new("/no/such/hook").unwrap();
    let error = run("poststop", &[missing], &state()).unwrap_err();
    assert!(
        std::format!("{error}").contains("/no/such/hook: exited with status 127: No such file")
    );
}
