"""Makes many files while some are in use in every way: open, mapped, sat in, watched, removed while open.

    bounded.py MOUNT FILES
"""

import mmap
import os
import sys

MIB = 1 << 20


def check(what, seen, expected):
    if seen != expected:
        sys.exit(f"{what}: {seen!r} instead of {expected!r}")


def main():
    top, count = sys.argv[1], int(sys.argv[2])
    home = os.path.join(top, "home")
    deep = os.path.join(home, "deep", "deeper")
    os.makedirs(deep)
    os.chdir(deep)

    held = open("held", "w+b", buffering=0)
    held.write(b"a" * MIB)
    gone = open("gone", "w+b", buffering=0)
    gone.write(b"g" * MIB)
    os.unlink("gone")
    with open("mapped", "w+b") as file:
        file.truncate(MIB)
        mapped = mmap.mmap(file.fileno(), MIB)
    mapped[:3] = b"one"
    with open("unsynced", "wb") as file:
        file.write(b"u" * 100_000)
    inode = os.stat("unsynced").st_ino
    os.link("unsynced", "second")
    os.symlink("held", "link")
    directory = os.open(".", os.O_RDONLY)

    for n in range(count):
        if n % 500 == 0:
            under = os.path.join(top, f"d{n:06}")
            os.mkdir(under)
        with open(os.path.join(under, f"{n:06}"), "wb") as file:
            file.write(b"%d" % n)
        if n % 1000 == 999:
            held.write(b"b")
            mapped[n % MIB] = 0x7E

    check("the working directory", os.getcwd(), deep)
    for file, name in (held, "held"), (directory, None):
        number = file if isinstance(file, int) else file.fileno()
        path = os.path.join(deep, name) if name else deep
        check("the name of an open file", os.readlink(f"/proc/self/fd/{number}"), path)
    check("the length of a held file", os.stat("held").st_size, MIB + count // 1000)
    check("the content of a held file", os.pread(held.fileno(), 4, MIB - 2), b"aabb")
    check("a removed file", os.pread(gone.fileno(), MIB, 0), b"g" * MIB)
    check("a map", bytes(mapped[:3]), b"one")
    mapped.flush()
    with open("mapped", "rb") as file:
        content = file.read()
    check("what was mapped", content, bytes(mapped[:]))
    with open("unsynced", "rb") as file:
        check("what nobody synced", file.read(), b"u" * 100_000)
    check("an inode number", os.stat("unsynced").st_ino, inode)
    check("that of a hard link", os.stat("second").st_ino, inode)
    check("a link", os.readlink("link"), "held")
    check("names of the open directory", len(os.listdir(directory)), 5)
    for n in range(0, count, 97):
        path = os.path.join(top, f"d{n - n % 500:06}", f"{n:06}")
        with open(path, "rb") as file:
            check(path, file.read(), b"%d" % n)
        check(path, os.stat(path).st_nlink, 1)


main()
