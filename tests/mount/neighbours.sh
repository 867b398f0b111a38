#!/usr/bin/env bash
# Another local user reaches neither a mount, nor the process behind it, nor what that keeps: its socket,
# its journal, its state. Root's mount, and an ordinary user's.
source "$(dirname "$0")/lib.sh"
need python3
need_for_all setpriv util-linux
need_for_all python3
here=$(cd "$(dirname "$0")" && pwd)
chmod 755 "$work"
cp "$here/neighbours.py" "$work/neighbours.py"
cp "$OXCRYPT" "$work/oxcrypt"
chmod 755 "$work/oxcrypt" "$work/neighbours.py"

# Files, sockets and directories that the process has open or listens at, but for the vault's, and where they are.
kept() {
    {
        find "/proc/$pid/fd" -type l -printf '%l\n' 2>/dev/null
        "$@" --json status | python3 -c 'import json, sys; print(*(m["control"] for m in json.load(sys.stdin)["mounts"] if m.get("pid") == int(sys.argv[1])), sep="\n")' "$pid"
    } | grep '^/' | grep -vE "^(/dev|/proc|$vault|$mnt|$work/oxcrypt|$work/daemon.log)" | sed 's/ (deleted)$//' | sort -u |
        while read -r path; do
            echo "$path"
            dirname "$path"
        done | grep -vE "^(/|/run|/var|/var/lib|/tmp|/etc|/sys.*|$work|$work/home)\$" | sort -u
}

look() {
    mapfile -t places < <(kept "$@")
    [ ${#places[@]} -ge 2 ] || fail "its socket and journal were not found: ${places[*]}"
    setpriv --reuid 65533 --regid 65533 --clear-groups "$python3" "$work/neighbours.py" \
        "$mnt" "$vault" "$pid" "${places[@]}" || fail "another user, against $*"
    looked=$((${looked:-0} + ${#places[@]}))
}

fresh_vault siv-gcm
mount_vault
echo hidden >"$mnt/secret"
look "$OXCRYPT"
unmount_vault

user=65534
install -d -m 755 -o "$user" -g "$user" "$work/home"
install -d -m 700 -o "$user" -g "$user" "$work/home/run"
(umask 077 && cp "$work/password" "$work/home/password")
chown "$user:$user" "$work/home/password"
fuse_mode=$(stat -c %a /dev/fuse)
chmod 666 /dev/fuse
undo='chmod "$fuse_mode" /dev/fuse'
as_user() {
    setpriv --reuid "$user" --regid "$user" --clear-groups env HOME="$work/home" XDG_RUNTIME_DIR="$work/home/run" "$@"
}
vault=$work/home/vault
mnt=$work/home/mnt
as_user mkdir "$vault" "$mnt"
as_user "$work/oxcrypt" init "$vault" --password-file "$work/home/password" >/dev/null 2>&1
as_user "$work/oxcrypt" mount "$vault" "$mnt" --password-file "$work/home/password" >/dev/null 2>"$work/daemon.log" ||
    fail "not mounted: $(cat "$work/daemon.log")"
as_user sh -c "echo hidden >'$mnt/secret'"
pid=$(as_user "$work/oxcrypt" --json status "$mnt" | python3 -c 'import json, sys; print(json.load(sys.stdin)["mounts"][0]["pid"])')
look as_user "$work/oxcrypt"
as_user "$work/oxcrypt" --quiet lock "$mnt" || fail "not locked"
pid= mnt=
pass "root's mount and a user's: no way in for another, nor to $looked places of their processes"
