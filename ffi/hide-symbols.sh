#!/bin/sh
# Makes of a Rust static library one whose only global symbols are the functions of kickstage.h,
# so that it can be linked beside any other library, another Rust one included.
# Usage: hide-symbols.sh IN.a OUT.a    (needs binutils)
set -eu
in=$1
out=$2
header=$(dirname "$0")/include/kickstage.h
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# From the header: nm can't read objects whose LLVM bitcode is newer than its plugin.
roots=$(sed -n 's/^[a-z].*\(ks_[a-z0-9_]*\)(.*;$/-u \1/p' "$header")
# One object of all that the functions reach. Groups are dissolved: their names become local
# below, and the final linker must not take them for those of another library.
# shellcheck disable=SC2086 # a list of options
ld -r --gc-sections --force-group-allocation --strip-debug $roots -o "$work/kickstage.o" "$in"
# The bitcode goes too: it makes an old plugin reject the object, and nobody needs it.
objcopy --remove-section='.llvm*' --wildcard --keep-global-symbol='ks_*' "$work/kickstage.o"
rm -f "$out"
ar rcsD "$out" "$work/kickstage.o"
