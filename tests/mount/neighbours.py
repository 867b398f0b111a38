"""What another local user gets of a mount: nothing.

  neighbours.py MOUNT VAULT PID PLACE…     run as the other user; PLACE: where its process keeps things
"""

import errno
import os
import socket
import sys

mount, vault, pid = sys.argv[1], sys.argv[2], int(sys.argv[3])
places = sys.argv[4:]
reached = []


def must_fail(what, work):
    try:
        work()
    except OSError as e:
        if e.errno in (errno.EACCES, errno.EPERM):
            return
        raise SystemExit(f"{what}: {e}")
    reached.append(what)


must_fail("list the mount", lambda: os.listdir(mount))
must_fail("stat the mount's root", lambda: os.stat(os.path.join(mount, ".")))
must_fail("open a file by its name", lambda: os.open(os.path.join(mount, "secret"), os.O_RDONLY))
must_fail("make a file", lambda: os.open(os.path.join(mount, "new"), os.O_RDWR | os.O_CREAT))
for what in ("mem", "maps", "environ", "fd", "io", "root", "cwd"):
    path = f"/proc/{pid}/{what}"
    if what in ("root", "cwd"):
        must_fail(path, lambda path=path: os.readlink(path))
    elif what == "fd":
        must_fail(path, lambda path=path: os.listdir(path))
    else:
        must_fail(path, lambda path=path: open(path, "rb").read(1))
must_fail("signal its process", lambda: os.kill(pid, 0))

sockets = 0
for place in places:
    if not os.path.lexists(place):
        # Below a directory that lets nobody in.
        continue
    if os.path.isdir(place):
        must_fail(f"list {place}", lambda place=place: os.listdir(place))
    else:
        def ask(place=place):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(place)
                s.sendall(b'{"ask":"status"}\n')
                if s.recv(10):
                    raise SystemExit("the socket answers")
        must_fail(f"connect to {place}", ask)
if reached:
    raise SystemExit("can " + "; ".join(reached))
