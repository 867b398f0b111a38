"""What a newcomer might try on a file system, with the answers: `oddities.py DIR` prints a line for
each. The output on a local disk is the oracle; nothing in it depends on time, numbers of inodes or the
order of a listing."""

import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import signal
import stat
import struct
import subprocess
import sys
import threading

directory = sys.argv[1]
os.chdir(directory)
libc = ctypes.CDLL(None, use_errno=True)


def tell(what, act, *arguments, **options):
    try:
        result = act(*arguments, **options)
    except OSError as error:
        result = errno.errorcode.get(error.errno, error.errno)
    except ValueError as error:
        result = str(error)
    print(f"{what}: {result!r}")


def put(name, data=b"", mode=0o644):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    os.write(fd, data)
    os.close(fd)


def get(name):
    with open(name, "rb") as file:
        return file.read()


def digest(name):
    return hashlib.sha256(get(name)).hexdigest()[:16]


def system(name, *arguments):
    result = getattr(libc, name)(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def names():
    odd = [
        "a b", " lead", "trail ", "tab\tnew\nline", "quote'\"`", "back\\slash", "star*?[x]", "-rf",
        "--", "~", "#", "%41", "$HOME", "$(ls)", "...", "..x", ".hidden", ".c9r", "x.c9r", "x.c9s", "dirid.c9r",
        "dir.c9r", "name.c9s", ".oxcrypt-0000000000000000", "CON", "aux.txt", "a:b", "a|b<c>d",
        "\u00e9", "\u4e2d\u6587", "\U0001f600", "\u200b", "\u202egnp", "\x01\x7f", "x" * 255,
        "\u00e9" * 127, "\U0001f600" * 63, "x" * 140, "x" * 146, "x" * 147, "x" * 200, "A", "a",
        "file (1)", "file (conflict copy)", "file (1).c9r",
    ]
    os.mkdir("names")
    for name in odd:
        tell(f"make {name[:20]!r}", put, f"names/{name}", name.encode())
    tell("listed", lambda: sorted(os.listdir("names")) == sorted(odd))
    for name in odd:
        tell(f"read {name[:20]!r}", lambda: get(f"names/{name}") == name.encode())
    for name in odd:
        tell(f"dir {name[:20]!r}", os.mkdir, f"names/{name}.d"[:255 + 6])
    for name in ("x" * 256, "\u00e9" * 128, "", "a/b", "nul\0"):
        tell(f"make {len(name)} {name[:5]!r}", put, f"names/{name}")
    for name in ("names/.", "names/..", "names/../names/a b", "./names//a b", "names/a b/", "names/a b/."):
        tell(f"stat {name}", lambda: stat.filemode(os.stat(name).st_mode))
    for name in odd:
        tell(f"rename {name[:20]!r}", os.rename, f"names/{name}", "names/x" if name != "x" else "names/y")


def opening():
    put("file", b"content")
    os.symlink("file", "link")
    os.symlink("nowhere", "dangling")
    os.symlink("loop", "loop")
    os.mkdir("dir")
    os.symlink("dir", "dirlink")
    flags = {
        "excl": os.O_CREAT | os.O_EXCL | os.O_WRONLY, "creat": os.O_CREAT | os.O_WRONLY,
        "nofollow": os.O_RDONLY | os.O_NOFOLLOW, "directory": os.O_RDONLY | os.O_DIRECTORY,
        "write": os.O_WRONLY, "trunc": os.O_RDONLY | os.O_TRUNC, "path": os.O_PATH,
        "rdonly": os.O_RDONLY, "direct": os.O_RDONLY | os.O_DIRECT, "append": os.O_RDWR | os.O_APPEND,
        "sync": os.O_RDWR | os.O_SYNC, "dsync": os.O_RDWR | os.O_DSYNC, "noatime": os.O_RDONLY | os.O_NOATIME,
        "creat directory": os.O_CREAT | os.O_DIRECTORY | os.O_RDONLY,
    }

    def once(name, how):
        fd = os.open(name, how, 0o600)
        kind = stat.S_IFMT(os.fstat(fd).st_mode)
        os.close(fd)
        return kind

    for word, how in flags.items():
        for name in ("file", "link", "dangling", "loop", "dir", "dirlink", "dir/none/x", "file/x", "file/", "dir/"):
            tell(f"open {word} {name}", once, name, how)
    tell("created through the link", lambda: os.path.exists("nowhere"))
    put("file", b"content")


def removing():
    os.makedirs("r/full/inner")
    put("r/file")
    os.symlink("full", "r/link")
    for act in (os.unlink, os.rmdir):
        for name in ("r/full", "r/none", "r/full/inner/.", "r/full/inner/..", "r/file/", "r/link/", "/", "."):
            tell(f"{act.__name__} {name}", act, name)
    tell("rmdir of a link", os.rmdir, "r/link")
    tell("rmdir of a file", os.rmdir, "r/file")
    os.chdir("r/full/inner")
    tell("rmdir of the working directory", os.rmdir, "../inner")
    tell("its name", os.getcwd)
    tell("a file in it", put, "x")
    tell("its list", os.listdir, ".")
    tell("up", lambda: stat.S_ISDIR(os.stat("..").st_mode))
    os.chdir(directory)


def renaming():
    os.makedirs("n/a/b/c")
    os.makedirs("n/empty")
    os.makedirs("n/other/full")
    put("n/f1", b"1")
    put("n/f2", b"2")
    os.symlink("f1", "n/l")
    for old, new in (
        ("n/a", "n/a/b/c/d"), ("n/a", "n/a"), ("n/a/b", "n/a"), ("n/a", "n/other"), ("n/f1", "n/empty"),
        ("n/empty", "n/f1"), ("n/none", "n/f1"), ("n/f1", "n/none/x"), ("n/f1", "n/f2/x"), ("n/f1/", "n/x"),
        ("n/f1", "n/x/"), ("n/empty/", "n/empty2/"), ("n/l", "n/f2"), ("n/f1", "n/f1"), ("n/empty2", "n/other/full"),
        ("n/.", "n/q"), ("n/a/..", "n/q"), ("n/a/b", "n/f2"), ("n", "n/q"),
    ):
        tell(f"rename {old} {new}", os.rename, old, new)
    tell("tree", lambda: sorted(os.path.join(d, x) for d, ds, fs in os.walk("n") for x in ds + fs))
    # Over an open file and an open directory; the handles live on.
    put("n/victim", b"v" * 70_000)
    put("n/new", b"n" * 10)
    fd = os.open("n/victim", os.O_RDWR)
    os.rename("n/new", "n/victim")
    tell("old handle", lambda: (os.pread(fd, 4, 69_998), os.fstat(fd).st_nlink))
    os.pwrite(fd, b"again", 80_000)
    tell("old handle written", lambda: (os.fstat(fd).st_size, os.pread(fd, 9, 79_998)))
    tell("new name", get, "n/victim")
    tell("link of the removed", os.link, f"/proc/self/fd/{fd}", "n/back")
    os.close(fd)
    put("n/one", b"1")
    os.link("n/one", "n/two")
    tell("rename of one link onto the other", os.rename, "n/one", "n/two")
    tell("both are there", lambda: (os.path.exists("n/one"), os.stat("n/two").st_nlink))
    for flags in (1, 2, 3, 8):
        put("n/p", b"p")
        put("n/q", b"q")
        tell(f"renameat2 {flags}", system, "renameat2", -100, b"n/p", -100, b"n/q", flags)
        tell("after it", lambda: [os.path.exists(x) and get(x) for x in ("n/p", "n/q")])
    tell("exchange of kinds", system, "renameat2", -100, b"n/q", -100, b"n/a", 2)
    tell("after it", lambda: (os.path.isdir("n/q"), os.path.isfile("n/a"), os.path.isdir("n/q/b")))
    tell("exchange into itself", system, "renameat2", -100, b"n/q", -100, b"n/q/b", 2)


def linking():
    os.makedirs("h/a")
    os.makedirs("h/b")
    put("h/a/f", b"shared")
    os.link("h/a/f", "h/b/g")
    os.link("h/b/g", "h/" + "L" * 200)
    tell("links", lambda: os.stat("h/a/f").st_nlink)
    tell("one inode", lambda: len({os.stat(x).st_ino for x in ("h/a/f", "h/b/g", "h/" + "L" * 200)}))
    with open("h/b/g", "ab") as file:
        file.write(b" by all")
    tell("the others see it", lambda: (get("h/a/f"), get("h/" + "L" * 200)))
    os.chmod("h/a/f", 0o600)
    tell("mode", lambda: oct(os.stat("h/b/g").st_mode))
    os.rename("h/a/f", "h/b/moved")
    os.unlink("h/b/g")
    tell("left", lambda: (os.stat("h/b/moved").st_nlink, get("h/" + "L" * 200)))
    tell("link to a directory", os.link, "h/a", "h/c")
    tell("link over something", os.link, "h/b/moved", "h/a")
    tell("link of nothing", os.link, "h/none", "h/x")
    fd = os.open("h/b/moved", os.O_RDWR)
    os.unlink("h/b/moved")
    os.unlink("h/" + "L" * 200)
    os.write(fd, b"SHARED")
    tell("without a name", lambda: (os.fstat(fd).st_nlink, os.pread(fd, 99, 0)))
    os.close(fd)
    tell("empty", lambda: os.listdir("h/b"))
    for size in (1, 255, 4095, 4096):
        tell(f"symlink of {size}", os.symlink, "t" * size, f"h/s{size}")
        tell("read", lambda: (len(os.readlink(f"h/s{size}")), os.lstat(f"h/s{size}").st_size))
    tell("symlink over a link", os.symlink, "x", "h/s1")
    tell("symlink to nothing", os.symlink, "", "h/s0")


def reading_and_writing():
    put("w", b"0123456789")
    fd = os.open("w", os.O_RDWR)
    tell("read behind the end", os.pread, fd, 10, 100)
    tell("read at the end", os.pread, fd, 10, 10)
    tell("negative offset", os.pread, fd, 1, -1)
    tell("seek before the start", os.lseek, fd, -1, os.SEEK_SET)
    tell("seek far", os.lseek, fd, 2**40, os.SEEK_SET)
    tell("size after it", lambda: os.fstat(fd).st_size)
    tell("gap", os.pwrite, fd, b"end", 100_000)
    tell("gap reads", lambda: (os.fstat(fd).st_size, digest("w")))
    os.ftruncate(fd, 33_000)
    os.ftruncate(fd, 66_000)
    tell("cut and grown", lambda: (os.fstat(fd).st_size, digest("w")))
    tell("vector", os.pwritev, fd, [b"a" * 40_000, b"", b"b" * 3], 5)
    tell("vector read", lambda: [os.preadv(fd, [bytearray(3), bytearray(50_000)], 40_000), digest("w")])
    tell("append flag of one write", lambda: (os.pwritev(fd, [b"tail"], 0, os.RWF_APPEND), os.fstat(fd).st_size))
    tell("copy onto itself", os.copy_file_range, fd, fd, 100, 0, 50)
    tell("copy", lambda: (os.copy_file_range(fd, fd, 100, 0, 60_000), digest("w")))
    tell("copy behind the end", os.copy_file_range, fd, fd, 100, 2**30, 0)
    tell("to a read-only handle", os.write, os.open("w", os.O_RDONLY), b"x")
    tell("from a write-only handle", os.read, os.open("w", os.O_WRONLY), 1)
    tell("read of a directory", os.read, os.open(".", os.O_RDONLY), 1)
    tell("ftruncate of a reader", os.ftruncate, os.open("w", os.O_RDONLY), 1)
    tell("truncate of a directory", os.truncate, ".", 1)
    tell("truncate below zero", os.truncate, "w", -1)
    tell("sendfile", lambda: (os.sendfile(os.open("sent", os.O_CREAT | os.O_WRONLY), fd, 0, 70_000), digest("sent")))
    with open("holes", "wb") as file:
        file.truncate(40_000)
    tell("zeros", lambda: (os.stat("holes").st_size, digest("holes")))
    os.close(fd)
    # What was written a moment ago and nobody has synced; copying programs look for it so.
    for n in (5, 40_000):
        fd = os.open(f"fresh{n}", os.O_RDWR | os.O_CREAT)
        os.write(fd, b"f" * n)
        for word, whence in (("data", os.SEEK_DATA), ("hole", os.SEEK_HOLE)):
            for offset in (0, n - 1, n, -1):
                tell(f"{word} at {offset} of {n}", os.lseek, fd, offset, whence)
        tell("copied while open", lambda: (subprocess.run(["cp", f"fresh{n}", "copy"], check=True), digest("copy"))[1])
        os.close(fd)


def mapping():
    put("m", b"m" * 70_000)
    fd = os.open("m", os.O_RDWR)
    shared = mmap.mmap(fd, 70_000)
    private = mmap.mmap(fd, 70_000, access=mmap.ACCESS_COPY)
    shared[32_000:33_000] = b"S" * 1000
    private[0:10] = b"P" * 10
    os.pwrite(fd, b"W" * 10, 50_000)
    tell("seen in the map", lambda: shared[49_999:50_011])
    tell("seen by read", lambda: os.pread(fd, 6, 31_997))
    os.ftruncate(fd, 20_000)
    os.ftruncate(fd, 70_000)
    tell("cut below a map", lambda: (shared[19_999:20_002], digest("m")))
    os.unlink("m")
    shared[69_999] = 33
    shared.flush()
    tell("map of a file without a name", lambda: os.pread(fd, 2, 69_998))
    child = os.fork()
    if child == 0:
        os.ftruncate(fd, 100)
        ctypes.string_at(ctypes.addressof(ctypes.c_char.from_buffer(shared, 60_000)), 1)
        os._exit(0)
    tell("touch behind the end of a map", lambda: signal.Signals(-os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
    os.close(fd)


def modes():
    os.umask(0o027)
    os.mkdir("u", 0o777)
    put("u/f", b"", 0o666)
    tell("umask", lambda: [oct(os.stat(x).st_mode) for x in ("u", "u/f")])
    os.umask(0)
    put("u/open", b"", 0o666)
    tell("no umask", lambda: oct(os.stat("u/open").st_mode))
    os.umask(0o022)
    os.mkdir("u/sticky", 0o1777)
    os.chmod("u/sticky", 0o1777)
    tell("sticky", lambda: oct(os.stat("u/sticky").st_mode))
    os.mkdir("u/closed")
    put("u/closed/f", b"x")
    os.chmod("u/closed", 0)
    for act, name in ((os.listdir, "u/closed"), (os.stat, "u/closed/f"), (get, "u/closed/f"), (put, "u/closed/g"), (os.unlink, "u/closed/f"), (os.mkdir, "u/closed/d")):
        tell(f"closed {act.__name__}", lambda: bool(act(name)) if act is not os.stat else act(name).st_size)
    os.chmod("u/closed", 0o500)
    for act, name in ((os.listdir, "u/closed"), (put, "u/closed/h"), (os.unlink, "u/closed/f"), (os.rmdir, "u/closed/d")):
        tell(f"read only {act.__name__}", lambda: sorted(act(name) or []))
    os.chmod("u/closed", 0o300)
    for act, name in ((os.listdir, "u/closed"), (put, "u/closed/i")):
        tell(f"write only {act.__name__}", lambda: sorted(act(name) or []))
    os.chmod("u/closed", 0o700)
    for mode in (0o000, 0o200, 0o400, 0o100):
        os.chmod("u/f", mode)
        for word, how in (("read", os.O_RDONLY), ("write", os.O_WRONLY), ("both", os.O_RDWR)):
            tell(f"{mode:o} {word}", lambda: os.close(os.open("u/f", how)))
        tell(f"{mode:o} access", lambda: [os.access("u/f", w) for w in (os.R_OK, os.W_OK, os.X_OK)])
    tell("chown", os.chown, "u/f", 12345, -1)
    tell("chgrp", os.chown, "u/f", -1, 12345)
    tell("xattr", os.getxattr, "u/f", "user.none")
    put("u/run", b"#!/bin/sh\necho ran\n", 0o755)
    tell("a program", lambda: subprocess.run(["./u/run"], capture_output=True, check=False).stdout)
    fd = os.open("u/run", os.O_WRONLY)
    tell("a program being written", lambda: subprocess.run(["./u/run"], capture_output=True, check=False).stdout)
    os.close(fd)


def times():
    os.mkdir("t")
    put("t/f", b"x")
    sleeps = lambda: subprocess.run(["sleep", "0.03"], check=True)

    def changed(name, act):
        before = os.stat(name)
        sleeps()
        act()
        after = os.stat(name)
        return [getattr(before, k) != getattr(after, k) for k in ("st_mtime_ns", "st_ctime_ns")]

    file, where = "t/f", "t"
    tell("write, of the file", changed, file, lambda: put(file, b"y"))
    tell("write, of the directory", changed, where, lambda: put(file, b"z"))
    tell("create", changed, where, lambda: put("t/g"))
    tell("mkdir", changed, where, lambda: os.mkdir("t/d"))
    tell("mkdir with a long name", changed, where, lambda: os.mkdir("t/" + "d" * 200))
    tell("symlink", changed, where, lambda: os.symlink("x", "t/s"))
    tell("link, of the file", changed, file, lambda: os.link(file, "t/l"))
    tell("link, of the directory", changed, where, lambda: os.link(file, "t/" + "l" * 200))
    tell("unlink, of the file", changed, file, lambda: os.unlink("t/l"))
    tell("unlink, of the directory", changed, where, lambda: os.unlink("t/" + "l" * 200))
    tell("rename, of the file", changed, "t/g", lambda: (os.rename("t/g", "t/h"), os.rename("t/h", "t/g")))
    tell("rename, of the directory", changed, where, lambda: os.rename("t/g", "t/h"))
    tell("rename over", changed, where, lambda: os.rename("t/h", file))
    tell("rmdir", changed, where, lambda: os.rmdir("t/d"))
    tell("chmod", changed, file, lambda: os.chmod(file, 0o600))
    tell("truncate to the same", changed, file, lambda: os.truncate(file, 0))
    tell("a write of nothing", changed, file, lambda: os.write(os.open(file, os.O_WRONLY), b""))
    tell("read", changed, file, lambda: get(file))
    tell("below", changed, where, lambda: put("t/" + "d" * 200 + "/x"))
    tell("a failed create", changed, where, lambda: tell("refused", os.mkdir, "t/s"))
    for ns in ((0, 0), (1, 999_999_999), (-1, -1), (2**31 * 10**9, 2**31 * 10**9)):
        os.utime(file, ns=ns)
        tell(f"utime {ns}", lambda: (os.stat(file).st_atime_ns, os.stat(file).st_mtime_ns))
    times_of = (ctypes.c_long * 4)(5, (1 << 30) - 2, 7, 8)
    tell("utime omit", lambda: (system("utimensat", -100, b"t/f", times_of, 0), os.stat(file).st_mtime_ns))
    os.utime("t/s", ns=(3, 4), follow_symlinks=False)
    tell("of a link", lambda: os.lstat("t/s").st_mtime_ns)


def locking():
    put("k", b"x" * 100)
    a, b = os.open("k", os.O_RDWR), os.open("k", os.O_RDWR)
    tell("flock", fcntl.flock, a, fcntl.LOCK_EX | fcntl.LOCK_NB)
    tell("flock twice", fcntl.flock, b, fcntl.LOCK_SH | fcntl.LOCK_NB)
    tell("flock down", fcntl.flock, a, fcntl.LOCK_SH)
    tell("flock shared", fcntl.flock, b, fcntl.LOCK_SH | fcntl.LOCK_NB)
    tell("flock up", fcntl.flock, a, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock = lambda kind: struct.pack("hhqqi", kind, 0, 0, 0, 0)
    tell("OFD lock", lambda: len(fcntl.fcntl(a, 37, lock(fcntl.F_WRLCK))))
    tell("OFD lock twice", lambda: fcntl.fcntl(b, 37, lock(fcntl.F_WRLCK)))
    tell("lockf", fcntl.lockf, b, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 50)
    os.close(a)
    tell("after close", lambda: len(fcntl.fcntl(b, 37, lock(fcntl.F_WRLCK))))
    os.close(b)


def crowds():
    # Names made and removed by many while others list: what stays is listed once each time.
    os.mkdir("c")
    for n in range(300):
        put(f"c/stay{n}")
    stop = threading.Event()

    def churn(me):
        n = 0
        while not stop.is_set():
            name = f"c/{me}-{'x' * (n % 240)}"
            put(name)
            os.rename(name, name + "r")
            os.unlink(name + "r")
            n += 1

    threads = [threading.Thread(target=churn, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    wrong = 0
    for _ in range(30):
        stay = [x for x in os.listdir("c") if x.startswith("stay")]
        wrong += len(stay) != 300 or len(set(stay)) != 300
    stop.set()
    for thread in threads:
        thread.join()
    tell("listed wrongly", lambda: wrong)
    tell("left", lambda: len(os.listdir("c")))
    # Removed while listed.
    removed = 0
    with os.scandir("c") as entries:
        for entry in entries:
            os.unlink(entry.path)
            removed += 1
    tell("removed while listed", lambda: (removed, os.listdir("c")))
    # Appended by many, to one file.
    def append(me):
        fd = os.open("c/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        for n in range(200):
            os.write(fd, f"{me}:{n:04}:{'y' * (me * 37)}\n".encode())
        os.close(fd)

    children = []
    for me in range(6):
        child = os.fork()
        if child == 0:
            append(me)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    lines = get("c/log").splitlines()
    tell("appended", lambda: (len(lines), len(set(lines)), len(get("c/log"))))
    # One winner of O_EXCL.
    def race(n):
        won = 0
        for i in range(100):
            try:
                os.close(os.open(f"c/race{i}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                won += 1
            except FileExistsError:
                pass
        os.write(n, struct.pack("i", won))
        os._exit(0)

    ends = []
    for _ in range(4):
        reader, writer = os.pipe()
        if os.fork() == 0:
            race(writer)
        os.close(writer)
        ends.append(reader)
    tell("winners", lambda: sum(struct.unpack("i", os.read(end, 4))[0] for end in ends))
    for _ in ends:
        os.wait()
    # Directories made by all, removed by all.
    def together():
        for i in range(100):
            for act in (os.mkdir, os.rmdir):
                try:
                    act(f"c/together{i % 3}")
                except OSError as error:
                    if error.errno not in (errno.EEXIST, errno.ENOENT):
                        os._exit(error.errno)
        os._exit(0)

    for _ in range(4):
        if os.fork() == 0:
            together()
    tell("mkdir and rmdir by all", lambda: sorted({os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(4)}))


def depths():
    os.mkdir("deep")
    fd = os.open("deep", os.O_RDONLY)
    for n in range(120):
        os.mkdir("d" * 100, dir_fd=fd)
        new = os.open("d" * 100, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = new
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    tell("bottom", os.listdir, fd)
    os.close(fd)
    tell("path too long", os.stat, "deep/" + "/".join(["d" * 100] * 60))
    subprocess.run(["rm", "-rf", "deep"], check=True)
    tell("gone", os.path.exists, "deep")
    tell("long name in a long path", os.stat, "x" * 300)
    os.makedirs("wide")
    for n in range(2000):
        put(f"wide/{n:05}{'w' * (n % 180)}")
    tell("wide", lambda: len(set(os.listdir("wide"))))
    subprocess.run(["rm", "-rf", "wide"], check=True)


for part in (names, opening, removing, renaming, linking, reading_and_writing, mapping, modes, times, locking, crowds, depths):
    os.chdir(directory)
    print(f"-- {part.__name__}")
    part()
