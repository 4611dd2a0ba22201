//! podman: limits, seen by their effect, and what a container is told of them.

use kickstage_clients::podman::Podman;
use kickstage_clients::program::run;
use kickstage_clients::world::{Cgroup, OUT_OF_MEMORY, conmon_tells_of_oom, wait_until};

#[test]
fn a_container_that_takes_too_much_memory_is_killed_and_shown_as_such() {
    let podman = Podman::new();
    let limits = ["--memory", "30m", "--memory-swap", "30m"];
    let greedy = podman.create(&limits, &["sh", "-c", OUT_OF_MEMORY]);
    // podman 4 reads what conmon says of it there, and conmon 2.1 says it where it was started
    let directory = greedy.inspect(".StaticDir");
    run(podman.command(&["init", &greedy.name]).current_dir(&directory)).ok();
    let conmon = std::fs::read_to_string(greedy.inspect(".ConmonPidFile")).unwrap();
    let told = std::path::Path::new(&directory).join("oom");
    conmon_tells_of_oom(conmon.trim().parse().unwrap(), greedy.pid(), &told, || {
        greedy.call("start", &[]).ok();
    });
    greedy.call("kill", &[]).ok();
    assert_eq!(greedy.call("wait", &[]).ok().stdout.trim(), "137");
    assert_eq!(greedy.inspect(".State.OOMKilled"), "true");
    let modest = podman.start(&limits, &["true"]);
    assert_eq!(modest.call("wait", &[]).ok().stdout.trim(), "0");
    assert_eq!(modest.inspect(".State.OOMKilled"), "false");
}

#[test]
fn processors_memory_and_processes_are_limited_in_the_kernel() {
    let podman = Podman::new();
    let running = podman.idle(&[
        "--memory",
        "64m",
        "--cpus",
        "0.5",
        "--pids-limit",
        "20",
        "--cpu-shares",
        "512",
    ]);
    let cgroup = Cgroup::of(running.pid());
    assert_eq!(cgroup.read("memory", "memory.limit_in_bytes", "memory.max"), "67108864");
    assert_eq!(cgroup.read("pids", "pids.max", "pids.max"), "20");
    let quota = if cgroup.is_v2() { "50000 100000" } else { "50000" };
    // how shares become a weight has changed in all engines: 20 is the older answer
    let shares = if cgroup.is_v2() { ["20", "59"] } else { ["512"; 2] };
    assert_eq!(cgroup.read("cpu", "cpu.cfs_quota_us", "cpu.max"), quota);
    assert!(shares.contains(&&*cgroup.read("cpu", "cpu.shares", "cpu.weight")));
    let bomb = "n=0; while [ $n -lt 40 ]; do sleep 100 & n=$((n+1)); done; echo all";
    let refused = running.exec(&["sh", "-c", bomb]);
    assert!(!refused.stdout.contains("all"), "{refused:?}");
}

#[test]
fn limits_of_a_running_container_change() {
    let podman = Podman::new();
    let running = podman.idle(&["--memory", "64m"]);
    let cgroup = Cgroup::of(running.pid());
    let limits = ["--memory", "96m", "--cpus", "0.25"];
    podman.call(&[&["update"], &limits[..], &[running.name.as_str()]].concat()).ok();
    assert_eq!(cgroup.read("memory", "memory.limit_in_bytes", "memory.max"), "100663296");
    let quota = if cgroup.is_v2() { "25000 100000" } else { "25000" };
    assert_eq!(cgroup.read("cpu", "cpu.cfs_quota_us", "cpu.max"), quota);
}

#[test]
fn the_cgroup_is_gone_after_the_container() {
    let podman = Podman::new();
    let running = podman.idle(&[]);
    let cgroup = Cgroup::of(running.pid());
    assert!(cgroup.exists());
    running.call("stop", &["--time", "60"]).ok();
    wait_until("the cgroup is gone", || !cgroup.exists());
}

#[test]
fn resource_limits_of_processes_are_set() {
    let podman = Podman::new();
    let flags = [
        "--ulimit",
        "nofile=300:400",
        "--ulimit",
        "core=0",
        "--ulimit",
        "fsize=4096",
        "--ulimit",
        "nproc=4000:4000",
    ];
    let script = "ulimit -n; ulimit -Hn; ulimit -c; ulimit -f; ulimit -u";
    assert_eq!(podman.shell(&flags, script), "300\n400\n0\n8\n4000");
    let running = podman.idle(&flags);
    assert_eq!(running.exec(&["sh", "-c", "ulimit -n"]).ok().stdout, "300\n", "exec has them too");
}

#[test]
fn kernel_parameters_of_the_containers_namespaces_are_set() {
    let podman = Podman::new();
    let flags =
        ["--sysctl", "net.ipv4.ip_unprivileged_port_start=81", "--sysctl", "kernel.msgmax=8191"];
    let script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax";
    assert_eq!(podman.shell(&flags, script), "81\n8191");
}

#[test]
fn the_oom_score_and_the_size_of_shared_memory_are_set() {
    let podman = Podman::new();
    let flags = ["--oom-score-adj", "500", "--shm-size", "5m"];
    let script = "cat /proc/self/oom_score_adj; busybox df -k /dev/shm | busybox tail -n 1 | busybox awk '{print $2}'";
    assert_eq!(podman.shell(&flags, script), "500\n5120");
}

#[test]
fn a_container_may_stay_in_podmans_own_cgroup() {
    let podman = Podman::new();
    let inside =
        podman.shell(&["--cgroups", "disabled", "--cgroupns", "host"], "cat /proc/self/cgroup");
    let ours = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    assert_eq!(inside, ours.trim());
}

#[test]
fn cgroups_are_shown_below_the_containers_own() {
    let podman = Podman::new();
    let script = "cat /proc/self/cgroup";
    let private = podman.shell(&["--cgroupns", "private"], script);
    assert!(private.lines().all(|line| line.ends_with(":/")), "{private}");
    let host = podman.shell(&["--cgroupns", "host"], script);
    let place = if podman.names_cgroups() { "libpod" } else { ".slice/" };
    assert!(host.contains(place), "{host}");
}
