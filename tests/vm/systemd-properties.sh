#!/bin/sh
# Each limit is told to systemd by systemd's own name for it, so that it stays when systemd writes its
# idea of the unit again. As root of a guest with systemd and cgroup v2.
# Usage: systemd-properties.sh KICKSTAGE BUSYBOX
set -eu
. "${0%/*}/bundle.sh"
# brings io.bfq.weight
modprobe bfq
disk=$(lsblk --noheadings --nodeps --output MAJ:MIN /dev/vda | tr -d ' ')
unit=pre-all.scope
dir=/sys/fs/cgroup/machine.slice/$unit

# are_known TABLE WHEN: each line of the table has a property and its value, and the file that says
# the same; a file of several values is named with the one that counts
are_known() {
    while IFS='|' read -r name value file content; do
        same "$name $2" "$(property $unit "$name")" "$value"
        case $file in
        io.max/*) found=$(sed -n "s/^$disk .*\(${file#*/}=[^ ]*\).*/\1/p" "$dir/io.max") ;;
        *) found=$(cat "$dir/$file") ;;
        esac
        same "$file $2" "$found" "$content"
    done <"$1"
}
sed "s/DISK/$disk/" >"$box/created" <<'END'
MemoryMax|50003968|memory.max|50003968
MemoryLow|30003200|memory.low|30003200
MemoryHigh|40001536|memory.high|40001536
MemoryMin|4096|memory.min|4096
MemorySwapMax|10002432|memory.swap.max|10002432
TasksMax|40|pids.max|40
CPUWeight|59|cpu.weight|59
CPUQuotaPerSecUSec|250ms|cpu.max|50000 200000
CPUQuotaPeriodUSec|200ms|cpu.max|50000 200000
AllowedCPUs|0|cpuset.cpus|0
AllowedMemoryNodes|0|cpuset.mems|0
IOWeight|2300|io.bfq.weight|default 300
IOReadBandwidthMax|/dev/block/DISK 1000001|io.max/rbps|rbps=1000001
IOWriteBandwidthMax|/dev/block/DISK 2000002|io.max/wbps|wbps=2000002
IOReadIOPSMax|/dev/block/DISK 303|io.max/riops|riops=303
IOWriteIOPSMax|/dev/block/DISK 404|io.max/wiops|wiops=404
END
sed "s/DISK/$disk/" >"$box/updated" <<'END'
MemoryMax|60002304|memory.max|60002304
MemoryLow|20000768|memory.low|20000768
MemoryHigh|45002752|memory.high|45002752
MemoryMin|8192|memory.min|8192
MemorySwapMax|20000768|memory.swap.max|20000768
TasksMax|30|pids.max|30
CPUWeight|35|cpu.weight|35
CPUQuotaPerSecUSec|600ms|cpu.max|60000 100000
CPUQuotaPeriodUSec|100ms|cpu.max|60000 100000
AllowedCPUs|0-1|cpuset.cpus|0-1
AllowedMemoryNodes|0|cpuset.mems|0
IOWeight|60|io.bfq.weight|default 60
IOReadBandwidthMax|/dev/block/DISK 1000011|io.max/rbps|rbps=1000011
IOWriteBandwidthMax|/dev/block/DISK 2000022|io.max/wbps|wbps=2000022
IOReadIOPSMax|/dev/block/DISK 333|io.max/riops|riops=333
IOWriteIOPSMax|/dev/block/DISK 444|io.max/wiops|wiops=444
END
# resources MEMORY MEMORY-AND-SWAP LOW HIGH MIN PIDS SHARES QUOTA PERIOD CPUS WEIGHT RBPS WBPS RIOPS WIOPS
resources() {
    jq -n --arg disk "$disk" '($disk | split(":") | map(tonumber)) as [$major, $minor]
      | ($ARGS.positional | map(tonumber? // .)) as [$memory, $swap, $low, $high, $min, $pids, $shares, $quota, $period, $cpus, $weight, $rbps, $wbps, $riops, $wiops]
      | def rate(n): [{$major, $minor, rate: n}];
      {
        memory: {limit: $memory, $swap, reservation: $low},
        pids: {limit: $pids},
        cpu: {$shares, $quota, $period, cpus: "\($cpus)", mems: "0"},
        blockIO: {$weight, throttleReadBpsDevice: rate($rbps), throttleWriteBpsDevice: rate($wbps),
          throttleReadIOPSDevice: rate($riops), throttleWriteIOPSDevice: rate($wiops)},
        unified: {"memory.high": "\($high)", "memory.min": "\($min)"}
      }' --args "$@"
}

"$kickstage" spec --bundle "$box"
config '.process.terminal = false | .process.args = ["/bin/busybox", "sleep", "1000"]
  | .linux.cgroupsPath = "machine.slice:pre:all"'
resources 50003968 60006400 30003200 40001536 4096 40 512 50000 200000 0 300 1000001 2000002 303 404 >"$box/resources"
config ".linux.resources = $(cat "$box/resources")"
"$kickstage" --systemd-cgroup run --detach --bundle "$box" all </dev/null >/dev/null 2>"$box/log" || fail "run: $(cat "$box/log")"
are_known "$box/created" "of a new unit"
systemctl daemon-reload
are_known "$box/created" "after a reload"
resources 60002304 80003072 20000768 45002752 8192 30 256 60000 100000 0-1 60 1000011 2000022 333 444 |
    "$kickstage" update --resources - all
are_known "$box/updated" "after an update"
systemctl daemon-reload
are_known "$box/updated" "after an update and a reload"
"$kickstage" delete --force all

# systemd's weight by its own file's name
config '.linux.resources = {"unified": {"io.weight": "321"}}'
"$kickstage" --systemd-cgroup run --detach --bundle "$box" all </dev/null >/dev/null 2>"$box/log" || fail "run: $(cat "$box/log")"
echo "IOWeight|321|io.weight|default 321" >"$box/created"
systemctl daemon-reload
are_known "$box/created" "by its own name"
"$kickstage" delete --force all
no_unit "$unit" "a unit is left"
echo "systemd's properties: ok"
