#!/bin/sh
# The unit that we ship, under a real systemd with cgroup v2, as root:
# systemd.sh KICKSTAGE PROBE BUSYBOX UNIT
set -eu
kickstage=$1 probe=$2 busybox=$3 unit=$4
fail() {
    echo "systemd: $*" >&2
    systemctl status --no-pager "kickstage@$name" >&2 || true
    journalctl --no-pager -n 30 -u "kickstage@$name" >&2 || true
    exit 1
}
install -m 755 "$kickstage" /usr/local/bin/kickstage
install -m 644 "$unit" /etc/systemd/system
systemctl daemon-reload

kick() { /usr/local/bin/kickstage "$@"; }
# bundle NAME SCRIPT [PLACE]: what `spec` writes, without a terminal, to run a shell script
bundle() {
    name=$1
    box=${3:-/var/lib/kickstage/$name}
    mkdir -p "$box/rootfs/bin" "$box/rootfs/proc" "$box/rootfs/dev" "$box/rootfs/sys"
    cp "$busybox" "$probe" "$box/rootfs/bin"
    ln -s busybox "$box/rootfs/bin/sh"
    kick spec --bundle "$box"
    python3 - "$box/config.json" "$2" <<'PY'
import json, sys
path, script = sys.argv[1:]
config = json.load(open(path))
config["process"].update(terminal=False, args=["sh", "-c", script])
config["root"]["readonly"] = False
config["linux"]["resources"]["pids"] = {"limit": 50}
json.dump(config, open(path, "w"))
PY
}
property() { systemctl show --value -p "$1" "kickstage@$name"; }
# drop_in LINE...: settings of this service alone
drop_in() {
    mkdir -p "/run/systemd/system/kickstage@$name.service.d"
    printf '%s\n' '[Service]' "$@" >"/run/systemd/system/kickstage@$name.service.d/test.conf"
    systemctl daemon-reload
}
does() { systemctl "$1" "kickstage@$name"; }
says() { journalctl --no-pager -o cat -u "kickstage@$name"; }
pid() { kick state "$name" | jq .pid; }
# until CONDITION…: for a while
until_() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || fail "in vain until: $*"
        sleep 0.5
    done
}
is() { [ "$(property "$1")" = "$2" ]; }
said() { says | grep -qx "$1"; }
nothing_left() {
    [ ! -e "/run/kickstage/$name" ] || fail "state is left"
    [ -z "$(find /sys/fs/cgroup -name "kickstage@$name.service" -o -name "$name" -type d)" ] ||
        fail "a cgroup is left"
    ! grep -q "$box" /proc/self/mountinfo || fail "a mount is left"
    ! pgrep -f "kickstage monitor [0-9]* $name" >/dev/null || fail "a monitor is left"
}
in_group() { cat "/sys/fs/cgroup$(property ControlGroup)/$1"; }
frozen() { in_group "$name/cgroup.events" | grep -qx "frozen $1"; }
# anybody may look at it and do with it what can be done with any container
is_visited() {
    container=$(pid)
    [ "$(kick exec "$name" busybox echo there)" = there ] || fail "exec"
    kick exec --detach --pid-file /run/visitor "$name" busybox sleep 500 </dev/null >/dev/null 2>&1
    [ "$(cat "/proc/$(cat /run/visitor)/cgroup")" = "0::$(property ControlGroup)/$name" ] || fail "where exec is"
    kick ps "$name" | grep -q "sleep 500" || fail "ps: $(kick ps "$name")"
    kick pause "$name"
    frozen 1 || fail "not paused"
    [ "$(kick state "$name" | jq -r .status)" = paused ] || fail "state"
    is ActiveState active || fail "paused, it is not active"
    kick resume "$name"
    frozen 0 || fail "not resumed"
    [ "$(pid)" = "$container" ] || fail "it is another after visits"
}
was_throttled() { ! in_group cpu.stat | grep -qx "nr_throttled 0"; }
# what is set for the unit holds for the container
is_limited() {
    is CPUQuotaPerSecUSec infinity && ! was_throttled || fail "limited before"
    systemctl set-property --runtime "kickstage@$name" CPUQuota=20% TasksMax=15 MemoryMax=64M
    [ "$(in_group cpu.max) $(in_group pids.max) $(in_group memory.max)" = "20000 100000 15 67108864" ] || fail "files"
    kick exec --detach "$name" sh -c 'while :; do :; done' </dev/null >/dev/null 2>&1
    until_ was_throttled
    systemctl set-property --runtime "kickstage@$name" CPUQuota=
    kick exec "$name" sh -c 'for i in $(busybox seq 20); do busybox sleep 500 & done' >/dev/null 2>/run/said </dev/null || :
    grep -q "can't fork" /run/said || fail "no end of tasks: $(cat /run/said)"
}

# it starts, and its main process is the monitor
bundle web 'trap "echo bye; exit 0" TERM; echo hello; echo careful >&2; busybox sleep 1000 & wait'
does start
is ActiveState active || fail "not active"
main=$(property MainPID)
tr '\0' ' ' <"/proc/$main/cmdline" | grep -q "^kickstage monitor [0-9]* web " || fail "main process $main"
systemctl status --no-pager kickstage@web | grep -q "Main PID: $main" || fail "status"
container=$(pid)
[ "$(ps -o ppid= -p "$container" | tr -d ' ')" = "$main" ] || fail "the container is not the monitor's"
# its output is in the journal, and its cgroup below the unit's, with limits of its own
until_ said hello
until_ said careful
group=$(property ControlGroup)
[ "$(cat "/proc/$container/cgroup")" = "0::$group/web" ] || fail "$(cat "/proc/$container/cgroup")"
[ "$(cat "/sys/fs/cgroup$group/web/pids.max")" = 50 ] || fail "pids.max"
kick logs web 2>&1 | grep -q journalctl || fail "logs does not say where they are"
# it restarts
does restart
[ "$(pid)" != "$container" ] && [ "$(property MainPID)" != "$main" ] || fail "not restarted"
is_visited
is_limited
# it stops by SIGTERM, which the program hears
does stop
until_ said bye
is Result success || fail "stopped: $(property Result)"
is ActiveState inactive || fail "still there"
nothing_left

# a program that does not end is killed
bundle deaf 'trap "" TERM; echo ready; busybox sleep 1000'
drop_in TimeoutStopSec=1
does start
until_ said ready
does stop
is Result timeout || fail "stopped: $(property Result)"
nothing_left

# one that fails is started again, until it does not
bundle again 'echo run >>/runs; [ "$(busybox wc -l </runs)" -ge 3 ] || exit 3; busybox sleep 1000 & wait'
does start || true
until_ is NRestarts 2
until_ is ActiveState active
# and so is one whose monitor is killed
main=$(property MainPID)
kill -KILL "$main"
until_ is NRestarts 3
until_ is ActiveState active
[ "$(property MainPID)" != "$main" ] || fail "the dead is still the main process"
does stop
nothing_left

# the unit's memory is the container's
bundle big 'busybox dd if=/dev/zero of=/dev/shm/big bs=1M count=60; busybox sleep 1000 & wait'
drop_in MemoryMax=30M MemorySwapMax=0 OOMPolicy=stop TimeoutStopSec=1 Restart=no
does start
until_ is ActiveState failed
is Result oom-kill || fail "too large: $(property Result)"
nothing_left

# and what is killed for it is left to the program where nothing else is said
bundle large 'busybox tail -c 60000000 /dev/zero >/dev/null; echo "ended with $?"; busybox sleep 1000 & wait'
drop_in MemoryMax=30M MemorySwapMax=0 TimeoutStopSec=1
does start
until_ said "ended with 137"
until_ said ".*killed by the OOM killer.*"
is ActiveState active || fail "it ended for its child"
is NRestarts 0 || fail "it was started again"
does stop
nothing_left

# the exit code is the program's
bundle code 'exit 42'
drop_in Restart=no
does start || true
until_ is ActiveState failed
is ExecMainStatus 42 || fail "exit code $(property ExecMainStatus)"
nothing_left

# what can't be started is a failed start, and the journal has the reason
bundle none 'unused'
sed -i 's|"sh"|"/no/such/program"|' /var/lib/kickstage/none/config.json
drop_in Restart=no
does start 2>/dev/null && fail "started"
until_ is ActiveState failed
says | grep -q /no/such/program || fail "no reason"
nothing_left

# a bundle elsewhere
mkdir -p /etc/kickstage
echo BUNDLE=/srv/far >/etc/kickstage/far.env
bundle far 'echo from far; busybox sleep 1000 & wait' /srv/far
does start
until_ said "from far"
[ "$(kick state far | jq -r .bundle)" = /srv/far ] || fail "its bundle"
does stop
nothing_left

# speaks NAME SCRIPT: one that says itself when it is ready (sd_notify(3))
speaks() {
    bundle "$1" "$2"
    echo SUPERVISION= >"/etc/kickstage/$1.env"
}
speaks speaks 'trap "echo bye; exit 0" TERM; busybox sleep 1; echo ready now; probe notify READY=1 & wait'
does start
said "ready now" || fail "not waited for"
[ "$(ps -o ppid= -p "$(pid)" | tr -d ' ')" = "$(property MainPID)" ] || fail "main process"
is_visited
is_limited
does stop
until_ said bye
nothing_left

speaks mute 'busybox sleep 1000 & wait'
drop_in TimeoutStartSec=3 TimeoutStopSec=1 Restart=no
does start 2>/dev/null && fail "it has not said that it is ready"
is Result timeout || fail "never ready: $(property Result)"
nothing_left

speaks spoken 'echo run >>/runs; [ "$(busybox wc -l </runs)" -ge 2 ] || exit 42; probe notify READY=1 & wait'
does start || true
until_ is NRestarts 1
until_ is ActiveState active
says | grep -q "status=42" || fail "the exit code"
main=$(property MainPID)
kill -KILL "$main"
until_ is NRestarts 2
until_ is ActiveState active
does stop
nothing_left

speaks nothing 'unused'
sed -i 's|"sh"|"/no/such/program"|' "$box/config.json"
drop_in Restart=no
does start 2>/dev/null && fail "started"
says | grep -q /no/such/program || fail "no reason"
nothing_left
echo "systemd: ok"
