# What the tray costs while nothing is mounted: memory, threads, wake-ups.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

# Alone with its mounts, where possible: others on this machine, and the end of those that were there
# when the name space was made, are rightly noticed.
alone=()
if [ "$(id -u)" = 0 ]; then
    alone=(unshare --mount --propagation private sh -c
        'grep " - fuse" /proc/self/mountinfo | cut -d" " -f5 | while read -r point; do
            umount -l "$(printf "%b" "$point")"; done; exec "$@"' alone)
fi
start_tray "${alone[@]}"
manager Ask string:work boolean:false >/dev/null
manager Lock string:work boolean:false >/dev/null
sleep 3
number() { sed -n "s/^$1:[[:space:]]*\([0-9]*\).*/\1/p" "/proc/$tray/status"; }
before=$(number voluntary_ctxt_switches)
cpu=$(cut -d' ' -f14,15 "/proc/$tray/stat")
sleep 10
resident=$(number VmRSS)
threads=$(number Threads)
woken=$(($(number voluntary_ctxt_switches) - before))
echo "idle: $resident KiB resident, $threads thread(s), woken $woken times in 10 s"
[ "$(cut -d' ' -f14,15 "/proc/$tray/stat")" = "$cpu" ] || echo "processor time: $cpu before"
[ "$resident" -le $((12 * 1024)) ] || fail "more than 12 MiB"
[ "$threads" = 1 ] || fail "more than one thread"
[ "$woken" = 0 ] || [ ${#alone[@]} = 0 ] || fail "a timer runs"
manager Quit boolean:false >/dev/null
wait "$tray"
