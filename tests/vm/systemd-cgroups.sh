#!/bin/sh
# Control groups made by systemd: what a host without it can't show. As root of a guest with
# systemd and cgroup v2. Usage: systemd-cgroups.sh KICKSTAGE BUSYBOX STRACE
set -eu
. "${0%/*}/bundle.sh"
strace=$3

"$kickstage" spec --bundle "$box"
config '.process.terminal = false | .process.args = ["/bin/busybox", "sleep", "1000"]
  | .linux.cgroupsPath = "machine-x.slice:pre:one"
  | .annotations = {"org.systemd.property.TimeoutStopSec": "7"}
  | .linux.resources.memory = {"limit": 50003968} | .linux.resources.pids = {"limit": 40}
  | .linux.resources.cpu = {"quota": 20000, "period": 100000, "shares": 512, "cpus": "0"}'
run() { "$kickstage" --systemd-cgroup "$@" </dev/null >/dev/null 2>"$box/log" || fail "$1: $(cat "$box/log")"; }

run create --bundle "$box" one
"$kickstage" start one
dir=/sys/fs/cgroup/machine.slice/machine-x.slice/pre-one.scope
unit=pre-one.scope
same Slice "$(property $unit Slice)" machine-x.slice
same Delegate "$(property $unit Delegate)" yes
same MemoryMax "$(property $unit MemoryMax)" 50003968
same TasksMax "$(property $unit TasksMax)" 40
same CPUQuota "$(property $unit CPUQuotaPerSecUSec)" 200ms
same AllowedCPUs "$(property $unit AllowedCPUs)" 0
same DevicePolicy "$(property $unit DevicePolicy)" strict
same TimeoutStop "$(property $unit TimeoutStopUSec)" 7s
same memory.max "$(cat $dir/memory.max)" 50003968
same cpu.max "$(cat $dir/cpu.max)" "20000 100000"

"$kickstage" exec one /bin/busybox true
"$kickstage" update --memory 60002304 --pids-limit 30 one
systemctl daemon-reload
same "memory.max after a reload" "$(cat $dir/memory.max)" 60002304
same "pids.max after a reload" "$(cat $dir/pids.max)" 30
same "cpu.max after a reload" "$(cat $dir/cpu.max)" "20000 100000"
same "the updated MemoryMax" "$(property $unit MemoryMax)" 60002304
# of quota and period each leaves the other
"$kickstage" update --cpu-period 50000 one
same "cpu.max with another period" "$(cat $dir/cpu.max)" "20000 50000"
"$kickstage" update --cpu-quota 30000 one
systemctl daemon-reload
same "cpu.max after another reload" "$(cat $dir/cpu.max)" "30000 50000"
same "the updated CPUQuota" "$(property $unit CPUQuotaPerSecUSec)" 600ms
# a limit below what is in use is refused before anybody writes it
echo '{"memory": {"limit": 4096, "checkBeforeUpdate": true}}' | "$kickstage" update --resources - one 2>"$box/log" && fail "4096 bytes"
grep -q "/linux/resources/memory" "$box/log" || fail "4096 bytes: $(cat "$box/log")"
same "the refused MemoryMax" "$(property $unit MemoryMax)" 60002304
same "the refused memory.max" "$(cat $dir/memory.max)" 60002304
"$kickstage" exec one /bin/busybox sh -c 'echo x >/dev/null' || fail "devices after a reload"

# a second one of the same name is refused, and leaves the first alone
"$kickstage" --systemd-cgroup create --bundle "$box" two </dev/null >/dev/null 2>"$box/log" && fail "two of one unit"
grep -q "/linux/cgroupsPath" "$box/log" || fail "two of one unit: $(cat "$box/log")"
same "the first" "$("$kickstage" state one | jq -r .status)" running

"$kickstage" delete --force one
[ ! -e $dir ] || fail "a cgroup is left"
[ -z "$(systemctl list-units --all --no-legend 'pre-one*')" ] || fail "a unit is left"

# the names are runc's, and nothing stays after a run in the foreground
config 'del(.annotations) | .linux.resources = {}'
for wanted in a.slice::n :p:n ::n a-b.slice:p:n; do
    config ".linux.cgroupsPath = \"$wanted\""
    where() {
        "$1" --systemd-cgroup run --detach --bundle "$box" q </dev/null >/dev/null 2>"$box/log" || fail "$1 $wanted: $(cat "$box/log")"
        cat "/proc/$("$1" state q | jq .pid)/cgroup"
        "$1" delete --force q
    }
    ours=$(where "$kickstage")
    case $wanted in
    a.slice::n) same "$wanted" "$ours" 0::/a.slice/-n.scope ;;
    :p:n) same "$wanted" "$ours" 0::/system.slice/p-n.scope ;;
    ::n) same "$wanted" "$ours" 0::/system.slice/-n.scope ;;
    a-b.slice:p:n) same "$wanted" "$ours" 0::/a.slice/a-b.slice/p-n.scope ;;
    esac
    if command -v runc >/dev/null; then same "runc's place for $wanted" "$ours" "$(where runc)"; fi
done

# a name that ends in .slice is the unit itself; runc tries that, too, and systemd refuses
config '.linux.cgroupsPath = "machine.slice:unused:machine-kt.slice" | .linux.resources.memory = {"limit": 50003968}'
run run --detach --bundle "$box" sliced
dir=/sys/fs/cgroup/machine.slice/machine-kt.slice
where() { cat "/proc/$1/cgroup"; }
same "the slice" "$(where "$("$kickstage" state sliced | jq .pid)")" 0::/machine.slice/machine-kt.slice
same "MemoryMax of the slice" "$(property machine-kt.slice MemoryMax)" 50003968
"$kickstage" exec --detach --pid-file "$box/exec.pid" sliced /bin/busybox sleep 1000 </dev/null >/dev/null 2>&1
same "an exec in the slice" "$(where "$(cat "$box/exec.pid")")" 0::/machine.slice/machine-kt.slice
"$kickstage" update --memory 60002304 sliced
systemctl daemon-reload
same "memory.max of the slice after a reload" "$(cat $dir/memory.max)" 60002304
# the processes of others are safe
"$kickstage" --systemd-cgroup run --bundle "$box" again </dev/null >/dev/null 2>"$box/log" && fail "two of one slice"
grep -q /linux/cgroupsPath "$box/log" || fail "two of one slice: $(cat "$box/log")"
config '.linux.cgroupsPath = "-.slice:unused:machine.slice"'
"$kickstage" --systemd-cgroup run --bundle "$box" again </dev/null >/dev/null 2>"$box/log" && fail "a slice of others"
grep -q /linux/cgroupsPath "$box/log" || fail "a slice of others: $(cat "$box/log")"
same "the one that was there" "$("$kickstage" state sliced | jq -r .status)" running
same "its memory.max" "$(cat $dir/memory.max)" 60002304
"$kickstage" delete --force sliced
[ ! -e $dir ] || fail "the cgroup of a slice is left"
[ -z "$(systemctl list-units --all --no-legend 'machine-kt*')" ] || fail "a slice is left"

config '.linux.cgroupsPath = "" | .linux.resources = {} | .process.args = ["/bin/busybox", "true"]'
run run --bundle "$box" short
[ -z "$(systemctl list-units --all --no-legend 'kickstage-short*')" ] || fail "a unit of a short run is left"

# one that fails early says why, though systemd has taken its cgroup away while we were slow
config '.process.args = ["/bin/none"]'
"$strace" -o "$box/calls" -e trace=bpf -e inject=bpf:delay_enter=1500000 \
    "$kickstage" --systemd-cgroup run --bundle "$box" early </dev/null 2>"$box/log" && fail "a program that is not there"
grep -q ENOENT "$box/calls" || fail "the cgroup was still there: $(cat "$box/calls")"
grep -q "no such file.*/process/args" "$box/log" || fail "the reason of an early end is lost: $(cat "$box/log")"
config '.process.args = ["/bin/busybox", "true"]'

# the unit of a container that ends by itself ends as well, before anybody deletes the container
config '.linux.cgroupsPath = "machine.slice:pre:ended"'
run run --detach --bundle "$box" ended
"$kickstage" wait ended >/dev/null
no_unit 'pre-ended*' "the unit of an ended container is left"
[ -z "$(find /sys/fs/cgroup -name 'pre-ended*')" ] || fail "the cgroup of an ended container is left"
"$kickstage" delete ended
config '.linux.cgroupsPath = "/a/b"'
"$kickstage" --systemd-cgroup run --bundle "$box" path </dev/null 2>"$box/log" && fail "a path as unit"
grep -q "slice:prefix:name" "$box/log" || fail "a path as unit: $(cat "$box/log")"
[ -z "$(ls /run/kickstage)" ] || fail "state is left"
echo "systemd's control groups: ok"
