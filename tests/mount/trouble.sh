#!/usr/bin/env bash
# Mounts in trouble: too little memory for what is being written, a server that is stopped for a while,
# a connection that is cut, a vault inside a vault, lost events, processors that are switched off and
# on. Nothing hangs, and nothing that was synced is lost.
source "$(dirname "$0")/lib.sh"
need python3
need openssl
mib=$(short_long 96 1024)
did=()

# Bytes that do not compress, known without a second copy: noise SEED MIB
noise() {
    openssl enc -aes-128-ctr -K "$(printf '%032x' "$1")" -iv 0 -nosalt </dev/zero 2>/dev/null |
        head -c "$(($2 * 1024 * 1024))" || [ "${PIPESTATUS[1]}" = 0 ]
}
sum_of() { noise "$1" "$2" | sha256sum; }
is_noise() { [ "$(sha256sum <"$1")" = "$(sum_of "$2" "$3")" ]; }

# in_time SECONDS COMMAND…: a hang is a failure, and is killed.
in_time() { timeout --signal=KILL "$@" || fail "not done in $1 s or failed: ${*:2}"; }

# The server and who writes share so little memory that pages must be written back to get any: whoever
# waits for the other's memory waits for ever.
memory_pressure() {
    local group limit=67108864 writers size before='' since=$SECONDS
    if [ -d /sys/fs/cgroup/memory ]; then
        group=/sys/fs/cgroup/memory/oxcrypt-test.$$
        mkdir "$group" && echo "$limit" >"$group/memory.limit_in_bytes"
    elif grep -qsw memory /sys/fs/cgroup/cgroup.subtree_control; then
        group=/sys/fs/cgroup/oxcrypt-test.$$
        mkdir "$group" && echo "$limit" >"$group/memory.max"
    else
        did+=("NO memory pressure, because this system has no such control group")
        return 0
    fi
    undo="rmdir '$group' 2>/dev/null"
    echo "$pid" >"$group/cgroup.procs"
    export -f noise
    bash -c "echo \$\$ >'$group/cgroup.procs'
        noise 1 $mib >'$mnt/one' & noise 2 $mib >'$mnt/two' & wait
        cat '$mnt/one' >'$mnt/three' && sync -f '$mnt/three'" &
    writers=$!
    # With so little the system lets everybody wait most of the time, minutes in all: what tells a hang
    # is that nothing reaches the vault any more.
    while ! wait_end "$writers" 10; do
        size=$(du -s "$vault/d")
        [ "$size" = "$before" ] || { before=$size && since=$SECONDS; }
        [ $((SECONDS - since)) -lt 120 ] || break
    done
    if [ $((SECONDS - since)) -ge 120 ]; then
        grep -vx "$pid" "$group/cgroup.procs" | xargs -r kill -KILL
        fail "hangs: nothing of what is written under memory pressure was stored for 120 s"
    fi
    wait "$writers" || fail "cannot write under memory pressure"
    echo "$pid" >"$(dirname "$group")/cgroup.procs"
    guard
    is_noise "$mnt/one" 1 "$mib" && is_noise "$mnt/two" 2 "$mib" && is_noise "$mnt/three" 1 "$mib" ||
        fail "written under memory pressure and read back differently"
    rm "$mnt/one" "$mnt/two" "$mnt/three"
    for _ in {1..50}; do rmdir "$group" 2>/dev/null && break || sleep 0.1; done
    undo=
    did+=("$((mib * 3)) MiB in 64 MiB of memory")
}

# While it is stopped everybody waits, and can be killed; afterwards nothing is missing.
suspended_server() {
    noise 3 32 >"$mnt/stopped" &
    local writer=$! waiting
    sleep 0.05
    kill -STOP "$pid"
    until [ "$(sed -n 's/^State:\s*\(.\).*/\1/p' /proc/"$pid"/task/*/status | sort -u)" = T ]; do sleep 0.01; done
    stat "$mnt/not asked for before" >/dev/null 2>&1 &
    waiting=$!
    sleep 1
    kill -KILL "$waiting"
    # With rings the kernel has handed the request over already, and waits for its reply.
    if [ "${OXCRYPT_TRANSPORT:-}" != ring ]; then
        wait_end "$waiting" 50 || fail "who waits for a stopped server cannot be killed"
    fi
    kill -CONT "$pid"
    wait_end "$waiting" 100 || fail "who waited for a stopped server is not answered when it goes on"
    wait "$waiting" 2>/dev/null || true
    wait_end "$writer" 600 || fail "a writer hangs after the server was stopped for a second"
    wait "$writer" || fail "a writer failed because the server was stopped for a second"
    is_noise "$mnt/stopped" 3 32 || fail "written around a stop and read back differently"
    guard
    did+=("a stopped server")
}

# A vault in a file of the vault: every request makes others.
nested_mount() {
    mkdir "$mnt/vault" "$work/inner"
    "$OXCRYPT" init "$mnt/vault" --password-file "$work/password" >/dev/null 2>&1
    "$OXCRYPT" mount "$mnt/vault" "$work/inner" --password-file "$work/password" >/dev/null 2>"$work/inner.log" ||
        fail "a vault in a vault is not mounted: $(cat "$work/inner.log")"
    undo="umount -l '$work/inner' 2>/dev/null"
    noise 4 48 >"$work/inner/file"
    in_time 120 sync -f "$work/inner/file"
    mkdir "$work/inner/many"
    in_time 120 bash -c "for i in {1..300}; do echo \$i >'$work/inner/many/'\$i; done; sync -f '$work/inner'"
    is_noise "$work/inner/file" 4 48 || fail "nested, and read back differently"
    in_time 60 "$OXCRYPT" --quiet lock "$work/inner"
    # A mount point inside the mount.
    "$OXCRYPT" mount "$mnt/vault" "$mnt/stress-point" --password-file "$work/password" >/dev/null 2>&1 &&
        fail "mounted at a place that is not there"
    mkdir "$mnt/point"
    "$OXCRYPT" mount "$mnt/vault" "$mnt/point" --password-file "$work/password" >/dev/null 2>"$work/inner.log" ||
        fail "a vault is not mounted inside its own mount: $(cat "$work/inner.log")"
    [ "$(in_time 20 ls "$mnt/point/many" | wc -l)" = 300 ] || fail "files are missing below a mount in the mount"
    in_time 60 "$OXCRYPT" --quiet lock "$mnt/point"
    undo=
    guard
    did+=("a vault in a vault")
}

# More events than the kernel keeps: everything is asked for again, and nobody loses his place.
lost_events() {
    local knob=/proc/sys/fs/inotify/max_queued_events before
    before=$(cat "$knob")
    unmount_vault
    echo 16 >"$knob"
    mount_vault
    echo "$before" >"$knob"
    mkdir -p "$mnt/place/deeper"
    echo kept >"$mnt/place/file"
    mount -t tmpfs none "$mnt/place/deeper"
    undo="umount '$mnt/place/deeper' 2>/dev/null"
    (
        cd "$mnt/place"
        for round in 1 2 3; do
            for i in {1..200}; do echo "$i" >"$mnt/noise$i"; done
            sleep 0.3
            [ "$(/bin/pwd)" = "$mnt/place" ] || exit 1
            [ "$(cat file)" = kept ] || exit 1
            mountpoint -q deeper || exit 1
        done
    ) || fail "who works in a directory loses it when events are lost"
    umount "$mnt/place/deeper"
    undo=
    rm "$mnt"/noise*
    did+=("lost events")
}

# A processor goes and comes back while files are written and looked for.
processors() {
    local switch=/sys/devices/system/cpu/cpu1/online load
    if [ ! -w "$switch" ] || ! echo 1 2>/dev/null >"$switch"; then
        did+=("NO processor switched off, because this system cannot")
        return 0
    fi
    undo="echo 1 >'$switch'"
    mkdir "$mnt/cpu"
    (for round in {1..8}; do
        noise 5 24 >"$mnt/cpu/file"
        for i in {1..200}; do echo "$round" >"$mnt/cpu/$i"; done
        cat "$mnt"/cpu/* | wc -c >/dev/null
    done) &
    load=$!
    for _ in 1 2 3; do
        sleep 0.3
        echo 0 >"$switch" || fail "the processor cannot be switched off"
        sleep 0.5
        [ "$(timeout --signal=KILL 20 cat "$mnt/place/file")" = kept ] || fail "hangs with a processor switched off"
        echo 1 >"$switch"
    done
    wait_end "$load" 1200 || fail "hangs after a processor came back"
    wait "$load" || fail "an error because a processor was switched off"
    is_noise "$mnt/cpu/file" 5 24 || fail "read back differently after a processor was switched off"
    undo=
    guard
    # From either processor, soon.
    local cpu
    for cpu in 0 1; do
        in_time 20 taskset -c "$cpu" bash -c "for i in {1..200}; do echo \$i >'$mnt/cpu/again'; done"
    done
    did+=("a processor switched off and on 3 times")
}

# The kernel drops the connection in the middle of everything.
cut_connection() {
    local connection writer
    noise 6 16 >"$mnt/synced"
    sync "$mnt/synced"
    connection=/sys/fs/fuse/connections/$((device % 256 + device / 1048576 * 256))/abort
    [ -w "$connection" ] || { mount -t fusectl none /sys/fs/fuse/connections 2>/dev/null || true; }
    [ -w "$connection" ] || fail "there is no $connection"
    noise 7 512 2>/dev/null >"$mnt/cut" &
    writer=$!
    sleep 0.2
    echo 1 >"$connection"
    wait_end "$writer" 100 || fail "a writer hangs after the connection was cut"
    wait "$writer" 2>/dev/null && fail "a writer did not notice that the connection was cut"
    wait_end "$pid" 100 || fail "the mount process does not end after the connection was cut"
    wait "$pid" || true
    pid=
    ! grep -q panicked "$work/daemon.log" || fail "the mount process panicked"
    if mounted "$mnt"; then umount -l "$mnt"; fi
    mount_vault
    is_noise "$mnt/synced" 6 16 || fail "what was synced is lost when the connection is cut"
    cat "$mnt/cut" >/dev/null || fail "a file that was being written cannot be read any more"
    did+=("a cut connection")
}

fresh_vault siv-gcm
mount_vault
for trouble in memory_pressure suspended_server nested_mount lost_events processors cut_connection; do
    began_this=$SECONDS
    "$trouble"
    did[-1]+=" ($((SECONDS - began_this)) s)"
done
rm -rf "$mnt/vault"
judge_vault
printf -v all '%s, ' "${did[@]}"
pass "${all%, }"
