#!/bin/sh
# A user of a systemd host, with subordinate ids and a delegated cgroup v2 tree: what the tests
# that run as root can't show. Usage: rootless.sh KICKSTAGE BUSYBOX
set -eu
. "${0%/*}/bundle.sh"

"$kickstage" spec --rootless --bundle "$box"
python3 - "$box/config.json" <<'EOF'
import json, sys
path = sys.argv[1]
config = json.load(open(path))
config["process"].update(terminal=False, args=["/bin/busybox", "sleep", "100"])
linux = config["linux"]
for kind in ("uidMappings", "gidMappings"):
    linux[kind].append({"containerID": 1, "hostID": 100000, "size": 65536})
linux["resources"] = {"pids": {"limit": 50}, "memory": {"limit": 50003968}}
config["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]})
json.dump(config, open(path, "w"))
EOF
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
echo "rootless: ok"
