#!/bin/sh
# The tests of SELinux labels, with a policy of their own enforced. As root of a guest that was
# booted with security=selinux. Usage: selinux.sh POLICY TEST
set -eu
# the kernel takes a policy in one write(2)
dd if="$1" of=/sys/fs/selinux/load bs=16M 2>/dev/null
echo 1 >/sys/fs/selinux/enforce
"$2" --quiet --test-threads=2
echo "SELinux: ok"
