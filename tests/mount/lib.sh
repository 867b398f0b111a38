# What every mount test needs: a fresh vault mounted, a guard that it is still the mount that is
# tested and not the bare directory below, and the official implementation's verdict at the end.
# Sourced by the tests; `run` sets OXCRYPT, JUDGE, TOOLS and LONG.
# shellcheck shell=bash
set -euo pipefail
export LC_ALL=C.UTF-8

: "${OXCRYPT:?start these tests through tests/mount/run}" "${JUDGE:?}" "${TOOLS:?}"
long=${LONG:-}
name=$(basename "$0" .sh)
work=$(mktemp -d "${TMPDIR:-/tmp}/oxcrypt-$name.XXXXXX")
password='correct horse'
(umask 077 && printf "%s" "$password" >"$work/password")
mnt= vault= pid= device=
combo=siv-gcm
began=$SECONDS

fail() {
    printf '%s: FAILED: %s\n' "$name" "$*" >&2
    if [ -s "$work/daemon.log" ]; then
        printf -- '--- the last lines of the mount process\n' >&2
        tail -n 20 "$work/daemon.log" >&2
    fi
    exit 1
}

passed=
pass() {
    passed=yes
    printf '%s: ok in %d s: %s\n' "$name" "$((SECONDS - began))" "$*"
}

# Ends what this test started and nothing else. A test that has more to undo says how in `undo`, and
# leaves the trap alone: whatever ran there first would decide how the test ended.
undo=
clean_up() {
    local status=$?
    trap - EXIT
    eval "$undo" || true
    # One that a test has stopped would let nobody unmount.
    [ -z "$pid" ] || kill -CONT "$pid" 2>/dev/null || true
    if [ -n "$mnt" ] && mounted "$mnt"; then
        umount "$mnt" 2>/dev/null || umount -l "$mnt" || true
    fi
    if [ -n "$pid" ]; then
        wait_end "$pid" 100 || kill -KILL "$pid" 2>/dev/null || true
    fi
    # Never through a mount that would not go.
    if [ -z "$mnt" ] || ! mounted "$mnt"; then
        rm -rf --one-file-system "$work"
    fi
    # However it came to its end: who did not pass has failed.
    [ "$status" != 0 ] || [ -n "$passed" ] || status=1
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# Whether something is mounted there, also when it does not answer any more.
mounted() { grep -qsF " $1 " /proc/self/mounts; }

# Waits until a process ends, in tenths of a second. One that was killed while a thread of it waits for
# the kernel looks like a zombie, and lives.
wait_end() {
    local i
    for ((i = 0; i < $2; i++)); do
        [ -d "/proc/$1" ] || return 0
        if [ "$(sed -n 's/^State:\s*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null)" = Z ] &&
            [ "$(find "/proc/$1/task" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)" -le 1 ]; then
            return 0
        fi
        sleep 0.1
    done
    return 1
}

# Installs a Debian package for a program that is not there.
need() {
    command -v "$1" >/dev/null && return 0
    [ "$(id -u)" = 0 ] || fail "$1 is missing; install ${2:-$1}"
    apt-get install -y -qq --no-install-recommends "${2:-$1}" >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${2:-$1}" >/dev/null; } ||
        fail "cannot install ${2:-$1}"
}

# The same for a program that other users run too: one in the home of root will not do. Sets $NAME.
need_for_all() {
    local path
    path=$(PATH=/usr/local/bin:/usr/bin:/bin command -v "$1") ||
        { PATH=/usr/bin:/bin need "$1" "${2:-}" && path=$(PATH=/usr/bin:/bin command -v "$1"); }
    printf -v "$1" %s "$path"
}

# Builds a program from the registry once; the directory is kept between runs.
need_crate() {
    local crate=$1 version=$2
    if ! grep -qs "^\"$crate $version " "$TOOLS/.crates.toml"; then
        CARGO_TARGET_DIR="$TOOLS/target" cargo install --quiet --locked --root "$TOOLS" --version "$version" "$crate"
    fi
    export PATH="$TOOLS/bin:$PATH"
}

# fresh_vault COMBO: makes a new vault.
fresh_vault() {
    combo=$1
    vault=$work/vault-$combo
    mkdir "$vault"
    "$OXCRYPT" init "$vault" --password-file "$work/password" --cipher "$combo" >/dev/null 2>&1
}

# mount_vault [OPTION…]: mounts the vault at $mnt; $pid serves it.
mount_vault() {
    mnt=$work/mnt
    mkdir -p "$mnt"
    local before i
    before=$(stat -c %d "$mnt")
    "$OXCRYPT" mount "$vault" "$mnt" --foreground --password-file "$work/password" "$@" \
        >>"$work/daemon.log" 2>&1 &
    pid=$!
    for ((i = 0; i < 300; i++)); do
        device=$(stat -c %d "$mnt")
        [ "$device" = "$before" ] || return 0
        [ -d "/proc/$pid" ] || break
        sleep 0.1
    done
    fail "the vault was not mounted"
}

# Fails when the mount is gone or its process died: nothing tested since then counts.
guard() {
    [ -d "/proc/$pid" ] || fail "the mount process died"
    [ "$(stat -c %d "$mnt" 2>/dev/null)" = "$device" ] || fail "the mount is gone"
}

unmount_vault() {
    guard
    local i
    for ((i = 0; i < 100; i++)); do
        umount "$mnt" 2>/dev/null && break
        sleep 0.1
    done
    ! mounted "$mnt" || fail "cannot be unmounted"
    wait_end "$pid" 300 || fail "the mount process does not end"
    wait "$pid" || fail "the mount process ended with status $?"
    pid=
    ! grep -q 'panicked' "$work/daemon.log" || fail "the mount process panicked"
}

# Unmounts, lets the official implementation read everything, and mounts no more.
judge_vault() {
    guard
    "$JUDGE" list "$mnt" "$work/entries.json" >/dev/null || fail "the mount cannot be listed"
    unmount_vault
    local official=SIV_GCM
    [ "$combo" = siv-gcm ] || official=SIV_CTRMAC
    "$JUDGE" check "$vault" "$work/entries.json" "$password" "$official" >"$work/verdict" 2>&1 || {
        head -c 4000 "$work/verdict" >&2
        fail "the official implementation disagrees ($official)"
    }
    grep '^skipped' "$work/verdict" || true
}

# with_both FUNCTION: runs it in a mounted vault of each cipher combination, then judges the vault.
with_both() {
    for combo in siv-gcm siv-ctrmac; do
        fresh_vault "$combo"
        mount_vault
        "$1"
        judge_vault
        rm -rf "$vault"
    done
}

# Picks the second value in the long form.
short_long() { if [ -n "$long" ]; then echo "$2"; else echo "$1"; fi; }
