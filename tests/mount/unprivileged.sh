#!/usr/bin/env bash
# An ordinary user mounts through fusermount3, and nobody else sees into it, not even root.
source "$(dirname "$0")/lib.sh"
need setpriv util-linux
user=65534
chmod 711 "$work"
mkdir -m 700 "$work/home"
cp "$OXCRYPT" "$work/oxcrypt"
chmod 755 "$work/oxcrypt"
(umask 077 && cp "$work/password" "$work/home/password")
chown -R "$user:$user" "$work/home"
[ "$(stat -c %a /dev/fuse)" = 666 ] || chmod_fuse=$(stat -c %a /dev/fuse)
if [ -n "${chmod_fuse:-}" ]; then
    # As udev sets it up everywhere but in some containers.
    chmod 666 /dev/fuse
    undo='chmod "$chmod_fuse" /dev/fuse'
fi

as_user() {
    setpriv --reuid "$user" --regid "$user" --clear-groups env HOME="$work/home" \
        XDG_RUNTIME_DIR="$work/home" XDG_STATE_HOME="$work/home/state" XDG_CONFIG_HOME="$work/home/config" "$@"
}

vault=$work/home/vault
mnt=$work/home/mnt
as_user mkdir "$vault" "$mnt"
as_user "$work/oxcrypt" init "$vault" --password-file "$work/home/password" >/dev/null 2>&1
as_user "$work/oxcrypt" mount "$vault" "$mnt" --password-file "$work/home/password" >/dev/null 2>"$work/daemon.log" ||
    fail "not mounted: $(cat "$work/daemon.log")"
mounted "$mnt" || fail "nothing is mounted"
as_user sh -c "echo mine >'$mnt/file' && mkdir '$mnt/dir' && mv '$mnt/file' '$mnt/dir/' && chmod 400 '$mnt/dir/file'" ||
    fail "the user cannot work"
[ "$(as_user cat "$mnt/dir/file")" = mine ] || fail "read back differently"
[ "$(as_user stat -c '%u %a' "$mnt/dir/file")" = "$user 400" ] || fail "owner or mode is wrong"
if ls "$mnt" >/dev/null 2>&1; then fail "root sees into another user's vault"; fi
as_user "$work/oxcrypt" --quiet lock "$mnt" || fail "the user cannot lock it"
! mounted "$mnt" || fail "still mounted"
mnt=
pass "mounted, used and locked by user $user; root is kept out"
