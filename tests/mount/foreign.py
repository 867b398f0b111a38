"""Changes of a vault by somebody else: see foreign.sh.

`prepare MNT` fills a vault; `watch MNT OTHER_MNT OTHER_VAULT VAULT PID` changes the other one, carries each
change over by files, and measures how long it takes until the mount shows it."""

import errno
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
    except OSError as error:
        # Opened in the moment between the change and its notice.
        if error.errno == errno.ESTALE:
            return None
        raise


def prepare(mnt):
    for name in ("keep", "change", "shrink", "delete", "move", "replace", "dir/inner", "L" * 200):
        write(os.path.join(mnt, name), b"old " * 20_000)
    os.makedirs(os.path.join(mnt, "dir/sub"))
    os.symlink("keep", os.path.join(mnt, "link"))


def watch(mnt, other_mnt, other_vault, vault, pid):
    here = lambda name: os.path.join(mnt, name)
    there = lambda name: os.path.join(other_mnt, name)
    slowest = 0.0

    def carry(*how):
        # The way of a sync client: beside it, then renamed over the old one. Times of directories are
        # nobody's business: setting them would tell that something in a wrapper has changed.
        subprocess.run(
            ["rsync", "-a", "--omit-dir-times", "--modify-window=-1", "--delete", *how, other_vault + "/d/", vault + "/d/"], check=True
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

    steps = 0

    def step(text, change, condition, *how):
        nonlocal steps
        change()
        # New files get their header a moment later.
        time.sleep(0.5)
        carry(*how)
        seen(text, condition)
        steps += 1

    def exchange(one, two):
        os.rename(there(one), there("aside"))
        os.rename(there(two), there(one))
        os.rename(there("aside"), there(two))

    def retarget(name, target):
        os.unlink(there(name))
        os.symlink(target, there(name))

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

    # With a program inside of it, which holds the directory by its old name.
    step("a directory in use", lambda: (os.makedirs(there("used/sub")), write(there("used/sub/file"), b"1")), lambda: read(here("used/sub/file")) == b"1")
    inside = subprocess.Popen(["sleep", "600"], cwd=here("used/sub"))
    step("rename of a directory in use", lambda: os.rename(there("used"), there("used2")), lambda: not os.path.exists(here("used")) and read(here("used2/sub/file")) == b"1")
    inside.kill()
    inside.wait()
    step("below it, when it is let go", lambda: (write(there("used2/new"), b"2"), write(there("used2/sub/file"), b"3")), lambda: "new" in os.listdir(here("used2")) and read(here("used2/sub/file")) == b"3")

    # Only what is inside of wrappers changes.
    step("another target", lambda: retarget("link", "change"), lambda: os.readlink(here("link")) == "change")
    step("another target, shown", lambda: retarget("link", "shrink"), lambda: read(here("link")) == b"s")
    step("a long name again", lambda: write(there("L" * 200), b"longer than before"), lambda: read(here("L" * 200)) == b"longer than before")
    step("a long name in place", lambda: write(there("L" * 200), b"short"), lambda: read(here("L" * 200)) == b"short", "--inplace")
    step("in place", lambda: write(there("change"), b"C" * 90_001), lambda: read(here("change")) == b"C" * 90_001, "--inplace")
    step("a long name for a directory", lambda: os.mkdir(there("D" * 200)), lambda: os.path.isdir(here("D" * 200)))
    step("directories change places", lambda: exchange("dir2", "D" * 200), lambda: os.path.exists(here("D" * 200 + "/inner")) and os.listdir(here("dir2")) == [])
    step("delete of a long name", lambda: os.unlink(there("L" * 200)), lambda: not os.path.exists(here("L" * 200)))
    step("a file becomes a directory", lambda: (os.unlink(there("shrink")), os.mkdir(there("shrink"))), lambda: os.path.isdir(here("shrink")))
    step("a directory becomes a link", lambda: (os.rmdir(there("dir2")), os.symlink("keep", there("dir2"))), lambda: os.path.islink(here("dir2")))
    step("mode", lambda: os.chmod(there("change"), 0o640), lambda: os.stat(here("change")).st_mode & 0o777 == 0o640)

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
    print(f"{steps} kinds of change, the slowest seen after {slowest * 1000:.0f} ms (limit {LIMIT:.0f} s)")


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
