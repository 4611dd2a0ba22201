//! The cluster's files.

use super::{Engine, Pattern, Who};
use crate::world::is_v2;
use kickstage_tests::runtime::built;
use std::fmt::Write;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// slurm.conf.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("slurm.conf")
}

/// Where the node daemon puts the bundles that it makes.
pub(super) fn spool(dir: &Path) -> PathBuf {
    dir.join("spool")
}

/// The runtime's state directory of a user: `%u` in oci.conf.
pub(super) fn states(dir: &Path, who: Who) -> PathBuf {
    dir.join(match who {
        Who::Root => "states-root",
        Who::Ordinary => "states-games",
    })
}

/// In the place of /tmp.
pub(super) fn logs(dir: &Path) -> PathBuf {
    dir.join("logs")
}

/// What oci.conf executes. A user may not be allowed to go where ours was built.
pub(super) fn program(dir: &Path, engine: &Engine) -> PathBuf {
    match engine {
        Engine::Kickstage => {
            let copy = dir.join("kickstage");
            fs::copy(built("kickstage"), &copy).expect("the program can be copied");
            copy
        }
        Engine::Runc => "runc".into(),
        Engine::Crun => "crun".into(),
    }
}

/// Writes everything that the daemons and commands read.
pub(super) fn write(dir: &Path, node: &str, program: &Path, pattern: Pattern) {
    fs::write(path(dir), slurm_conf(dir, node)).expect("writable");
    fs::write(dir.join("cgroup.conf"), cgroup_conf()).expect("writable");
    fs::write(dir.join("oci.conf"), oci_conf(dir, program, pattern)).expect("writable");
}

/// The example that we ship, with our own program and state directory in it.
fn oci_conf(dir: &Path, program: &Path, pattern: Pattern) -> String {
    let own = format!("{} --root={}/states-%u", program.display(), dir.display());
    let mut example = include_str!("../../../contrib/slurm/oci.conf").to_string();
    if pattern == Pattern::CreateStart {
        example = example
            .lines()
            .filter(|line| !line.starts_with("RunTimeRun="))
            .fold(String::new(), |text, line| {
                text + line.strip_prefix("#RunTime").map_or(line, |_| &line[1..]) + "\n"
            });
    }
    let text = example.replace(EXAMPLE, &own);
    let monitor = if program.ends_with("kickstage") {
        MONITOR.replace("/tmp", &logs(dir).display().to_string())
    } else {
        String::new()
    };
    text.replace(MONITOR, &monitor)
}

/// How the example calls the engine.
const EXAMPLE: &str = "/usr/local/bin/kickstage --root=/tmp/kickstage-%u";

/// What only ours has.
const MONITOR: &str = " --monitor --log-path=/tmp/slurm-%j.%s.log";

fn cgroup_conf() -> String {
    let plugin = if is_v2() { "cgroup/v2" } else { "cgroup/v1" };
    format!(
        "CgroupAutomount=no
CgroupPlugin={plugin}
ConstrainRAMSpace=yes
ConstrainCores=yes
"
    )
}

fn slurm_conf(dir: &Path, node: &str) -> String {
    let dir = dir.display();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("procfs is mounted");
    let host = host.trim();
    let [controller, daemon] = free_ports();
    let mut conf = format!(
        "ClusterName={node}
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={dir}/munge/socket
CredType=cred/munge
SlurmctldPort={controller}
SlurmdPort={daemon}
StateSaveLocation={dir}/controller
SlurmdSpoolDir={dir}/spool
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd.pid
"
    );
    write!(
        conf,
        "ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
DefMemPerCPU=64
KillWait=2
ReturnToService=2
PlugStackConfig=/dev/null
NodeName={node} NodeHostName={host} NodeAddr=127.0.0.1 CPUs=64 RealMemory=8192
PartitionName=all Nodes=ALL Default=YES State=UP
"
    )
    .expect("a String takes everything");
    conf
}

fn free_ports() -> [u16; 2] {
    let bound = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port is free"));
    bound.map(|listener| listener.local_addr().expect("it is bound").port())
}
