//! `srun --container` and `sbatch --container`, as root and as an ordinary user, with the oci.conf
//! that we ship.

use kickstage_clients::slurm::{Engine, Pattern, Slurm, Who, bundle};
use kickstage_clients::world::wait_until;
use kickstage_tests::Ended;
use kickstage_tests::runtime::ended;
use nix::sys::signal::Signal;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::process::Stdio;

fn kickstage() -> Slurm {
    Slurm::new(&Engine::Kickstage, Pattern::Run)
}

fn only(script: &str) -> [&str; 3] {
    ["sh", "-c", script]
}

#[test]
fn a_step_gets_its_words_its_environment_and_the_bundles_directory() {
    let slurm = kickstage();
    for who in Who::ALL {
        let bundle = bundle(who)
            .with("/process/cwd", json!("/etc"))
            .with("/process/env", json!(["PATH=/bin", "OF_THE_BUNDLE=yes"]));
        let script = "echo $0 $OF_THE_BUNDLE $OF_THE_STEP $SLURM_JOB_UID; pwd; id -u";
        let mut command = slurm.command(who, "srun");
        command.env("OF_THE_STEP", "too").arg(format!("--container={}", bundle.path().display()));
        let seen = kickstage_clients::program::run(command.args(["sh", "-c", script, "a b"])).ok();
        let uid = if who == Who::Root { 0 } else { 5 };
        // in its user namespace he is root
        assert_eq!(seen.stdout, format!("a b yes too {uid}\n/etc\n0\n"));
    }
    slurm.assert_nothing_left();
}

#[test]
fn exit_codes_arrive() {
    let slurm = kickstage();
    for who in Who::ALL {
        for code in [0, 1, 42, 255] {
            let exit = format!("exit {code}");
            assert_eq!(slurm.srun(who, &bundle(who), &[], &only(&exit)).code, code, "{who:?}");
        }
    }
    slurm.assert_nothing_left();
}

#[test]
fn a_program_that_is_not_there_is_an_error_that_names_it() {
    let slurm = kickstage();
    for who in Who::ALL {
        let failed = slurm.srun(who, &bundle(who), &[], &["/no/such/program"]);
        assert_ne!(failed.code, 0);
        assert!(failed.stderr.contains("/no/such/program"), "{failed:?}");
    }
    slurm.assert_nothing_left();
}

#[test]
fn input_arrives_byte_by_byte_and_ends() {
    let slurm = kickstage();
    let sent: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    for who in Who::ALL {
        let bundle = bundle(who);
        let mut command = slurm.command(who, "srun");
        command.arg(format!("--container={}", bundle.path().display())).arg("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut srun = command.spawn().unwrap();
        let mut input = srun.stdin.take().unwrap();
        let writer = std::thread::spawn({
            let sent = sent.clone();
            move || input.write_all(&sent).unwrap()
        });
        let output = srun.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success());
        assert!(output.stdout == sent, "{} bytes of {}", output.stdout.len(), sent.len());
    }
    slurm.assert_nothing_left();
}

/// Says which signals came, and ends by TERM or USR1 with a code of its own.
const LISTENS: &str = "trap 'echo TERM' TERM; trap 'echo USR1' USR1; trap 'exit 7' USR2; \
                       echo ready; while :; do sleep 0.05; done";

#[test]
fn signals_arrive_once_and_the_exit_code_is_the_programs() {
    let slurm = kickstage();
    for who in Who::ALL {
        let bundle = bundle(who);
        let out = slurm.dir().join(format!("signals-{who:?}"));
        let (srun, job) = slurm.srun_until_ready(who, &bundle, LISTENS, &out);
        let says = |text: &str| fs::read_to_string(&out).unwrap().contains(text);
        slurm.call(who, "scancel", &["--signal=USR1", &job]).ok();
        wait_until("USR1 has come", || says("USR1\n"));
        slurm.call(who, "scancel", &["--signal=USR2", &job]).ok();
        assert_eq!(srun.wait_with_output().unwrap().status.code(), Some(7));
        assert_eq!(fs::read_to_string(&out).unwrap().matches("USR1\n").count(), 1);
    }
    slurm.assert_nothing_left();
}

#[test]
fn scancel_asks_the_program_and_then_kills_it() {
    let slurm = kickstage();
    for who in Who::ALL {
        let bundle = bundle(who);
        let out = slurm.writable(who).join("out");
        // it does not end by TERM
        let job = slurm.sbatch(who, &bundle, &[], LISTENS, &out);
        let says = |text: &str| fs::read_to_string(&out).is_ok_and(|said| said.contains(text));
        wait_until("it is ready", || says("ready\n"));
        slurm.call(who, "scancel", &["--full", &job]).ok();
        slurm.exit_codes(&job);
        assert!(says("TERM\n"), "{:?}", fs::read_to_string(&out));
        // the engine was killed with it: what it left Slurm clears away by the other lines
        slurm.assert_nothing_left();
    }
}

#[test]
fn a_batch_script_runs_in_the_container_with_its_arguments() {
    let slurm = kickstage();
    for who in Who::ALL {
        let out = slurm.writable(who).join("out");
        let script = "echo from $0; [ -e /bin/probe ] && echo inside; exit 9";
        let bundle = bundle(who);
        let job = slurm.sbatch(who, &bundle, &[], script, &out);
        assert_eq!(slurm.exit_codes(&job), ["9:0"], "{}", fs::read_to_string(&out).unwrap());
        assert_eq!(fs::read_to_string(&out).unwrap(), "from /tmp/slurm/startup\ninside\n");
    }
    slurm.assert_nothing_left();
}

#[test]
fn an_array_of_fifty_containers_leaves_nothing() {
    let slurm = kickstage();
    let bundle = bundle(Who::Ordinary);
    let dir = slurm.writable(Who::Ordinary);
    let script = "echo $SLURM_ARRAY_TASK_ID; exit $((SLURM_ARRAY_TASK_ID % 5))";
    let job = slurm.sbatch(Who::Ordinary, &bundle, &["--array=1-50"], script, &dir.join("%a"));
    let mut codes = slurm.exit_codes(&job);
    codes.sort();
    let wanted: Vec<String> = (0..5).flat_map(|code| vec![format!("{code}:0"); 10]).collect();
    assert_eq!(codes, wanted);
    for task in 1..=50 {
        let said = fs::read_to_string(dir.join(task.to_string())).unwrap();
        assert_eq!(said, format!("{task}\n"));
    }
    slurm.assert_nothing_left();
}

#[test]
fn the_limits_of_the_job_are_the_containers() {
    let slurm = kickstage();
    for who in Who::ALL {
        let bundle = bundle(who);
        let cpus = only(
            "while read -r line; do case $line in Cpus_allowed_list:*) echo ${line#*:};; esac; \
                         done < /proc/self/status",
        );
        let one = slurm.srun(who, &bundle, &["--cpus-per-task=1"], &cpus).ok();
        // a single number: neither a range nor a list
        assert!(one.stdout.trim().parse::<u32>().is_ok(), "{one:?}");
        // tail keeps all in memory until the first line end
        let eat = only("busybox head -c 60000000 /dev/zero | busybox tail -n 1 | busybox wc -c");
        let fits = slurm.srun(who, &bundle, &["--mem=200"], &eat).ok();
        assert_eq!(fits.stdout, "60000000\n", "{who:?}");
        let killed = slurm.srun(who, &bundle, &["--mem=20"], &eat);
        assert_eq!(killed.stdout, "0\n", "{who:?}: {killed:?}");
    }
    slurm.assert_nothing_left();
}

#[test]
fn two_steps_of_a_job_run_at_once() {
    let slurm = kickstage();
    for who in Who::ALL {
        let bundle = bundle(who);
        let dir = slurm.writable(who);
        // each waits for the other
        let bundle = bundle.adding(
            "/mounts",
            json!({"destination": "/tmp/meet", "type": "bind", "source": dir, "options": ["rbind"]}),
        );
        let step = |own: &str, other: &str| {
            format!(
                "srun -n1 --exact --container={} sh -c \
                 'echo > /tmp/meet/{own}; until [ -e /tmp/meet/{other} ]; do sleep 0.05; done; echo {own}'",
                bundle.path().display()
            )
        };
        let both = format!("{} & {}; wait", step("a", "b"), step("b", "a"));
        let seen = slurm.call(who, "salloc", &["-n2", "--mem-per-cpu=50", "sh", "-c", &both]).ok();
        let mut said: Vec<&str> = seen.stdout.split_whitespace().collect();
        said.sort_unstable();
        assert_eq!(said, ["a", "b"], "{seen:?}");
    }
    slurm.assert_nothing_left();
}

/// What a user sees of a container: its output and its exit code.
fn seen(ended: &Ended) -> (i32, String) {
    (ended.code, ended.stdout.clone())
}

#[test]
fn runc_and_crun_under_the_same_configuration_do_the_same() {
    let engines = [Engine::Kickstage, Engine::Runc, Engine::Crun];
    let cases: [&[&str]; 5] = [
        &["id"],
        &only("exit 3"),
        &only("echo $SLURM_PROCID $SLURM_NTASKS; pwd"),
        &only("cat; echo end"),
        &only("kill -9 $$; sleep 0.1; echo alive"),
    ];
    let mut results = engines.iter().map(|engine| {
        let slurm = Slurm::new(engine, Pattern::Run);
        let mut all = Vec::new();
        for who in Who::ALL {
            let bundle = bundle(who);
            all.extend(cases.map(|words| seen(&slurm.srun(who, &bundle, &[], words))));
        }
        slurm.assert_nothing_left();
        all
    });
    let ours = results.next().unwrap();
    for (engine, theirs) in engines[1..].iter().zip(results) {
        assert_eq!(ours, theirs, "{engine:?}");
    }
}

#[test]
fn two_tasks_of_one_step_are_too_many_for_slurm_itself() {
    let results = [Engine::Kickstage, Engine::Runc].map(|engine| {
        let slurm = Slurm::new(&engine, Pattern::Run);
        // no runtime is asked
        seen(&slurm.srun(Who::Root, &bundle(Who::Root), &["-n2"], &["true"]))
    });
    assert_ne!(results[0].0, 0, "two tasks have become possible: test them");
    assert_eq!(results[0], results[1]);
}

/// The one log of a monitor, as soon as it has this line.
#[track_caller]
fn logged(slurm: &Slurm, line: &str) -> String {
    let line = format!(" stdout F {line}");
    let read = || {
        let entry = fs::read_dir(slurm.logs()).unwrap().next()?;
        fs::read_to_string(entry.unwrap().path()).ok()
    };
    wait_until("the log has the line", || {
        read().is_some_and(|text| text.lines().any(|seen| seen.ends_with(&line)))
    });
    read().unwrap()
}

#[test]
fn create_and_start_have_output_in_a_log_and_no_exit_code() {
    for who in Who::ALL {
        let slurm = Slurm::new(&Engine::Kickstage, Pattern::CreateStart);
        let bundle = bundle(who);
        let ended = slurm.srun(who, &bundle, &[], &only("echo to the log; exit 7"));
        assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{ended:?}");
        logged(&slurm, "to the log");
        let failed = slurm.srun(who, &bundle, &[], &["/no/such/program"]);
        assert_ne!(failed.code, 0);
        assert!(failed.stderr.contains("container never started"), "{failed:?}");
        slurm.assert_nothing_left();
    }
}

#[test]
fn create_and_start_have_a_signal_end_the_job_and_not_arrive() {
    for who in Who::ALL {
        let slurm = Slurm::new(&Engine::Kickstage, Pattern::CreateStart);
        let bundle = bundle(who);
        let (srun, job) = slurm.srun_in_background(who, &bundle, &only(LISTENS));
        logged(&slurm, "ready");
        slurm.call(who, "scancel", &["--signal=USR1", &job]).ok();
        let ended = ended(srun.wait_with_output().unwrap());
        assert_eq!(ended.code, 128 + Signal::SIGUSR1 as i32, "{ended:?}");
        slurm.assert_nothing_left();
        assert!(!logged(&slurm, "ready").contains("USR1"));
    }
}

/// Whether Slurm has the pipe open that a process writes to.
fn slurm_reads_from(pid: &str) -> bool {
    let output = fs::read_link(format!("/proc/{pid}/fd/1")).unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes
        .filter(|path| {
            fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm == "slurmstepd\n")
        })
        .flat_map(|path| fs::read_dir(path.join("fd")).into_iter().flatten().flatten())
        .any(|open| fs::read_link(open.path()).is_ok_and(|link| link == output))
}

#[test]
fn slurm_never_starts_what_runc_has_created() {
    let slurm = Slurm::new(&Engine::Runc, Pattern::CreateStart);
    for who in Who::ALL {
        let bundle = bundle(who);
        let (mut srun, job) = slurm.srun_in_background(who, &bundle, &only("echo ran"));
        let mut created = None;
        wait_until("runc has created it, and ended", || {
            created = slurm.created_by_runc(who);
            created.is_some() && slurm.processes().is_empty()
        });
        // so no end of that output comes
        assert!(slurm_reads_from(&created.unwrap()));
        assert!(srun.try_wait().unwrap().is_none());
        slurm.call(who, "scancel", &[&job]).ok();
        let ended = ended(srun.wait_with_output().unwrap());
        assert_eq!(ended.code, 128 + Signal::SIGTERM as i32, "{ended:?}");
        assert_eq!(ended.stdout, "");
        slurm.assert_nothing_left();
    }
}
