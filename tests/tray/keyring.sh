# Passphrases in a real key ring of the desktop: saved, used and forgotten, and never touched before.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

# The password of the key ring itself.
printf 'login' | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1
kept() { secret-tool search --all application oxcrypt 2>&1 | grep -c '^secret = ' || true; }

start_tray
item() {
    "$here/menu.py" "$@"
}
manager Ask string:work boolean:false >/dev/null
manager Lock string:work boolean:false >/dev/null
[ "$(kept)" = 0 ] || fail "something was kept that nobody asked for"
[ "$(wc -l <"$HOME/asked")" = 1 ] || fail "a person is asked"

item work "Remember passphrase…"
until_true grep -q 'unlock = "keyring"' "$HOME/.config/oxcrypt/config.toml"
[ "$(kept)" = 1 ] || fail "not kept"
asked=$(wc -l <"$HOME/asked")
until_true item --has work "Forget passphrase"
manager Ask string:work boolean:false >/dev/null
is_mounted work || fail "not unlocked from the key ring"
[ "$(wc -l <"$HOME/asked")" = "$asked" ] || fail "a person was asked although it is kept"
manager Lock string:work boolean:false >/dev/null

item work "Forget passphrase"
until_true grep -q 'unlock = "prompt"' "$HOME/.config/oxcrypt/config.toml"
[ "$(kept)" = 0 ] || fail "still kept"
until_true item --has work "Remember passphrase…"
manager Ask string:work boolean:false >/dev/null
[ "$(wc -l <"$HOME/asked")" -gt "$asked" ] || fail "a person is asked again"
manager Quit boolean:false >/dev/null
wait "$tray"
