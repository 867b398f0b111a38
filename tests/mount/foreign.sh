#!/usr/bin/env bash
# Another program changes the vault: a second mount of a copy, whose files are then moved into the first
# one's vault as a sync client does. Every change is seen within a second in directories already
# listed and files already read, and the mount's own writes cause no storm of invalidations.
source "$(dirname "$0")/lib.sh"
need rsync
need python3
here=$(cd "$(dirname "$0")" && pwd)
fresh_vault siv-gcm
mount_vault
mkdir "$mnt/dir"
python3 "$here/foreign.py" prepare "$mnt"
unmount_vault

# The other device: the same vault at another place.
cp -a "$vault" "$work/other"
mkdir "$work/other-mnt"
# Without a journal its files are what was written to them, at once.
"$OXCRYPT" mount "$work/other" "$work/other-mnt" --durability none --password-file "$work/password" >/dev/null 2>"$work/daemon.log"
undo='! mounted "$work/other-mnt" || umount -l "$work/other-mnt"'
mount_vault
[ -f "$work/other-mnt/keep" ] || fail "the second mount is empty"
python3 "$here/foreign.py" watch "$mnt" "$work/other-mnt" "$work/other" "$vault" "$pid" >"$work/out" 2>&1 || {
    cat "$work/out" >&2
    fail "a foreign change is not seen"
}
guard
umount "$work/other-mnt"
judge_vault
pass "$(tail -n 1 "$work/out")"
