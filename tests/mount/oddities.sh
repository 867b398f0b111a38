#!/usr/bin/env bash
# Whatever a newcomer tries (odd names, every kind of open, rename, link and removal, closed
# directories, maps, locks, crowds) is answered as on the disk below, for root and for another user.
source "$(dirname "$0")/lib.sh"
need_for_all python3
need setpriv util-linux
here=$(cd "$(dirname "$0")" && pwd)
cp "$here/oddities.py" "$work/oddities.py"
chmod 755 "$work"

# What docs/known-deviations.md lists.
known() { sed -E "s/^(xattr): 'ENODATA'$/\1: 'ENOTSUP'/; s/^(truncate to the same): .*/\1: -/" "$1"; }

lines=0
compare() {
    local uid where
    for uid in 0 65534; do
        for where in "$work/below" "$mnt/here"; do
            mkdir "$where" && chown "$uid:$uid" "$where"
            setpriv --reuid "$uid" --regid "$uid" --clear-groups "$python3" "$work/oddities.py" "$where" \
                >"$work/$(basename "$where").out" 2>&1
            chmod -R u+rwx "$where" && rm -rf "$where"
        done
        diff <(known "$work/below.out") <(known "$work/here.out") >&2 || fail "answers differ for user $uid ($*)"
        lines=$((lines + $(wc -l <"$work/here.out")))
        guard
    done
    [ "$lines" -ge 1000 ] || fail "only $lines answers were given"
}

fresh_vault siv-gcm
for options in "" "--no-writeback"; do
    # shellcheck disable=SC2086
    mount_vault --allow-other $options
    compare "${options:-by default}"
    unmount_vault
done
mount_vault
judge_vault
pass "$lines answers, as root and as another user, the same as on the disk below"
