#!/usr/bin/env bash
# One node of each kind is damaged, before the vault is mounted and under the mount: it fails, or is not
# there, and everything beside it can be listed, read and changed. When the damage is undone, so is
# its effect.
source "$(dirname "$0")/lib.sh"
need python3
here=$(cd "$(dirname "$0")" && pwd)
damaged() { python3 "$here/damaged.py" "$@"; }

# Within a second, which is what is promised about changes from outside; ten for a busy machine.
soon() {
    local i
    for ((i = 0; i < 20; i++)); do
        damaged "$@" >"$work/out" 2>&1 && return 0
        sleep 0.5
    done
    cat "$work/out" >&2
    return 1
}

for combo in siv-gcm siv-ctrmac; do
    fresh_vault "$combo"
    mount_vault
    damaged prepare "$mnt"
    unmount_vault
    rm -rf "$work/stash" && mkdir "$work/stash"
    locate=("$OXCRYPT" -q locate --password-file "$work/password" "$vault")

    damaged damage "$vault" "$work/stash" "${locate[@]}"
    mount_vault
    damaged check "$mnt" || fail "damaged before the mount ($combo)"
    guard
    "$OXCRYPT" events "$mnt" >"$work/events"
    told=$(grep -ci 'decrypt\|damage' "$work/events") || true
    [ "$told" -ge 5 ] || { cat "$work/events" >&2; fail "only $told events tell of the damage ($combo)"; }
    damaged repair "$vault" "$work/stash"
    soon verify "$mnt" || fail "the damage was undone, and does not go ($combo)"

    rm -rf "$work/stash" && mkdir "$work/stash"
    damaged damage "$vault" "$work/stash" "${locate[@]}"
    soon check "$mnt" || fail "damaged under the mount ($combo)"
    guard
    damaged repair "$vault" "$work/stash"
    soon verify "$mnt" || fail "the second damage was undone, and does not go ($combo)"
    judge_vault
    rm -rf "$vault"
done
pass "12 kinds of damage, before and under the mount"
