#!/usr/bin/env bash
# fio with verification: 8 patterns of access, among them mmap and io_uring, buffered and direct.
source "$(dirname "$0")/lib.sh"
need fio

size=$(short_long 24m 512m)
# Name, engine, pattern, block sizes, further options.
jobs=(
    "seq-1m psync write 1m --direct=0"
    "seq-4k psync write 4k --direct=0"
    "rand-4k psync randwrite 4k --direct=0"
    "rand-odd psync randwrite 512-70k --direct=0 --bs_unaligned=1"
    "direct-64k psync randwrite 64k --direct=1"
    "mmap-4k mmap randwrite 4k --direct=0"
    "uring-16k io_uring randwrite 16k --direct=0 --iodepth=16"
    "fsync-8k psync randwrite 8k --direct=0 --fsync=64"
)

patterns() {
    local job label engine pattern block rest
    for job in "${jobs[@]}"; do
        read -r label engine pattern block rest <<<"$job"
        block=--bs=$block
        [[ $block != *-*-*-* ]] || block=${block/--bs/--bsrange}
        # shellcheck disable=SC2086
        fio --name="$label" --filename="$mnt/$label" --size="$size" --ioengine="$engine" \
            --rw="$pattern" "$block" --verify=crc32c --verify_fatal=1 --do_verify=1 \
            --verify_state_save=0 --end_fsync=1 $rest >"$work/fio.log" 2>&1 || {
            tail -n 30 "$work/fio.log" >&2
            fail "$label ($combo)"
        }
        guard
    done
}

with_both patterns
pass "${#jobs[@]} patterns of $size, both ciphers, every byte verified"
