#!/usr/bin/env bash
# Many new files at once, under the limit of open files that a shell sets: once where the mount can raise it,
# once where it cannot. Programs that it starts get the usual limit.
# In memory: on a slow disk there never are many new files at once.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
source "$(dirname "$0")/lib.sh"
need python3

files=$(short_long 6000 60000)
burst() {
    python3 - "$mnt" "$files" <<'EOF' || fail "a new file was refused ($1)"
import os
import sys

top, count = sys.argv[1], int(sys.argv[2])
for n in range(count):
    if n % 2000 == 0:
        under = os.path.join(top, f"d{n}")
        os.mkdir(under)
    os.close(os.open(os.path.join(under, str(n)), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
EOF
    guard
}

for limit in soft both; do
    fresh_vault siv-gcm
    case $limit in
    soft) ulimit -Sn 1024 ;;
    both) ulimit -n 1024 ;;
    esac
    mount_vault
    burst "$limit"
    judge_vault
    if [ "$limit" = soft ]; then
        seen=$("$OXCRYPT" exec --password-file "$work/password" "$vault" -- sh -c 'sleep 0.5; ulimit -Sn') ||
            fail "exec ended with status $?"
        [ "$seen" = 1024 ] || fail "a program may open $seen files"
    fi
    rm -rf "$vault"
done
pass "$files new files in one go, twice"
