# A session for one test: a home with two vaults, a private bus, the tray. Sourced by the tests, which
# start again inside their bus.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
passphrase="correct horse battery"

if [ -z "${TRAY_HOME:-}" ]; then
    TRAY_HOME=$(mktemp -d)
    export TRAY_HOME
    status=0
    env -i PATH="$OXCRYPT_BIN:$TRAY_HOME/bin:$PATH" LC_ALL=C.UTF-8 HOME="$TRAY_HOME" \
        XDG_RUNTIME_DIR="$TRAY_HOME/run" TRAY_HOME="$TRAY_HOME" OXCRYPT_BIN="$OXCRYPT_BIN" \
        TRAY_SHOTS="${TRAY_SHOTS:-$TRAY_HOME/shots}" DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nowhere" \
        XDG_DATA_DIRS="$TRAY_HOME/share:/usr/share" XDG_CURRENT_DESKTOP=XFCE \
        dbus-run-session -- bash "$0" </dev/null || status=$?
    # What is still mounted goes, whatever happened.
    for point in "$TRAY_HOME"/Vaults/*; do
        [ ! -d "$point" ] || "$OXCRYPT_BIN/oxcrypt" -q lock --force "$point" 2>/dev/null || true
    done
    rm -rf "$TRAY_HOME"
    exit $status
fi

mkdir -p "$HOME"/{bin,.config/oxcrypt} "$TRAY_SHOTS"
mkdir -m 700 "$XDG_RUNTIME_DIR"
printf '%s' "$passphrase" >"$HOME/pw"
chmod 600 "$HOME/pw"
for name in home work; do
    oxcrypt -q init "$HOME/$name" --password-file "$HOME/pw"
done
printf '#!/bin/sh\necho asked >> ~/asked\necho "%s"\n' "$passphrase" >"$HOME/bin/ask"
chmod 755 "$HOME/bin/ask"
cat >"$HOME/.config/oxcrypt/config.toml" <<TOML
[tray]
unnamed = false
prompter = ["$HOME/bin/ask"]
[vaults.home]
path = "~/home"
[vaults.work]
path = "~/work"
TOML

fail() {
    echo "$0: $*" >&2
    exit 1
}

# Waits until a command succeeds, twenty seconds at most.
until_true() {
    for _ in $(seq 200); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    fail "not in time: $*"
}

manager() {
    local method=$1
    shift
    dbus-send --session --print-reply --reply-timeout=60000 --dest=org.oxcrypt.Manager1 \
        /org/oxcrypt/Manager1 "org.oxcrypt.Manager1.$method" "$@"
}

is_mounted() { grep -q " $HOME/Vaults/$1 " /proc/self/mountinfo; }
is_locked() { ! is_mounted "$1"; }

start_tray() {
    "$@" oxcrypt-tray 2>"$HOME/log" &
    tray=$!
    until_true manager ListVaults
}
