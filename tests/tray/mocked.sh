# logind, the screen saver and the notification server of python-dbusmock.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

/usr/bin/python3 "$here/mocked.py"
