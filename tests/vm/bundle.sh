# For the scripts beside it, which source it: a bundle in $box with the busybox that is given, and
# what they say of it.
kickstage=$1
box=$(mktemp -d)/box
mkdir -p "$box/rootfs/bin" "$box/rootfs/proc" "$box/rootfs/sys" "$box/rootfs/dev"
cp "$2" "$box/rootfs/bin/busybox"
ln -s busybox "$box/rootfs/bin/sh"
fail() { echo "FAILED: $1" >&2; exit 1; }
same() { [ "$2" = "$3" ] || fail "$1: $2, not $3"; }
property() { systemctl show "$1" -P "$2"; }
config() {
    jq "$1" "$box/config.json" >"$box/new.json"
    mv "$box/new.json" "$box/config.json"
}
# systemd forgets a unit a moment after its last process
no_unit() {
    tries=0
    until [ -z "$(systemctl list-units --all --no-legend "$1")" ]; do
        [ $((tries += 1)) -lt 100 ] || fail "$2"
        sleep 0.1
    done
}
