#!/bin/sh
# A user of a systemd host, with subordinate ids and a delegated cgroup v2 tree: what the tests
# that run as root can't show. Usage: rootless.sh KICKSTAGE BUSYBOX
set -eu
. "${0%/*}/bundle.sh"

"$kickstage" spec --rootless --bundle "$box"
config '.process.terminal = false | .process.args = ["/bin/busybox", "sleep", "100"]
  | (.linux.uidMappings, .linux.gidMappings) += [{"containerID": 1, "hostID": 100000, "size": 65536}]
  | .linux.resources = {"pids": {"limit": 50}, "memory": {"limit": 50003968}}
  | .mounts += [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}]'
"$kickstage" run --detach --bundle "$box" user </dev/null >/dev/null 2>"$box/log" || fail "run: $(cat "$box/log")"
inside() { "$kickstage" exec "$@"; }
[ "$(inside user /bin/busybox cat /sys/fs/cgroup/pids.max)" = 50 ] || fail "pids.max"
[ "$(inside user /bin/busybox cat /sys/fs/cgroup/memory.max)" = 50003968 ] || fail "memory.max"
[ "$(inside user /bin/busybox cat /proc/self/cgroup)" = "0::/" ] || fail "cgroup namespace"
[ "$(inside --user 5:6 user /bin/busybox id)" = "uid=5 gid=6" ] || fail "subordinate ids"
"$kickstage" kill user KILL
[ "$("$kickstage" wait user)" = 137 ] || fail "what the monitor keeps"
"$kickstage" delete --force user
[ -z "$(ls "$XDG_RUNTIME_DIR/kickstage")" ] || fail "state is left"
find /sys/fs/cgroup -name user -type d | grep -q . && fail "a cgroup is left"

# the same with the user's own systemd
"$kickstage" --systemd-cgroup run --detach --bundle "$box" unit </dev/null >/dev/null 2>"$box/log" || fail "run in a unit: $(cat "$box/log")"
[ "$(systemctl --user show kickstage-unit.scope -P MemoryMax)" = 50003968 ] || fail "MemoryMax of the unit"
[ "$(inside unit /bin/busybox cat /sys/fs/cgroup/pids.max)" = 50 ] || fail "pids.max in the unit"
"$kickstage" delete --force unit
[ -z "$(systemctl --user list-units --all --no-legend 'kickstage-unit*')" ] || fail "a unit is left"
# a config.json that says nothing of users: all ids that he has been given
rm "$box/config.json"
"$kickstage" spec --bundle "$box"
config '.process.terminal = false | .process.args = ["/bin/busybox", "sh", "-c", "id -u; id -g; cat /proc/self/uid_map"]
  | .process.user = {"uid": 7, "gid": 8} | .linux.resources = {"pids": {"limit": 50}}'
same "ids" "$("$kickstage" run --bundle "$box" plain </dev/null | xargs)" "7 8 0 $(id -u) 1 1 100000 65536"
# without a helper nothing but his own, and what that is not is refused by name
rm "$box/log"
without_helper() { PATH=/nowhere "$kickstage" run --bundle "$box" plain </dev/null 2>"$box/log"; }
without_helper && fail "a user without an id"
grep -q "/process/user/gid" "$box/log" || fail "a user without an id: $(cat "$box/log")"
config '.process.user = {"uid": 0, "gid": 0}'
same "his own id" "$(without_helper | xargs)" "0 0 0 $(id -u) 1"
echo "rootless: ok"
