"""Somebody swaps the vault's files for other things while the mount works with them.

  prepare MOUNT                             makes what is read later
  run MOUNT VAULT OUTSIDE STASH PID SECONDS SEED
  verify MOUNT                              everything prepared is as it was
"""

import errno
import hashlib
import multiprocessing
import os
import random
import stat
import sys
import time

SIZE = 70_000
MARKER = b"this is outside the vault and stays there. " * 2000
# What a program may be told when its file is not what it was a moment ago.
FAIR = {getattr(errno, name) for name in (
    "EIO ENOENT ESTALE ELOOP ENOTDIR EISDIR EEXIST ENOTEMPTY EBUSY EFBIG ENOSPC EACCES EPERM EINVAL ENXIO".split())}


def names():
    yield from (f"file{i}" for i in range(12))
    for d in range(4):
        yield from (f"dir{d}/inner{i}" for i in range(3))
    yield "long" + "n" * 200


def content(name):
    return (name.encode() + b" ") * (SIZE // (len(name) + 1))


def links():
    return {"link": "file0", "link" + "l" * 200: "dir0"}


def prepare(mount):
    for name in names():
        path = os.path.join(mount, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content(name))
    for name, target in links().items():
        os.symlink(target, os.path.join(mount, name))
    os.sync()


def verify(mount):
    for name in names():
        with open(os.path.join(mount, name), "rb") as f:
            if f.read() != content(name):
                raise SystemExit(f"{name} is not what it was")
    for name, target in links().items():
        if os.readlink(os.path.join(mount, name)) != target:
            raise SystemExit(f"{name} leads elsewhere")


def impostors(outside, vault_files):
    """Each puts another thing at a path."""

    def copy(path):
        with open(random.choice(vault_files), "rb") as f, open(path, "wb") as to:
            to.write(f.read(1 << 20))

    def noise(path):
        with open(path, "wb") as f:
            f.write(os.urandom(random.choice([0, 1, 67, 68, 69, 5000, 33000, 70000])))

    def huge(path):
        with open(path, "wb") as f:
            f.truncate(1 << 40)

    return [
        lambda path: os.symlink(os.path.join(outside, "secret"), path),
        lambda path: os.symlink(outside, path),
        lambda path: os.symlink("../../../../../../../../etc", path),
        lambda path: os.symlink(path, path),
        os.mkfifo,
        lambda path: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5)),
        os.mkdir,
        lambda path: None,
        copy,
        noise,
        huge,
    ]


def remove(path):
    if not os.path.lexists(path):
        return
    if os.path.isdir(path) and not os.path.islink(path):
        for entry in os.listdir(path):
            remove(os.path.join(path, entry))
        os.rmdir(path)
    else:
        os.unlink(path)


def paths_of(vault):
    """What is swapped: all there is before anybody else makes or removes anything."""
    fixed = []
    for top, dirs, files in os.walk(os.path.join(vault, "d")):
        depth = os.path.relpath(top, vault).count(os.sep)
        fixed += [os.path.join(top, f) for f in files]
        if depth >= 1:
            fixed += [os.path.join(top, d) for d in dirs]
    return fixed


def swap(fixed, outside, stash, stop, steps, seed):
    random.seed(seed)
    plain = [p for p in fixed if os.path.isfile(p)]
    kinds = impostors(outside, plain)
    while not stop.is_set():
        path = random.choice(fixed)
        away = os.path.join(stash, "away")
        try:
            os.rename(path, away)
        except OSError:
            continue
        try:
            random.choice(kinds)(path)
        except OSError:
            pass
        time.sleep(random.random() * 0.004)
        for _ in range(100):
            # The mount may put something there at the same time.
            try:
                remove(path)
                os.rename(away, path)
                break
            except OSError:
                time.sleep(0.001)
        else:
            raise SystemExit(f"cannot put {path} back")
        steps.value += 1


def fair(work):
    try:
        return work()
    except OSError as e:
        if e.errno not in FAIR:
            raise
        return None


def read(mount, stop, steps, wrong, seed):
    random.seed(seed)
    known = {hashlib.sha256(content(name)).digest() for name in names()}
    every = list(names())
    while not stop.is_set():
        name = random.choice(every)
        path = os.path.join(mount, name)

        def whole():
            with open(path, "rb", buffering=0) as f:
                return f.read(SIZE * 2)

        got = fair(whole)
        if got and MARKER[:40] in got:
            wrong.append(f"{name}: what is outside was read")
        # Of a swap between two requests a part of each may be seen, never anything that was not sealed.
        elif got and hashlib.sha256(got).digest() not in known:
            parts = {bytes(got[i:i + 32768]) for i in range(0, len(got), 32768)}
            sealed = {content(n)[i:i + 32768] for n in names() for i in range(0, SIZE, 32768)}
            if not parts <= sealed and not all(any(s.startswith(p) for s in sealed) or is_own(p) for p in parts):
                wrong.append(f"{name}: bytes that nobody wrote: {got[:40]!r}")
        fair(lambda: os.listdir(os.path.join(mount, random.choice(["", "dir0", "dir1", "dir2", "dir3"]))))
        fair(lambda: os.stat(path))
        fair(lambda: os.readlink(os.path.join(mount, random.choice(list(links())))))
        steps.value += 1


def is_own(part):
    """What a writer wrote, or what else the format seals as it seals a file: the target of a link and the
    copy of a directory's id. A file put in another's place cannot be told from it."""
    is_id = len(part) == 36 and part.count(b"-") == 4
    return set(part) <= {0, ord("w")} or is_id or part.decode("latin-1") in links().values()


def write(mount, stop, steps, seed):
    """In files and directories of its own, beside the others."""
    random.seed(seed)
    while not stop.is_set():
        place = os.path.join(mount, random.choice(["", "dir0", "dir1"]))
        path = os.path.join(place, f"written{random.randrange(6)}" + random.choice(["", "x" * 200]))

        def fill():
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.pwrite(fd, b"w" * random.choice([10, 5000, 40000]), random.choice([0, 100, 30000]))
                if random.random() < 0.2:
                    os.fsync(fd)
            finally:
                os.close(fd)

        def work():
            step = random.randrange(6)
            if step <= 2:
                fill()
            elif step == 3:
                os.unlink(path)
            elif step == 4:
                os.rename(path, path + "r")
                os.unlink(path + "r")
            else:
                os.mkdir(path + "d")
                os.rmdir(path + "d")

        fair(work)
        steps.value += 1


def run(mount, vault, outside, stash, pid, seconds, seed):
    stop = multiprocessing.Event()
    wrong = multiprocessing.Manager().list()
    counts = [multiprocessing.Value("q") for _ in range(4)]
    fixed = paths_of(vault)
    workers = [
        multiprocessing.Process(target=swap, args=(fixed, outside, stash, stop, counts[0], seed)),
        multiprocessing.Process(target=read, args=(mount, stop, counts[1], wrong, seed + 1)),
        multiprocessing.Process(target=read, args=(mount, stop, counts[2], wrong, seed + 2)),
        multiprocessing.Process(target=write, args=(mount, stop, counts[3], seed + 3)),
    ]
    # One that fails ends the others with it.
    for worker in workers:
        worker.daemon = True
        worker.start()
    end = time.monotonic() + seconds
    seen, since = [0] * 4, [time.monotonic()] * 4
    largest = 0
    while time.monotonic() < end and not wrong:
        time.sleep(0.2)
        for i, worker in enumerate(workers):
            if not worker.is_alive():
                raise SystemExit(f"worker {i} ended with {worker.exitcode}")
            if counts[i].value != seen[i]:
                seen[i], since[i] = counts[i].value, time.monotonic()
            elif time.monotonic() - since[i] > 30:
                raise SystemExit(f"worker {i} hangs")
        with open(f"/proc/{pid}/statm") as f:
            largest = max(largest, int(f.read().split()[1]) * 4)
    stop.set()
    for i, worker in enumerate(workers):
        worker.join(30)
        if worker.exitcode != 0:
            raise SystemExit(f"worker {i} ended with {worker.exitcode}")
    if wrong:
        raise SystemExit(wrong[0])
    if largest > 200 * 1024:
        raise SystemExit(f"the mount took {largest} KiB")
    with open(os.path.join(outside, "secret"), "rb") as f:
        if f.read() != MARKER:
            raise SystemExit("a file outside the vault was changed")
    if sorted(os.listdir(outside)) != ["inside", "secret"] or os.listdir(os.path.join(outside, "inside")):
        raise SystemExit("something was made outside the vault")
    if min(seen) < 20:
        raise SystemExit(f"hardly anything happened: {seen}")
    print(f"{seen[0]} swaps beside {seen[1] + seen[2]} rounds of reading and {seen[3]} changes, "
          f"at most {largest // 1024} MiB")


def main():
    what, mount, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    if what == "prepare":
        prepare(mount)
    elif what == "verify":
        verify(mount)
    else:
        vault, outside, stash, pid, seconds, seed = rest
        os.makedirs(os.path.join(outside, "inside"))
        with open(os.path.join(outside, "secret"), "wb") as f:
            f.write(MARKER)
        run(mount, vault, outside, stash, int(pid), int(seconds), int(seed))


main()
