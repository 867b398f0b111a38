"""Changes of a vault by somebody else: see foreign.sh.

`prepare MNT` fills a vault; `watch MNT OTHER_MNT OTHER_VAULT VAULT PID` changes the other one, carries each
change over by files, and measures how long it takes until the mount shows it."""

import os
import subprocess
import sys
import time

LIMIT = 1.0


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def prepare(mnt):
    for name in ("keep", "change", "shrink", "delete", "move", "replace", "dir/inner", "L" * 200):
        write(os.path.join(mnt, name), b"old " * 20_000)
    os.makedirs(os.path.join(mnt, "dir/sub"))
    os.symlink("keep", os.path.join(mnt, "link"))


def watch(mnt, other_mnt, other_vault, vault, pid):
    here = lambda name: os.path.join(mnt, name)
    there = lambda name: os.path.join(other_mnt, name)
    slowest = 0.0

    def carry():
        # The way of a sync client: beside it, then renamed over the old one.
        subprocess.run(
            ["rsync", "-a", "--delete", other_vault + "/d/", vault + "/d/"], check=True
        )

    def warm():
        for directory, _, names in os.walk(mnt):
            for name in names:
                path = os.path.join(directory, name)
                os.lstat(path)
                if not os.path.islink(path):
                    read(path)
        for name in ("new", "dir/new", "newdir", "moved"):
            assert not os.path.exists(here(name))

    def seen(text, condition):
        nonlocal slowest
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > 10 * LIMIT:
                raise SystemExit(f"{text}: not seen within {10 * LIMIT} s")
            time.sleep(0.01)
        took = time.monotonic() - began
        slowest = max(slowest, took)
        if took > LIMIT:
            raise SystemExit(f"{text}: seen after {took:.2f} s")

    def step(text, change, condition):
        change()
        # New files get their header a moment later.
        time.sleep(0.5)
        carry()
        seen(text, condition)

    warm()
    step("create", lambda: write(there("new"), b"n" * 70_000), lambda: read(here("new")) == b"n" * 70_000)
    seen("create, listed", lambda: "new" in os.listdir(mnt))
    step("create below", lambda: write(there("dir/new"), b"d"), lambda: read(here("dir/new")) == b"d")
    step("change", lambda: write(there("change"), b"c" * 90_000), lambda: read(here("change")) == b"c" * 90_000)
    step("shrink", lambda: write(there("shrink"), b"s"), lambda: read(here("shrink")) == b"s")
    step("change of a long name", lambda: write(there("L" * 200), b"long"), lambda: read(here("L" * 200)) == b"long")
    step("delete", lambda: os.unlink(there("delete")), lambda: not os.path.exists(here("delete")))
    seen("delete, listed", lambda: "delete" not in os.listdir(mnt))
    step("rename", lambda: os.rename(there("move"), there("moved")), lambda: os.path.exists(here("moved")) and not os.path.exists(here("move")))
    step("mkdir", lambda: os.mkdir(there("newdir")), lambda: os.path.isdir(here("newdir")))
    step("below a new directory", lambda: write(there("newdir/file"), b"f"), lambda: read(here("newdir/file")) == b"f")
    step("rmdir", lambda: os.rmdir(there("dir/sub")), lambda: not os.path.exists(here("dir/sub")))
    step("rename of a directory", lambda: os.rename(there("dir"), there("dir2")), lambda: os.path.isdir(here("dir2")) and not os.path.exists(here("dir")) and read(here("dir2/inner")) is not None)

    # Read by a program that keeps it open: the holder keeps the old content, others see the new.
    holder = os.open(here("replace"), os.O_RDONLY)
    old = os.read(holder, 100)
    step("replace", lambda: write(there("replace"), b"r" * 10), lambda: read(here("replace")) == b"r" * 10)
    if os.pread(holder, 100, 0) != old:
        raise SystemExit("who had the file open lost its content")
    os.close(holder)

    # Our own writes must not make the kernel forget what it knows.
    write(here("own"), b"o" * 100_000)
    os.stat(here("own"))
    time.sleep(0.5)
    before = switches(pid)
    for _ in range(2000):
        os.stat(here("own"))
        os.stat(here("keep"))
    asked = switches(pid) - before
    if asked > 200:
        raise SystemExit(f"4000 stats after own writes woke the mount {asked} times")
    print(f"14 kinds of change, the slowest seen after {slowest * 1000:.0f} ms (limit {LIMIT:.0f} s)")


def switches(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as status:
            total += sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)
    return total


if sys.argv[1] == "prepare":
    prepare(sys.argv[2])
else:
    watch(*sys.argv[2:])
