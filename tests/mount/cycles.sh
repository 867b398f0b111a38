#!/usr/bin/env bash
# Mounted and unmounted again and again, in every way a mount can end: no stale mount, no process and
# no descriptor is left, and a mount point that a killed process left is taken over. A second mount of the
# same vault must not be possible by accident. Short: 40 cycles, 100 kills while starting; long: 200, 1,000.
source "$(dirname "$0")/lib.sh"
need python3
here=$(cd "$(dirname "$0")" && pwd)

cycles=$(short_long 40 200)
fresh_vault siv-gcm
mnt=$work/mnt
mkdir "$mnt"

# The process that serves a mount point, by its command line.
server_of() {
    local candidate
    for candidate in /proc/[0-9]*; do
        if [ "$(readlink "$candidate/exe" 2>/dev/null)" = "$(readlink -f "$OXCRYPT")" ] &&
            grep -qzxF -- "$1" "$candidate/cmdline" 2>/dev/null; then
            basename "$candidate"
            return
        fi
    done
}

descriptors=
for ((cycle = 1; cycle <= cycles; cycle++)); do
    before=$(stat -c %d "$mnt")
    "$OXCRYPT" mount "$vault" "$mnt" --password-file "$work/password" >/dev/null 2>"$work/daemon.log" ||
        fail "cycle $cycle: not mounted: $(cat "$work/daemon.log")"
    device=$(stat -c %d "$mnt")
    [ "$device" != "$before" ] || fail "cycle $cycle: the command returned before the mount was there"
    pid=$(server_of "$mnt")
    [ -n "$pid" ] || fail "cycle $cycle: no process serves the mount"
    echo "$cycle" >"$mnt/file"
    [ "$(cat "$mnt/file")" = "$cycle" ] || fail "cycle $cycle: read back differently"
    open=$(find "/proc/$pid/fd" -mindepth 1 | wc -l)
    descriptors=${descriptors:-$open}
    [ "$open" -le "$((descriptors + 2))" ] || fail "cycle $cycle: $open descriptors, first $descriptors"
    case $((cycle % 4)) in
        0) umount "$mnt" ;;
        1) "$OXCRYPT" --quiet lock "$mnt" ;;
        2) kill -TERM "$pid" ;;
        3) fusermount3 -u "$mnt" ;;
    esac
    wait_end "$pid" 100 || fail "cycle $cycle: the process does not end"
    pid=
    ! mounted "$mnt" || fail "cycle $cycle: still mounted"
done

# Killed, the mount point is stale until the next mount of it.
mount_vault
kill -KILL "$pid"
wait "$pid" 2>/dev/null || true
pid=
mounted "$mnt" || fail "nothing stale to take over"
"$OXCRYPT" mount "$vault" "$mnt" --password-file "$work/password" >/dev/null 2>"$work/daemon.log" ||
    fail "a stale mount point is not taken over: $(cat "$work/daemon.log")"
pid=$(server_of "$mnt")
[ "$(cat "$mnt/file")" = "$cycles" ] || fail "the file is gone after a kill"

umount "$mnt"
wait_end "$pid" 100 || fail "the process does not end"
pid=

# Killed in the moments in which it starts to serve, it goes as well: no thread of it may wait for the mount.
kills=$(short_long 100 1000)
python3 "$here/killed.py" "$OXCRYPT" "$vault" "$mnt" "$work/password" "$kills" || fail "killed while starting"

# A second mount of the same vault.
"$OXCRYPT" mount "$vault" "$mnt" --password-file "$work/password" >/dev/null 2>"$work/daemon.log" ||
    fail "not mounted after $kills kills: $(cat "$work/daemon.log")"
pid=$(server_of "$mnt")
mkdir "$work/second"
if "$OXCRYPT" mount "$vault" "$work/second" --password-file "$work/password" >/dev/null 2>"$work/second.log"; then
    if (echo x >"$work/second/write") 2>/dev/null; then
        umount "$work/second"
        fail "the same vault is mounted twice, both writable"
    fi
    umount "$work/second"
else
    grep -q . "$work/second.log" || fail "the second mount is refused without a word"
fi
umount "$mnt"
wait_end "$pid" 100 || fail "the process does not end"
pid=
grep -qF "$work" /proc/self/mounts && fail "a mount is left"
pass "$cycles cycles by umount, lock, SIGTERM and fusermount3: 0 stale mounts, 0 leaked descriptors; $kills kills while starting"
