#!/usr/bin/env bash
# Many more files than the mount may remember: the kernel is asked to forget the rest, and nobody who uses one
# of them notices. Kernels before 6.18 cannot be asked, and forget when memory is short.
source "$(dirname "$0")/lib.sh"
need python3
here=$(cd "$(dirname "$0")" && pwd)

bound=1000
files=$(short_long 8000 100000)
nodes() {
    "$OXCRYPT" stats "$mnt" --json |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["mounts"][0]["nodes"])' 2>/dev/null
}
can_be_asked() { [ "$(printf '6.18\n%s\n' "$(uname -r)" | sort -V | head -n 1)" = 6.18 ]; }

fresh_vault siv-gcm
mount_vault --max-nodes "$bound"
python3 "$here/bounded.py" "$mnt" "$files" || fail "somebody noticed"
guard
# The last requests may be on their way, and a busy machine may not answer at once.
for ((i = 0; i < 100; i++)); do
    known=$(nodes) || known=unknown
    [ "$known" != unknown ] || continue
    [ "$known" -gt $((bound * 3 / 2)) ] || break
    sleep 0.1
done
[ "$known" != unknown ] || fail "the mount does not tell how many nodes it knows"
if can_be_asked; then
    [ "$known" -le $((bound * 3 / 2)) ] || fail "$known nodes, $bound wanted"
else
    echo "this kernel forgets by itself only: $known nodes"
fi
judge_vault
pass "$files files, $known nodes remembered"
