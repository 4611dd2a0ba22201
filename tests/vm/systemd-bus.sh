#!/bin/sh
# A bus that hangs, root's and a user's: what asks systemd for something ends in time, says what it
# was about, leaves nothing behind, and can be done again when the bus is back. As root of a guest with
# systemd and cgroup v2. Usage: systemd-bus.sh KICKSTAGE BUSYBOX
set -eu
. "${0%/*}/bundle.sh"
# between us and the bus: passes everything on until it has seen a word; without one, nothing at all
cat >"$box/bus.py" <<'END'
import socket, sys, threading
path, real, silent_after = sys.argv[1], sys.argv[2], sys.argv[3].encode()
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
def serve(client):
    if not silent_after:
        return threading.Event().wait()
    bus = socket.socket(socket.AF_UNIX)
    bus.connect(real)
    silent = threading.Event()
    def answer():
        while data := bus.recv(4096):
            if not silent.is_set():
                client.sendall(data)
    threading.Thread(target=answer, daemon=True).start()
    while data := client.recv(4096):
        if silent_after in data:
            silent.set()
        bus.sendall(data)
while True:
    threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
END
uid=$(id -u tester)
systemctl start "user@$uid.service"
chmod 755 "${box%/*}"
chown tester "$box"
bus=
# bus WORD: from now on that one
bus() {
    [ -z "$bus" ] || kill "$bus"
    rm -f "$box/bus"
    $as python3 "$box/bus.py" "$box/bus" "$real" "$1" 2>/dev/null &
    bus=$!
    tries=0
    until [ -S "$box/bus" ]; do
        [ $((tries += 1)) -lt 300 ] || fail "no bus"
        sleep 0.1
    done
}
ask() {
    code=0
    $as env "$variable=unix:path=$box/bus" timeout 60 "$kickstage" "$@" </dev/null >"$box/out" 2>"$box/log" || code=$?
}
# hangs WORD CODE COMMAND...
hangs() {
    bus "$1"
    at="after \"$1\"" wanted=$2
    shift 2
    ask "$@"
    same "exit code of $* when the bus hangs $at" "$code" "$wanted"
    for said in "no answer within $patience s" pre-hung.scope "$box/bus" --systemd-timeout; do
        grep -qF -e "$said" "$box/log" || fail "$* $at: $said is not told: $(cat "$box/log")"
    done
}
works() {
    ask "$@"
    same "exit code of $*: $(cat "$box/log")" "$code" 0
}
state() { $as "$kickstage" state hung | jq -r .status; }
running() { pgrep -f "sleep $1\$"; }
nothing_left() {
    [ -z "$($as "$kickstage" list -q)" ] || fail "state is left $1"
    ! running 1000 || fail "a process is left $1"
    tries=0
    until [ -z "$($as systemctl $manager list-units --all --no-legend 'pre-hung*')" ]; do
        [ $((tries += 1)) -lt 100 ] || fail "a unit is left $1"
        sleep 0.1
    done
    [ -z "$(find /sys/fs/cgroup -name 'pre-hung*')" ] || fail "a cgroup is left $1"
}
pids() { cat "$(find /sys/fs/cgroup -name pre-hung.scope)/pids.max"; }

for who in root tester; do
    case $who in
    root)
        as='' manager='' variable=DBUS_SYSTEM_BUS_ADDRESS real=/run/dbus/system_bus_socket
        "$kickstage" spec --bundle "$box"
        ;;
    tester)
        as="setpriv --reuid=tester --regid=tester --init-groups env HOME=/home/tester XDG_RUNTIME_DIR=/run/user/$uid"
        manager=--user variable=DBUS_SESSION_BUS_ADDRESS real=/run/user/$uid/bus
        rm "$box/config.json"
        $as "$kickstage" spec --rootless --bundle "$box"
        ;;
    esac
    config '.process.terminal = false | .process.args = ["/bin/busybox", "sleep", "1000"]
      | .linux.cgroupsPath = ":pre:hung" | .linux.resources = {"pids": {"limit": 40}}'
    chmod 644 "$box/config.json"
    create="--systemd-cgroup create --bundle $box hung"

    patience=2
    soon="--systemd-timeout $patience"
    for word in '' StartTransientUnit; do
        hangs "$word" 1 $soon $create
        nothing_left "by create of $who after \"$word\""
    done

    bus never
    works --systemd-timeout 15 $create
    works start hung
    # what was said then holds, and what is said now more
    patience=15
    hangs '' 1 update --pids-limit 30 hung
    same "pids.max when systemd was not told" "$(pids)" 40
    patience=2
    hangs SetUnitProperties 1 $soon update --pids-limit 30 hung
    same "the container that was not changed" "$(state)" running
    bus never
    works update --pids-limit 30 hung
    same "pids.max" "$(pids)" 30

    bus ''
    if [ $who = root ]; then
        # root has no need to ask
        works exec hung /bin/busybox true
    else
        # we are in a part of the tree that is not his
        for word in '' AttachProcessesToUnit; do
            hangs "$word" 255 $soon exec hung /bin/busybox sleep 2000
            ! running 2000 || fail "the process of exec is left"
        done
        bus never
        works exec hung /bin/busybox echo there
        same "what exec says" "$(cat "$box/out")" there
    fi

    for word in '' StopUnit; do
        $as "$kickstage" kill hung KILL 2>/dev/null || true
        tries=0
        until [ "$(state)" = stopped ]; do
            [ $((tries += 1)) -lt 100 ] || fail "it does not end"
            sleep 0.1
        done
        hangs "$word" 1 $soon delete hung
        same "what can be deleted again" "$(state)" stopped
    done
    bus never
    works delete hung
    nothing_left "by delete of $who"

    # by force it is a warning: systemd removes what has no process
    works $create
    works start hung
    hangs '' 0 $soon delete --force hung
    nothing_left "by delete --force of $who"
done
kill "$bus"
echo "systemd's bus: ok"
