#!/usr/bin/env bash
# Set-id bits go and stay exactly as on a local disk, whoever writes and however; also those that the
# kernel remembers, with and without its cache of writes.
source "$(dirname "$0")/lib.sh"
need_for_all python3
need setpriv util-linux
here=$(cd "$(dirname "$0")" && pwd)
cp "$here/set_id.py" "$work/set_id.py"
chmod 755 "$work"
user=65534
lines=0

# As owner DIRECTORY UID: what set_id.py says there.
told() {
    rm -rf "$1" && mkdir "$1" && chown "$2:$2" "$1"
    setpriv --reuid "$2" --regid "$2" --clear-groups "$python3" "$work/set_id.py" "$1"
}

compare() {
    local uid
    for uid in 0 "$user"; do
        told "$work/disk" "$uid" >"$work/expected" 2>&1
        told "$mnt/disk" "$uid" >"$work/got" 2>&1
        diff "$work/expected" "$work/got" >&2 || fail "set-id bits differ for user $uid (${1:-by default})"
        lines=$((lines + $(wc -l <"$work/got")))
        guard
    done
}

fresh_vault siv-gcm
for option in "" --no-writeback "-o suid"; do
    # shellcheck disable=SC2086
    mount_vault --allow-other $option
    compare "$option"
    unmount_vault
done
mount_vault
judge_vault
pass "$lines changes, as root and as another user, the same as on the disk below"
