#!/usr/bin/env bash
# Random operations on one file beside a model of it (crate fsx): mapped, unmapped, through direct
# I/O, with truncate, punch and copies. Short: 18 seeds of 4,000 operations; long: 10 of 200,000.
source "$(dirname "$0")/lib.sh"
need_crate fsx 0.3.0

cat >"$work/mapped.toml" <<'TOML'
flen = 400000
[weights]
close_open = 2
read = 10
write = 10
mapread = 10
mapwrite = 10
invalidate = 1
truncate = 5
fsync = 1
fdatasync = 1
posix_fallocate = 2
punch_hole = 3
sendfile = 2
posix_fadvise = 1
copy_file_range = 4
TOML
# Without maps every byte goes through read and write, past the end of chunks in small steps.
sed -e 's/^map.* = 10/# &/' -e 's/^invalidate.*//' "$work/mapped.toml" >"$work/unmapped.toml"
sed -i '/\[weights\]/a mapread = 0\nmapwrite = 0\ninvalidate = 0' "$work/unmapped.toml"
sed -i '/^# map/d' "$work/unmapped.toml"

# Of each mode in each vault; 200,000 operations take some minutes.
seeds=$(short_long 3 2)
operations=$(short_long 4000 200000)
runs=0
one_mode() {
    local mode=$1 left seed
    for ((left = seeds; left > 0; left--)); do
        # Every run has a seed of its own.
        seed=$((runs + 1))
        fsx -q -f "$work/$mode.toml" -S "$seed" -N "$operations" -P "$work" "$mnt/$mode-$seed" >"$work/fsx.log" 2>&1 || {
            tail -n 30 "$work/fsx.log" >&2
            fail "$mode, seed $seed ($combo)"
        }
        guard
        runs=$seed
    done
}

all_modes() { one_mode mapped && one_mode unmapped; }
with_both all_modes

# Writes that go to the vault at once, and direct ones.
seeds=$(short_long 3 1)
fresh_vault siv-gcm
mount_vault --no-writeback
all_modes
judge_vault
pass "$runs runs of $operations operations, 0 mismatches"
