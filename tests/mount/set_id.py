"""What becomes of the set-id bits of a file: `set_id.py DIR` prints one line for each way to change
it. The output on a local disk is the oracle."""

import ctypes
import mmap
import os
import sys

directory = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16


def fallocate(fd, mode, offset, length):
    args = (ctypes.c_int(fd), ctypes.c_int(mode), ctypes.c_long(offset), ctypes.c_long(length))
    if libc.fallocate(*args) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def mapped(fd):
    with mmap.mmap(fd, 5) as map:
        map[0] = 33


def copied(fd):
    with open(os.path.join(directory, "source"), "rb") as source:
        os.copy_file_range(source.fileno(), fd, 3)


def truncated(fd):
    os.truncate(f"/proc/self/fd/{fd}", 2)


def reopened(fd):
    os.close(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_TRUNC))


def appended(fd):
    again = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_APPEND)
    os.write(again, b"more")
    os.close(again)


me, group = os.geteuid(), os.getegid()
WAYS = {
    "nothing": lambda fd: None,
    "write": lambda fd: os.write(fd, b"x"),
    "write of nothing": lambda fd: os.write(fd, b""),
    "write behind the end": lambda fd: os.pwrite(fd, b"x", 50_000),
    "append": appended,
    "shared map": mapped,
    "truncate": truncated,
    "ftruncate": lambda fd: os.ftruncate(fd, 3),
    "ftruncate to the same size": lambda fd: os.ftruncate(fd, 5),
    "grow": lambda fd: os.ftruncate(fd, 70_000),
    "open with O_TRUNC": reopened,
    "fallocate": lambda fd: fallocate(fd, 0, 0, 9),
    "fallocate, keeping the size": lambda fd: fallocate(fd, KEEP_SIZE, 0, 9),
    "punch": lambda fd: fallocate(fd, KEEP_SIZE | PUNCH_HOLE, 0, 4),
    "zero": lambda fd: fallocate(fd, ZERO_RANGE, 0, 4),
    "copy_file_range": copied,
    "chown to the same": lambda fd: os.fchown(fd, me, group),
    "chown to nobody else": lambda fd: os.fchown(fd, -1, -1),
    "chgrp": lambda fd: os.fchown(fd, -1, group),
    "utimes": lambda fd: os.utime(fd),
    "chmod": lambda fd: os.fchmod(fd, 0o6711),
    "fsync": os.fsync,
    "link": lambda fd: os.link(f"/proc/self/fd/{fd}", os.path.join(directory, "second")),
    "rename": lambda fd: os.rename(os.path.join(directory, "file"), os.path.join(directory, "second")),
}

path = os.path.join(directory, "file")
with open(os.path.join(directory, "source"), "wb") as file:
    file.write(b"abcdefgh")
for mode in (0o6755, 0o2644, 0o4700, 0o6777):
    for way, act in WAYS.items():
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(fd, b"hello")
        os.fchmod(fd, mode)
        try:
            act(fd)
            result = "done"
        except OSError as error:
            result = os.strerror(error.errno)
        # What the file has, and what those see who ask by name.
        names = [os.path.join(directory, name) for name in ("file", "second")]
        seen = {oct(os.stat(name).st_mode & 0o7777) for name in names if os.path.exists(name)}
        print(f"{mode:o} {way}: {result}, {os.fstat(fd).st_mode & 0o7777:o} {sorted(seen)}")
        os.close(fd)
        for name in names:
            if os.path.exists(name):
                os.unlink(name)

# A directory with the bit hands its group and the bit down.
os.mkdir(os.path.join(directory, "dir"))
os.chmod(os.path.join(directory, "dir"), 0o2755)
os.mkdir(os.path.join(directory, "dir/below"))
os.close(os.open(os.path.join(directory, "dir/file"), os.O_CREAT | os.O_WRONLY, 0o6755))
for name in ("dir", "dir/below", "dir/file"):
    print(name, oct(os.stat(os.path.join(directory, name)).st_mode))
