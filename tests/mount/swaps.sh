#!/usr/bin/env bash
# Somebody swaps the vault's files and directories for links, fifos, devices, other files and nothing at all
# while programs work in the mount: it serves on, tells nothing that was not sealed in the vault,
# touches nothing outside it, and has lost nothing when all is back in its place.
source "$(dirname "$0")/lib.sh"
need python3
here=$(cd "$(dirname "$0")" && pwd)
seed=${SWAPS_SEED:-$RANDOM}

for combo in siv-gcm siv-ctrmac; do
    fresh_vault "$combo"
    mount_vault
    python3 "$here/swaps.py" prepare "$mnt"
    rm -rf "$work/outside" "$work/stash"
    mkdir "$work/outside" "$work/stash"
    python3 "$here/swaps.py" run "$mnt" "$vault" "$work/outside" "$work/stash" "$pid" \
        "$(short_long 10 600)" "$seed" >"$work/out" 2>&1 || {
        tail -n 20 "$work/out" >&2
        fail "$combo, seed $seed"
    }
    guard
    # What comes back is seen like any change from outside.
    for ((i = 0; i < 20; i++)); do
        python3 "$here/swaps.py" verify "$mnt" >"$work/verified" 2>&1 && break
        sleep 0.5
    done
    python3 "$here/swaps.py" verify "$mnt" || fail "$combo, seed $seed: afterwards"
    unmount_vault
    mount_vault
    python3 "$here/swaps.py" verify "$mnt" || fail "$combo, seed $seed: mounted again"
    unmount_vault
    rm -rf "$vault"
done
pass "$(cat "$work/out") (seed $seed)"
