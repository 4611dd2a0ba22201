#!/bin/sh
# Control groups made by systemd on a host with cgroup v1, alone or with an empty v2 tree beside it
# (hybrid), as root. Usage: systemd-v1.sh KICKSTAGE BUSYBOX
set -eu
. "${0%/*}/bundle.sh"
[ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ] || fail "this is no host with cgroup v1"
# brings blkio.bfq.weight
modprobe bfq

"$kickstage" spec --bundle "$box"
config '.process.terminal = false | .process.args = ["/bin/busybox", "sleep", "1000"]
  | .linux.cgroupsPath = "machine-x.slice:pre:one"
  | .annotations = {"org.systemd.property.TimeoutStopSec": "7"}
  | .mounts += [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}]
  | .linux.resources.memory = {"limit": 50003968} | .linux.resources.pids = {"limit": 40}
  | .linux.resources.blockIO = {"weight": 60}
  | .linux.resources.cpu = {"quota": 20000, "period": 100000, "shares": 512, "cpus": "0", "mems": "0"}'
run() { "$kickstage" --systemd-cgroup "$@" </dev/null >/dev/null 2>"$box/log" || fail "$1: $(cat "$box/log")"; }
place=machine.slice/machine-x.slice/pre-one.scope
unit=pre-one.scope
file() { cat "/sys/fs/cgroup/$1/$place/$2"; }
groups_of() { cut -d: -f2- "/proc/$1/cgroup" | sort; }

run create --bundle "$box" one
"$kickstage" start one
pid=$("$kickstage" state one | jq .pid)
# in every hierarchy, also in those that are not systemd's
while IFS=: read -r _ controllers own; do
    same "the cgroup of $controllers" "$own" "/$place"
done <"/proc/$pid/cgroup"
same Slice "$(property $unit Slice)" machine-x.slice
same Delegate "$(property $unit Delegate)" yes
same MemoryLimit "$(property $unit MemoryLimit)" 50003968
same CPUShares "$(property $unit CPUShares)" 512
same BlockIOWeight "$(property $unit BlockIOWeight)" 60
same AllowedCPUs "$(property $unit AllowedCPUs)" 0
same AllowedMemoryNodes "$(property $unit AllowedMemoryNodes)" 0
same TasksMax "$(property $unit TasksMax)" 40
same CPUQuota "$(property $unit CPUQuotaPerSecUSec)" 200ms
same CPUQuotaPeriod "$(property $unit CPUQuotaPeriodUSec)" 100ms
same DevicePolicy "$(property $unit DevicePolicy)" strict
same TimeoutStop "$(property $unit TimeoutStopUSec)" 7s
# VALUES is what the files hold, and what the container itself sees
values() {
    for of in memory/memory.limit_in_bytes pids/pids.max cpu/cpu.shares cpu/cpu.cfs_quota_us cpuset/cpuset.cpus blkio/blkio.bfq.weight; do
        "$@" "$of"
    done | xargs
}
outside() { file "${1%/*}" "${1#*/}"; }
inside() { "$kickstage" exec one /bin/busybox cat "/sys/fs/cgroup/$1"; }
same "the files" "$(values outside)" "50003968 40 512 20000 0 60"
same "what the container sees" "$(values inside)" "50003968 40 512 20000 0 60"
same "an allowed device" "$("$kickstage" exec one /bin/sh -c 'echo x >/dev/null && echo may')" may
file devices devices.list >"$box/devices"
grep -q '^a' "$box/devices" && fail "all devices: $(cat "$box/devices")"

# who is added by exec is where the others are
"$kickstage" exec --detach --pid-file "$box/exec.pid" one /bin/busybox sleep 1000 </dev/null >/dev/null 2>&1
same "the cgroups of an exec" "$(groups_of "$(cat "$box/exec.pid")")" "$(groups_of "$pid")"
"$kickstage" pause one
same "a frozen one" "$(file freezer freezer.state)" FROZEN
"$kickstage" resume one

"$kickstage" update --memory 60002304 --pids-limit 30 --cpu-quota 30000 --cpu-share 256 --cpuset-cpus 0-1 --blkio-weight 80 one
same "updated files" "$(values inside)" "60002304 30 256 30000 0-1 80"
systemctl daemon-reload
same "after a reload" "$(values inside)" "60002304 30 256 30000 0-1 80"
same "the updated MemoryLimit" "$(property $unit MemoryLimit)" 60002304
same "the updated TasksMax" "$(property $unit TasksMax)" 30
same "the updated CPUShares" "$(property $unit CPUShares)" 256
same "the updated CPUQuota" "$(property $unit CPUQuotaPerSecUSec)" 300ms
same "the updated AllowedCPUs" "$(property $unit AllowedCPUs)" 0-1
same "the updated BlockIOWeight" "$(property $unit BlockIOWeight)" 80
same "where it is after a reload" "$(groups_of "$pid" | cut -d: -f2 | uniq)" "/$place"
"$kickstage" exec one /bin/sh -c 'echo x >/dev/null' || fail "devices after a reload"
same "devices after a reload" "$(file devices devices.list | sort)" "$(sort "$box/devices")"

# a second one of the same name is refused, and leaves the first alone
"$kickstage" --systemd-cgroup create --bundle "$box" two </dev/null >/dev/null 2>"$box/log" && fail "two of one unit"
grep -q "/linux/cgroupsPath" "$box/log" || fail "two of one unit: $(cat "$box/log")"
same "the first" "$("$kickstage" state one | jq -r .status)" running
same "its cgroups" "$(groups_of "$pid" | cut -d: -f2 | uniq)" "/$place"

nothing_left() {
    left=$(find /sys/fs/cgroup -type d -name "$1")
    [ -z "$left" ] || fail "cgroups are left: $left"
    [ -z "$(systemctl list-units --all --no-legend "$1")" ] || fail "a unit is left: $1"
}
"$kickstage" delete --force one
nothing_left 'pre-one*'

# a limit of a hierarchy that systemd has nothing to do with, and too much of one
config 'del(.annotations) | .linux.resources = {"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}'
run create --bundle "$box" one
same "a limit that systemd does not know" "$(file hugetlb hugetlb.2MB.limit_in_bytes)" 4194304
"$kickstage" delete --force one
nothing_left 'pre-one*'
config '.linux.resources = {"cpu": {"cpus": "0-4095"}}'
"$kickstage" --systemd-cgroup run --bundle "$box" one </dev/null >/dev/null 2>"$box/log" && fail "processors that are not there"
grep -q /linux/resources/cpu/cpus "$box/log" || fail "processors that are not there: $(cat "$box/log")"
nothing_left 'pre-one*'

# It is where runc has it, with the same values, but for what runc lacks: it knows no hierarchy misc
# and no /dev/console, and systemd takes its processes out of the devices again.
config '.linux.resources = {"devices": [{"allow": false, "access": "rwm"}], "memory": {"limit": 50003968, "reservation": 30003200},
  "pids": {"limit": 40}, "blockIO": {"weight": 300}, "cpu": {"quota": 20000, "period": 100000, "shares": 512, "cpus": "0"}}'
of() {
    "$1" --systemd-cgroup run --detach --bundle "$box" q </dev/null >/dev/null 2>"$box/log" || fail "$1: $(cat "$box/log")"
    groups_of "$("$1" state q | jq .pid)" | grep -Ev '^(misc|devices):'
    values outside
    file memory memory.soft_limit_in_bytes
    file devices devices.list | grep -v '^c 5:1 ' | sort
    systemctl show $unit -p Slice,Delegate,MemoryLimit,CPUShares,BlockIOWeight,TasksMax,CPUQuotaPerSecUSec,DevicePolicy,DefaultDependencies
    "$1" delete --force q
}
if command -v runc >/dev/null; then
    of runc >"$box/runc"
    of "$kickstage" >"$box/ours"
    diff "$box/runc" "$box/ours" >&2 || fail "the same as runc"
fi
nothing_left 'pre-one*'
config '.process.args = ["/bin/busybox", "true"] | .linux.resources = {} | .linux.cgroupsPath = ""'
run run --bundle "$box" short
nothing_left '*short*'
config '.linux.cgroupsPath = "machine.slice:pre:ended"'
run run --detach --bundle "$box" ended
"$kickstage" wait ended >/dev/null
no_unit 'pre-ended*' "the unit of an ended container is left"
"$kickstage" delete ended
nothing_left '*ended*'
[ -z "$(ls /run/kickstage)" ] || fail "state is left"
echo "systemd's control groups on v1: ok"
