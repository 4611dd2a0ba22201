//! `kickstage exec [FLAGS] ID COMMAND...`

use super::{given, launch};
use crate::arguments::{Parsed, absolute};
use crate::global::Global;
use crate::timeline::Timeline;
use kickstage_config::exec::{Exec, Task};
use kickstage_config::handoff::{self, Descriptors, Form};
use kickstage_config::record::{CgroupDir, Record};
use kickstage_config::state::Status;
use kickstage_config::{Error, Result, Role, Text};
use kickstage_stage1::exec::{Changes, read_process, with_state};
use kickstage_sys::{Fd, FdRef};

/// Executes a further program in a running container. A failure of ours is 255, so that callers
/// can tell it from one of the program.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    go(global, parsed).or_else(|error| {
        global.report.error(&error);
        Ok(255)
    })
}

fn go(global: &Global, parsed: &Parsed) -> Result<i32> {
    given::check_preserved(parsed.number("preserve-fds"))?;
    let timeline =
        Timeline::new(global.report.debug, global.trace.as_ref().map(|path| path.as_str().into()));
    timeline.start()?;
    let container = super::open(global, parsed)?;
    let record = container.record()?;
    match container.status()? {
        Status::Stopped => return Err(stopped()),
        // runc's words
        Status::Paused if !parsed.is_on("ignore-paused") => {
            return Err(Error::new(Role::Cli, "exec")
                .because("cannot exec in a paused container (use --ignore-paused to override)"));
        }
        _ => {}
    }
    let process = container.process()?.ok_or_else(stopped)?;
    let console = parsed.path("console-socket")?;
    let changes = changes(parsed)?;
    let bundle = absolute("the bundle", &record.bundle)?;
    let spec = kickstage_stage1::parse_config(&bundle, &container.config()?)?;
    let id = parsed.container()?;
    let mut decided = kickstage_stage1::exec::exec(
        &spec,
        &id,
        &changes,
        parsed.number("preserve-fds"),
        !parsed.is_on("no-new-keyring"),
        &global.judge,
    )?;
    global.warn();
    let console = given::console_socket(
        console.as_ref(),
        decided.process.console.is_some(),
        parsed.is_on("detach"),
    )?;
    let pidfd = parsed.path("pidfd-socket")?;
    let pidfd = pidfd.map(|path| given::connect_pidfd(path.as_str().as_ref())).transpose()?;
    if console.is_none() {
        launch::take_our_size(&mut decided.process);
    }
    Role::Stage1.mark("exec decided");
    let exec = Exec {
        container: process.raw(),
        container_pid: record.pid,
        namespaces: record.namespaces,
        cgroups: cgroups(record, &parsed.all("cgroup"))?,
        unit: record.unit.clone(),
        process: decided.process,
        oom_score_adj: decided.oom_score_adj,
        affinity: decided.affinity,
        listener: with_state(decided.listener, || container.state())?,
        detach: parsed.is_on("detach"),
        pid_file: parsed.path("pid-file")?,
        report: global.report.clone(),
        descriptors: Descriptors {
            console_socket: console.as_ref().map(Fd::raw),
            pidfd_socket: pidfd.as_ref().map(Fd::raw),
            timeline: timeline.descriptor(),
            ..Descriptors::default()
        },
    };
    let handoff = handoff::seal(&Task::Exec(Box::new(exec)), Form::Compact)?;
    let program = kickstage_embed::sealed_from_program()?;
    Role::Cli.mark("image sealed");
    let log = global.report.log_fd.map(FdRef::of_raw);
    let [console, pidfd] = [&console, &pidfd].map(|fd| fd.as_ref().map(Fd::borrow));
    let kept = [Some(handoff.borrow()), console, pidfd, log, Some(process.borrow())];
    timeline.around(|| launch::execute(&program, &handoff, &kept))
}

/// Engines look for these words.
fn stopped() -> Error {
    Error::new(Role::Cli, "exec").because("cannot exec in a stopped container")
}

fn changes(parsed: &Parsed) -> Result<Changes> {
    let texts = |name| parsed.all(name).into_iter().map(String::from).collect::<Vec<_>>();
    let text = |name| parsed.text(name).map(String::from);
    let (uid, gid) = parsed.text("user").map_or(Ok((None, None)), user)?;
    let mut additional_gids = Vec::new();
    for group in parsed.all("additional-gids") {
        additional_gids.push(number("additional-gids", group)?);
    }
    Ok(Changes {
        process: parsed.path("process")?.as_ref().map(read_process).transpose()?,
        args: parsed.words[1..].to_vec(),
        cwd: text("cwd"),
        env: texts("env"),
        uid,
        gid,
        additional_gids,
        capabilities: texts("cap"),
        no_new_privs: parsed.is_on("no-new-privs"),
        apparmor: text("apparmor"),
        label: text("process-label"),
        terminal: parsed.is_on("tty"),
    })
}

/// `UID[:GID]`, numbers only: names are the image's, and an image may lie (CVE-2016-3697).
fn user(text: &str) -> Result<(Option<u32>, Option<u32>)> {
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(number("user", gid)?)),
        None => (text, None),
    };
    Ok((Some(number("user", uid)?), gid))
}

/// u32::MAX means "leave it alone" to the kernel.
fn number(flag: &str, text: &str) -> Result<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = text.parse::<u32>().ok().filter(|number| digits && *number != u32::MAX);
    parsed.ok_or_else(|| {
        Error::new(Role::Cli, "parse arguments")
            .because(format!("--{flag}: {text:?} is not a number from 0 to 4294967294"))
            .remedy("users and groups are numbers here: UID[:GID]")
    })
}

/// Those of the container, or cgroups below them: `PATH`, or for v1 `CONTROLLER[,…]:PATH`.
fn cgroups(record: &Record, wanted: &[&str]) -> Result<Vec<CgroupDir>> {
    let mut dirs = record.cgroups.clone();
    for word in wanted {
        let (controllers, below) = match word.split_once(':') {
            Some((controllers, path)) => (Some(controllers), path),
            None => (None, *word),
        };
        let refused = |why: &str| {
            Error::new(Role::Cli, "parse arguments").because(format!("--cgroup {word}: {why}"))
        };
        if below.split('/').any(|part| part == "..") {
            return Err(refused("a path below the container's cgroup has no .."));
        }
        let below = below.trim_matches('/');
        let has =
            |dir: &CgroupDir, wanted: &str| dir.controllers.split(',').any(|own| own == wanted);
        let belongs = |dir: &CgroupDir| {
            controllers.is_none_or(|wanted| wanted.split(',').any(|wanted| has(dir, wanted)))
        };
        let mut found = false;
        for dir in dirs.iter_mut().filter(|dir| belongs(dir)) {
            found = true;
            if !below.is_empty() {
                dir.path = Text::new(format!("{}/{below}", dir.path))
                    .map_err(|_| refused("it holds a NUL"))?;
            }
        }
        if !found {
            return Err(refused("the container has no such controller"));
        }
    }
    Ok(dirs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kickstage_config::cgroup::Version;
    use proptest::prelude::*;

    #[test]
    fn users_are_numbers_and_nothing_else() {
        assert_eq!(user("0").unwrap(), (Some(0), None));
        assert_eq!(user("7:8").unwrap(), (Some(7), Some(8)));
        assert_eq!(
            user("010:01").unwrap(),
            (Some(10), Some(1)),
            "decimal, whatever it begins with"
        );
        for wrong in ["", "root", "1:", ":1", "+1", "-1", "4294967295", "4294967296", "1:2:3", "1 "]
        {
            assert!(user(wrong).is_err(), "{wrong:?}");
        }
    }

    fn record() -> Record {
        let dir = |controllers: &str| CgroupDir {
            version: Version::V1,
            controllers: controllers.into(),
            mount: Text::from_literal("/sys/fs/cgroup/x"),
            path: Text::from_literal("/box"),
            made: 1,
        };
        serde_json::from_value(serde_json::json!({
            "ociVersion": "1.3.0", "id": "box", "pid": 0, "bundle": "/b", "rootfs": "/r", "namespaces": 0, "created": 0,
            "ownerUid": 0, "process": null, "cgroups": [dir("cpu,cpuacct"), dir("memory")],
        }))
        .unwrap()
    }

    proptest! {
        #![proptest_config(kickstage_fuzz::seeded())]
        #[test]
        fn any_user_is_two_numbers_or_refused(
            text in kickstage_fuzz::text(
                &["0", "7:8", "4294967294:0"], &[":", "-1", "+1", " ", "4294967295", "0x1", "root"],
            ),
        ) {
            match user(&text) {
                Ok((uid, gid)) => {
                    prop_assert_eq!(text.contains(':'), gid.is_some());
                    for (id, part) in [uid, gid].into_iter().flatten().zip(text.split(':')) {
                        prop_assert_ne!(id, u32::MAX);
                        prop_assert!(part.bytes().all(|byte| byte.is_ascii_digit()));
                        prop_assert_eq!(Ok(id), part.parse());
                    }
                }
                Err(error) => prop_assert!(error.to_string().contains("--user")),
            }
        }

        #[test]
        fn any_cgroup_of_exec_is_below_the_containers_or_refused(
            words in prop::collection::vec(
                kickstage_fuzz::text(
                    &["a/b", "memory:/x", "cpu,memory:y"], &["..", "/", ":", "/../", ".", "\u{0}", ","],
                ),
                0..3,
            ),
        ) {
            let record = record();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let Ok(dirs) = cgroups(&record, &words) else { return Ok(()) };
            prop_assert_eq!(dirs.len(), record.cgroups.len());
            for dir in dirs {
                let path = dir.path.as_str();
                prop_assert!(path == "/box" || path.starts_with("/box/"), "{}", path);
                prop_assert!(path.split('/').all(|part| part != ".."), "{}", path);
            }
        }
    }
}
