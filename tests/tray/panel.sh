# The icon in a real panel, in each of its states, with the embedded pixels and with the files of the
# packages. The screenshots are for looking at; the colours are counted.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

display=$((100 + RANDOM % 800))
Xvfb ":$display" -screen 0 240x64x24 -nolisten tcp >/dev/null 2>&1 &
xvfb=$!
panel=
trap 'kill $xvfb $panel ${tray:-} 2>/dev/null || true' EXIT
export DISPLAY=":$display"
until_true xdpyinfo

setting() { xfconf-query -c xfce4-panel -p "$1" -n "${@:2}"; }
setting /configver -t int -s 2
setting /panels -a -t int -s 1
setting /panels/panel-1/position -t string -s "p=6;x=0;y=0"
setting /panels/panel-1/length -t uint -s 100
setting /panels/panel-1/size -t uint -s 48
setting /panels/panel-1/plugin-ids -a -t int -s 1
setting /plugins/plugin-1 -t string -s systray
setting /plugins/plugin-1/known-items -a -t string -s org.oxcrypt.Tray
setting /plugins/plugin-1/icon-size -t int -s 32
xfce4-panel --disable-wm-check >"$HOME/panel-log" 2>&1 &
panel=$!

registered() {
    dbus-send --session --print-reply --dest=org.kde.StatusNotifierWatcher \
        /StatusNotifierWatcher org.freedesktop.DBus.Properties.Get \
        string:org.kde.StatusNotifierWatcher string:RegisteredStatusNotifierItems |
        grep -q StatusNotifierItem
}

light='#EEEEEC' green='#73D216' orange='#F57900'
pixels() { convert "$1" -depth 8 txt:- | grep -c "$2" || true; }
# A screenshot with this name shows this colour, and not the others.
shows() {
    local name=$1 colour=$2 other file="$TRAY_SHOTS/$1.png"
    for _ in $(seq 100); do
        import -window root "$file"
        if [ "$(pixels "$file" "$colour")" -gt 40 ]; then
            for other in $green $orange; do
                [ "$other" = "$colour" ] || [ "$(pixels "$file" "$other")" -lt 10 ] ||
                    fail "$name shows $other as well"
            done
            echo "$name: $(pixels "$file" "$colour") pixels of $colour"
            return
        fi
        sleep 0.1
    done
    fail "$name does not show $colour"
}

one_round() {
    start_tray
    until_true registered
    shows "$1-locked" $light
    manager Ask string:work boolean:false >/dev/null
    shows "$1-unlocked" $green
    echo 'broken = ' >>"$HOME/.config/oxcrypt/config.toml"
    shows "$1-attention" $orange
    sed -i '$d' "$HOME/.config/oxcrypt/config.toml"
    "$here/menu.py" "Recent events" "Mark as seen"
    shows "$1-unlocked-again" $green
    manager Lock string:work boolean:false >/dev/null
    shows "$1-locked-again" $light
    manager Quit boolean:false >/dev/null
    wait "$tray"
}

one_round embedded
icons="$HOME/share/icons/hicolor/scalable/status"
mkdir -p "$icons"
cp "$here"/../../packaging/desktop/icons/oxcrypt-*.svg "$icons"
cp /usr/share/icons/hicolor/index.theme "$HOME/share/icons/hicolor/"
one_round themed
