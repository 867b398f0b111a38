#!/usr/bin/env bash
# The POSIX suite (crate pjdfstest): nothing fails but what needs devices, fifos or sockets, which
# the format cannot hold, and what docs/known-deviations.md lists.
source "$(dirname "$0")/lib.sh"
need_crate pjdfstest 0.2.0
export RUST_BACKTRACE=0

# Failures that are none: what these tests make, the format cannot hold.
special='::(block|char|fifo|socket)$|^(mknod|mkfifo)::|^open::(socket_error|fifo_nonblock_wronly)$'

suite() {
    # Every user must see the mount; the suite makes its own directories.
    mkdir -m 755 "$mnt/suite"
    (cd "$work" && pjdfstest -c "$here/pjdfstest.toml" -p "$mnt/suite") >"$work/suite.log" 2>&1 || true
    guard
    local wrong total expected
    # Colour codes come with the names.
    sed -i 's/\x1b\[[0-9;]*m//g' "$work/suite.log"
    wrong=$(sed -nE 's/^([a-z_0-9:]+) +FAILED.*/\1/p' "$work/suite.log" | grep -vE "$special" || true)
    [ -z "$wrong" ] || fail "$wrong"
    total=$(grep -cE '^[a-z_0-9:]+ +ok' "$work/suite.log") || true
    expected=$(grep -cE '^[a-z_0-9:]+ +FAILED' "$work/suite.log") || true
    # Fewer mean that the suite did not run whole.
    [ "$total" -ge 200 ] || fail "only $total cases succeeded"
    summary="$total cases succeeded, $expected need devices, fifos or sockets, 0 others failed"
}

here=$(cd "$(dirname "$0")" && pwd)
fresh_vault siv-gcm
chmod 755 "$work"
mount_vault --allow-other
suite
judge_vault
pass "$summary"
