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

# bundle NAME SCRIPT: what `spec` writes, without a terminal, to run a shell script
bundle() {
    name=$1
    box=/var/lib/kickstage/$name
    mkdir -p "$box/rootfs/bin" "$box/rootfs/proc" "$box/rootfs/dev" "$box/rootfs/sys"
    cp "$busybox" "$probe" "$box/rootfs/bin"
    ln -s busybox "$box/rootfs/bin/sh"
    /usr/local/bin/kickstage spec --bundle "$box"
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
does() { systemctl "$1" "kickstage@$name"; }
says() { journalctl --no-pager -o cat -u "kickstage@$name"; }
pid() { /usr/local/bin/kickstage state "$name" | jq .pid; }
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
    ! grep -q "/var/lib/kickstage/$name" /proc/self/mountinfo || fail "a mount is left"
    ! pgrep -f "kickstage monitor [0-9]* $name" >/dev/null || fail "a monitor is left"
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
/usr/local/bin/kickstage logs web 2>&1 | grep -q journalctl || fail "logs does not say where they are"
# it restarts
does restart
[ "$(pid)" != "$container" ] && [ "$(property MainPID)" != "$main" ] || fail "not restarted"
# what is set for the unit holds for the container
systemctl set-property --runtime kickstage@web MemoryMax=64M
[ "$(cat "/sys/fs/cgroup$group/memory.max")" = 67108864 ] || fail "memory.max"
# it stops by SIGTERM, which the program hears
does stop
until_ said bye
is Result success || fail "stopped: $(property Result)"
is ActiveState inactive || fail "still there"
nothing_left

# a program that does not end is killed
bundle deaf 'trap "" TERM; echo ready; busybox sleep 1000'
mkdir -p /run/systemd/system/kickstage@deaf.service.d
printf '[Service]\nTimeoutStopSec=1\n' >/run/systemd/system/kickstage@deaf.service.d/stop.conf
systemctl daemon-reload
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
mkdir -p /run/systemd/system/kickstage@big.service.d
printf '[Service]\nMemoryMax=30M\nMemorySwapMax=0\nOOMPolicy=stop\nTimeoutStopSec=1\nRestart=no\n' >/run/systemd/system/kickstage@big.service.d/limit.conf
systemctl daemon-reload
does start
until_ is ActiveState failed
is Result oom-kill || fail "too large: $(property Result)"
nothing_left

# the exit code is the program's
bundle code 'exit 42'
mkdir -p /run/systemd/system/kickstage@code.service.d
printf '[Service]\nRestart=no\n' >/run/systemd/system/kickstage@code.service.d/restart.conf
systemctl daemon-reload
does start || true
until_ is ActiveState failed
is ExecMainStatus 42 || fail "exit code $(property ExecMainStatus)"
nothing_left

# what can't be started is a failed start, and the journal has the reason
bundle none 'unused'
sed -i 's|"sh"|"/no/such/program"|' /var/lib/kickstage/none/config.json
mkdir -p /run/systemd/system/kickstage@none.service.d
printf '[Service]\nRestart=no\n' >/run/systemd/system/kickstage@none.service.d/restart.conf
systemctl daemon-reload
does start 2>/dev/null && fail "started"
until_ is ActiveState failed
says | grep -q /no/such/program || fail "no reason"
nothing_left

# a program that speaks sd_notify(3) says itself when it is ready
bundle speaks 'trap "exit 0" TERM; busybox sleep 1; echo ready now; probe notify READY=1 & wait'
mkdir -p /etc/kickstage
echo SUPERVISION= >/etc/kickstage/speaks.env
does start
said "ready now" || fail "not waited for"
[ "$(ps -o ppid= -p "$(pid)" | tr -d ' ')" = "$(property MainPID)" ] || fail "main process"
does stop
nothing_left
echo "systemd: ok"
