#!/usr/bin/env bash
# stress-ng's file-system stressors with verification. Left out: those that need what no vault holds
# (devices, fifos, extended attributes of the kernel) or that stress the kernel beside the mount (getdent
# lists /proc and /sys, io opens every mount of the machine).
source "$(dirname "$0")/lib.sh"
need stress-ng

seconds=$(short_long 1 20)
# A stressor ends its round before it looks at the clock, and a hole of a gibibyte is a gibibyte of
# zeros in a vault.
patience=240
stressors=(
    access chdir chmod chown copy-file dentry dir dirdeep dirmany dup fallocate fcntl fiemap
    file-ioctl filename flock fpunch fsize fstat handle hdd inode-flags
    iomix lease link lockf locka lockofd mknod mmap mmapfork mmapmany msync open pipe readahead
    rename revio seek sendfile splice symlink sync-file tee touch unlink utime
    verity vm-splice
)
# Its one round takes a minute and a half: in the long form only.
[ -n "$long" ] || stressors=("${stressors[@]/fpunch/}")
known=$(stress-ng --stressors 2>/dev/null || true)

stressed=0
refused=
slowest='0 s'
all_stressors() {
    local stressor
    mkdir "$mnt/stress"
    stressed=0
    for stressor in "${stressors[@]}"; do
        [ -n "$stressor" ] || continue
        [[ " $known " == *" $stressor "* ]] || continue
        began_this=$SECONDS
        if ! timeout $((seconds + patience)) stress-ng --"$stressor" 2 --timeout "$seconds" --verify --temp-path "$mnt/stress" \
            --oom-avoid --skip-silent >"$work/stress.log" 2>&1; then
            # What fails in the same way on the disk below says nothing about the mount.
            mkdir -p "$work/below"
            if timeout $((seconds + patience)) stress-ng --"$stressor" 2 --timeout "$seconds" --verify \
                --temp-path "$work/below" --oom-avoid --skip-silent >"$work/below.log" 2>&1; then
                { grep -iE 'fail|error' "$work/stress.log" || tail -n 5 "$work/stress.log"; } | head -n 20 >&2
                fail "$stressor ($combo)"
            fi
            refused+=" $stressor"
        fi
        took=$((SECONDS - began_this))
        [ "$took" -le "${slowest%% *}" ] || slowest="$took s for $stressor"
        stressed=$((stressed + 1))
        guard
    done
    [ "$stressed" -ge 30 ] || fail "only $stressed stressors are known here"
    rm -rf "$mnt/stress"
}

if [ -n "$long" ]; then
    with_both all_stressors
else
    fresh_vault siv-gcm
    mount_vault
    all_stressors
    judge_vault
fi
pass "$stressed stressors, $seconds s each, at most $slowest${refused:+; not possible on the disk below either:$refused}"
