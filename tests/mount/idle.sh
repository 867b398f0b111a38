#!/usr/bin/env bash
# A mount nobody uses: at most 20 MiB of memory and no wake-ups.
source "$(dirname "$0")/lib.sh"

switches() { awk '/ctxt_switches/ { n += $2 } END { print n }' /proc/"$pid"/task/*/status; }

fresh_vault siv-gcm
mount_vault
echo hello >"$mnt/file"
ls -l "$mnt" >/dev/null
# Headers of new files are written a moment later, on a busy machine a longer one; then nothing is left
# to do.
for _ in {1..10}; do
    before=$(switches)
    sleep 3
    [ "$(switches)" != "$before" ] || break
done
before=$(switches)
seconds=$(short_long 10 60)
sleep "$seconds"
[ -d "/proc/$pid" ] || fail "the mount process died"
woken=$(($(switches) - before))
rss=$(sed -n 's/^VmRSS:\s*\([0-9]*\).*/\1/p' "/proc/$pid/status")
[ "$woken" = 0 ] || fail "$woken wake-ups in $seconds s"
[ "$rss" -le $((20 * 1024)) ] || fail "$rss KiB when idle"
unmount_vault
pass "$((rss / 1024)) MiB, 0 wake-ups in $seconds s"
