#!/bin/sh
# Limits of RDMA adapters, with one that the kernel emulates above a network device (soft RoCE). As
# root of a guest with cgroup v2. Usage: rdma.sh KICKSTAGE BUSYBOX
set -eu
. "${0%/*}/bundle.sh"
if ! modprobe -q rdma_rxe; then
    echo "rdma: not tried, this guest's kernel comes without rdma_rxe"
    exit
fi
ip link add kt-eth type dummy
ip link set kt-eth up
rdma link add kt-rxe type rxe netdev kt-eth
"$kickstage" spec --bundle "$box"
config '.process.terminal = false | .process.args = ["/bin/busybox", "cat", "/sys/fs/cgroup/rdma.max"]
  | .linux.cgroupsPath = "/kt-rdma"
  | .mounts += [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}]'
# what the container sees of VALUES
seen() { config ".linux.resources.rdma = {\"kt-rxe\": $2}" && "$1" run --bundle "$box" limited </dev/null | xargs; }
for values in '{"hcaHandles": 3, "hcaObjects": 100}' '{"hcaHandles": 5}' '{"hcaObjects": 7}'; do
    ours=$(seen "$kickstage" "$values")
    case $values in
    *100*) same "$values" "$ours" "kt-rxe hca_handle=3 hca_object=100" ;;
    *5}) same "$values" "$ours" "kt-rxe hca_handle=5 hca_object=max" ;;
    *7}) same "$values" "$ours" "kt-rxe hca_handle=max hca_object=7" ;;
    esac
    # crun reads none of it
    if command -v runc >/dev/null; then same "as runc: $values" "$ours" "$(seen runc "$values")"; fi
done

config '.process.args = ["/bin/busybox", "sleep", "1000"] | .linux.resources.rdma = {"kt-rxe": {"hcaHandles": 3}}'
"$kickstage" run --detach --bundle "$box" limited </dev/null >/dev/null 2>"$box/log" || fail "$(cat "$box/log")"
echo '{"rdma": {"kt-rxe": {"hcaHandles": 9, "hcaObjects": 11}}}' | "$kickstage" update --resources - limited
same "after an update" "$("$kickstage" exec limited /bin/busybox cat /sys/fs/cgroup/rdma.max | xargs)" "kt-rxe hca_handle=9 hca_object=11"
"$kickstage" delete --force limited

config '.linux.resources.rdma = {"no-such": {"hcaHandles": 3}}'
"$kickstage" run --bundle "$box" limited </dev/null 2>"$box/log" && fail "an adapter that is not there"
grep -q "no-such.*/linux/resources/rdma/no-such" "$box/log" || fail "an adapter that is not there: $(cat "$box/log")"
[ ! -e /sys/fs/cgroup/kt-rdma ] || fail "a cgroup is left"
echo "rdma: ok"
