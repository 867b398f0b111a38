"""What programs rely on, call by call: `semantics.py DIR`. Each check prints a line; the first
that fails ends with status 1."""

import errno
import fcntl
import mmap
import os
import subprocess
import sys
import threading

directory = sys.argv[1]


def path(name):
    return os.path.join(directory, name)


def expect(condition, text):
    if not condition:
        print("FAILED", text)
        sys.exit(1)


def refused(number, act, *arguments, **options):
    try:
        act(*arguments, **options)
    except OSError as error:
        expect(error.errno == number, f"{act.__name__}: {error}, not {errno.errorcode[number]}")
        return
    expect(False, f"{act.__name__} was not refused with {errno.errorcode[number]}")


def put(name, data):
    with open(path(name), "wb") as file:
        file.write(data)


def get(name):
    with open(path(name), "rb") as file:
        return file.read()


def saves_of_editors():
    # Beside it and renamed over it; the old one moved away first; a backup by hard link.
    put("document", b"old" * 5000)
    put("document.tmp", b"new" * 7000)
    fd = os.open(path("document.tmp"), os.O_RDWR)
    os.fsync(fd)
    os.close(fd)
    os.rename(path("document.tmp"), path("document"))
    expect(get("document") == b"new" * 7000, "save by rename")
    os.rename(path("document"), path("document~"))
    put("document", b"newer")
    expect(get("document") == b"newer" and get("document~") == b"new" * 7000, "save with backup")
    os.unlink(path("document~"))
    os.link(path("document"), path("document~"))
    put("#document#", b"newest")
    os.rename(path("#document#"), path("document"))
    expect(get("document~") == b"newer", "the hard link keeps the old text")
    # Overwritten in place and cut.
    with open(path("document"), "r+b") as file:
        file.write(b"in place")
        file.truncate()
    expect(get("document") == b"in place", "save in place")


def read_only_file_stays_writable_through_its_handle():
    fd = os.open(path("locked-down"), os.O_CREAT | os.O_RDWR, 0o644)
    os.fchmod(fd, 0o444)
    os.write(fd, b"x" * 100_000)
    os.fsync(fd)
    os.close(fd)
    expect(get("locked-down") == b"x" * 100_000, "written after chmod 0444")
    fd = os.open(path("born-closed"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o000)
    os.write(fd, b"y" * 40_000)
    os.close(fd)
    os.chmod(path("born-closed"), 0o600)
    expect(get("born-closed") == b"y" * 40_000, "written to a file made with mode 0")


def unlinked_and_replaced_files_live_on():
    fd = os.open(path("doomed"), os.O_CREAT | os.O_RDWR, 0o600)
    os.write(fd, b"a" * 50_000)
    os.unlink(path("doomed"))
    expect(os.fstat(fd).st_nlink == 0, "nlink of an unlinked file")
    os.pwrite(fd, b"b" * 50_000, 40_000)
    os.ftruncate(fd, 80_000)
    expect(os.pread(fd, 100_000, 0) == b"a" * 40_000 + b"b" * 40_000, "unlinked file")
    os.close(fd)
    put("victim", b"victim")
    put("winner", b"winner")
    fd = os.open(path("victim"), os.O_RDWR)
    os.rename(path("winner"), path("victim"))
    os.write(fd, b"VIC")
    expect(os.pread(fd, 10, 0) == b"VICtim" and get("victim") == b"winner", "replaced while open")
    os.close(fd)


def appends_of_several_lose_nothing():
    writers, lines = 4, 300
    program = (
        "import os,sys\n"
        "fd=os.open(sys.argv[1],os.O_WRONLY|os.O_APPEND|os.O_CREAT,0o644)\n"
        f"[os.write(fd,b'%s%06d\\n'%(sys.argv[2].encode(),n)) for n in range({lines})]\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, path("log"), letter])
        for letter in "abcd"[:writers]
    ]
    expect(all(p.wait() == 0 for p in running), "an appending process failed")
    text = get("log").splitlines()
    expect(len(text) == writers * lines and len(set(text)) == len(text), "appended lines are lost")


def locks():
    put("lock", b"")
    program = (
        "import fcntl,sys,os\n"
        "f=open(sys.argv[1],'r+b')\n"
        "try:\n (fcntl.flock if sys.argv[2]=='flock' else fcntl.lockf)(f,fcntl.LOCK_EX|fcntl.LOCK_NB)\n"
        "except OSError: sys.exit(3)\n"
    )
    for kind in ("flock", "posix"):
        with open(path("lock"), "r+b") as file:
            (fcntl.flock if kind == "flock" else fcntl.lockf)(file, fcntl.LOCK_EX)
            other = subprocess.run([sys.executable, "-c", program, path("lock"), kind], check=False)
            expect(other.returncode == 3, f"a {kind} lock does not keep others out")
        other = subprocess.run([sys.executable, "-c", program, path("lock"), kind], check=False)
        expect(other.returncode == 0, f"a {kind} lock does not go")


def maps():
    put("map", bytes(100_000))
    with open(path("map"), "r+b") as file:
        shared = mmap.mmap(file.fileno(), 100_000)
        private = mmap.mmap(file.fileno(), 100_000, access=mmap.ACCESS_COPY)
        shared[32_760:32_780] = b"s" * 20
        private[0:4] = b"priv"
        shared.flush()
        shared.close()
        private.close()
    content = get("map")
    expect(content[32_760:32_780] == b"s" * 20 and content[:4] == bytes(4), "mapped writes")


def renames():
    put("one", b"1")
    put("two", b"2")
    libc_rename = _renameat2
    libc_rename("one", "two", 2)
    expect(get("one") == b"2" and get("two") == b"1", "exchange")
    refused(errno.EEXIST, libc_rename, "one", "two", 1)
    os.mkdir(path("outer"))
    os.mkdir(path("outer/inner"))
    refused(errno.EINVAL, os.rename, path("outer"), path("outer/inner/x"))
    refused(errno.ENOTEMPTY, os.rename, path("outer/inner"), path("outer"))
    long = "L" * 255
    os.rename(path("one"), path(long))
    os.mkdir(path("d" * 200))
    os.rename(path(long), path("d" * 200 + "/" + long))
    os.rename(path("d" * 200), path("e" * 200))
    expect(get("e" * 200 + "/" + long) == b"2", "long names")


def _renameat2(old, new, flags):
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, path(old).encode(), -100, path(new).encode(), flags) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def names():
    put("caf\u00e9", b"nfc")
    expect(get("cafe\u0301") == b"nfc", "the other spelling leads to the same file")
    refused(errno.ENAMETOOLONG, put, "n" * 256, b"")
    for name in ("n" * 255, " ", "a\nb", "\u4e2d\u6587", "-", "a:b*c?"):
        put(name, name.encode())
        expect(get(name) == name.encode() and name in os.listdir(directory), f"the name {name!r}")
    for make in (os.mkfifo, lambda p: os.mknod(p, 0o020600, 0)):
        refused(errno.EPERM, make, path("special"))


def sizes_and_holes():
    put("size", b"x")
    before = os.statvfs(directory).f_bavail
    for size in (10**15, 2**62):
        try:
            os.truncate(path("size"), size)
            expect(False, f"grew to {size}")
        except OSError as error:
            expect(error.errno in (errno.EFBIG, errno.ENOSPC), f"growth to {size}: {error}")
    expect(os.stat(path("size")).st_size == 1, "size after a refused growth")
    expect(abs(os.statvfs(directory).f_bavail - before) < 50_000, "a refused growth took space")
    with open(path("size"), "r+b") as file:
        file.seek(200_000)
        file.write(b"end")
    expect(get("size") == b"x" + bytes(199_999) + b"end", "a gap reads as zeros")
    fd = os.open(path("size"), os.O_RDWR)
    os.posix_fallocate(fd, 0, 300_000)
    expect(os.fstat(fd).st_size == 300_000, "fallocate")
    expect(os.lseek(fd, 10, os.SEEK_DATA) == 10 and os.lseek(fd, 10, os.SEEK_HOLE) == 300_000, "seek")
    copied = os.copy_file_range(fd, fd, 3, 199_999, 250_000)
    expect(copied == 3 and os.pread(fd, 3, 250_000) == b"\0en", "copy_file_range")
    os.close(fd)


def times_and_modes():
    put("times", b"t")
    os.utime(path("times"), ns=(1_000_000_007, 2_000_000_009))
    stat = os.stat(path("times"))
    expect((stat.st_atime_ns, stat.st_mtime_ns) == (1_000_000_007, 2_000_000_009), "nanoseconds")
    os.utime(path("times"), ns=(0, -5_000_000_001))
    expect(os.stat(path("times")).st_mtime_ns == -5_000_000_001, "a time before 1970")
    os.utime(path("times"))
    os.chmod(path("times"), 0o7644)
    expect(os.stat(path("times")).st_mode & 0o777 == 0o644, "mode")
    os.symlink("times", path("symlink"))
    expect(os.readlink(path("symlink")) == "times" and os.lstat(path("symlink")).st_size == 5, "symlink")
    refused(errno.ENOENT, os.stat, path("nothing"))


def listing_while_entries_come_and_go():
    os.mkdir(path("busy"))
    for n in range(400):
        put(f"busy/keep{n}", b"")
    stop = threading.Event()

    def churn():
        n = 0
        while not stop.is_set():
            put(f"busy/churn{n % 50}", b"")
            os.unlink(path(f"busy/churn{n % 50}"))
            n += 1

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(20):
            kept = [name for name in os.listdir(path("busy")) if name.startswith("keep")]
            expect(len(kept) == 400 and len(set(kept)) == 400, f"{len(kept)} of 400 entries listed")
    finally:
        stop.set()
        thread.join()


for check in (
    saves_of_editors,
    read_only_file_stays_writable_through_its_handle,
    unlinked_and_replaced_files_live_on,
    appends_of_several_lose_nothing,
    locks,
    maps,
    renames,
    names,
    sizes_and_holes,
    times_and_modes,
    listing_while_entries_come_and_go,
):
    check()
    print("ok", check.__name__)
