#!/usr/bin/env bash
# One big file: written, read back by hash, one byte changed. The memory of the mount process stays
# below 96 MiB all the time, and the change writes one chunk. Short: 1 GiB; long: 5 GiB.
source "$(dirname "$0")/lib.sh"
need python3

mib=$(short_long 1024 5120)
limit_kib=$((96 * 1024))

peak() { sed -n 's/^VmHWM:\s*\([0-9]*\).*/\1/p' "/proc/$pid/status"; }

large_file() {
    # Not compressible, cheap, and known without a second copy.
    local source=(openssl enc -aes-128-ctr -K 00112233445566778899aabbccddeeff -iv 0 -nosalt)
    local before after written
    "${source[@]}" </dev/zero 2>/dev/null | head -c "$((mib * 1024 * 1024))" | tee >(sha256sum >"$work/sum") |
        dd of="$mnt/big" bs=1M iflag=fullblock conv=fsync status=none || [ "${PIPESTATUS[3]}" = 0 ]
    guard
    sync -f "$mnt"
    echo 1 >/proc/sys/vm/drop_caches
    [ "$(sha256sum <"$mnt/big")" = "$(cat "$work/sum")" ] || fail "reads back differently ($combo)"
    guard
    before=$(sed -n 's/^write_bytes: //p' "/proc/$pid/io")
    printf 'X' | dd of="$mnt/big" bs=1 seek=$((mib * 1024 * 512 + 12345)) conv=notrunc,fsync status=none
    after=$(sed -n 's/^write_bytes: //p' "/proc/$pid/io")
    written=$((after - before))
    # One chunk, once more for the journal, and whole pages of metadata: far below one request.
    [ "$written" -le $((512 * 1024)) ] || fail "one byte changed wrote $written bytes ($combo)"
    [ "$(dd if="$mnt/big" bs=1 skip=$((mib * 1024 * 512 + 12345)) count=1 status=none)" = X ] || fail "the change is not there"
    [ "$(peak)" -le "$limit_kib" ] || fail "the mount process took $(peak) KiB ($combo)"
    results+=" ${combo#siv-}: peak $(($(peak) / 1024)) MiB, 1 byte changed wrote $((written / 1024)) KiB;"
}

need openssl
results=
if [ -n "$long" ]; then
    with_both large_file
else
    fresh_vault siv-gcm
    mount_vault
    large_file
    judge_vault
fi
pass "$mib MiB;$results"
