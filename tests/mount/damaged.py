"""Damages one node of each kind in a vault: it fails, and everything beside it does not.

    damaged.py prepare MOUNT            makes a directory for each kind of damage
    damaged.py damage VAULT STASH LOCATE…   does the damage; LOCATE… PATH prints where a node lies
    damaged.py check MOUNT              the victims fail, the others are whole and can be changed
    damaged.py repair VAULT STASH       puts everything back
    damaged.py verify MOUNT             everything is whole
"""
import errno
import hashlib
import os
import shutil
import subprocess
import sys

CHUNK = 32 * 1024
LONG = "a name so long that it is shortened " * 6
NEIGHBOURS = ["before", "zz after", LONG + "too", "sub/inner"]
# Everything that a damaged node may answer with; another answer, or none, is a fault.
DAMAGE = {errno.EIO, errno.ENOENT}


def noise(seed, length):
    return hashlib.shake_128(seed.encode()).digest(length)


def victim_of(kind):
    return LONG + "victim" if kind.startswith("long ") else "victim"


def content(kind, name):
    return noise(f"{kind}/{name}", 100_000 if name in (victim_of(kind), "before") else 3_000)


# --- what is done to the node at `path`; `place` is the content directory of a directory

def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def overhead(path):
    """Bytes of a chunk that are not content, from the length of the file and what is in it."""
    head = {28: 68, 48: 88}
    size = os.path.getsize(path)
    for over, header in head.items():
        if size == header + 100_000 + 4 * over:
            return over, header
    raise SystemExit(f"{path}: unexpected length {size}")


def third_chunk(path, place):
    over, header = overhead(path)
    flip(path, header + 2 * (CHUNK + over) + 1000)


def header(path, place):
    flip(path, 20)


def torn(path, place):
    over, header = overhead(path)
    os.truncate(path, header + 3 * (CHUNK + over) + 10)


def emptied(path, place):
    os.truncate(path, 30)


def renamed(path, place):
    folder, name = os.path.split(path)
    other = "B" if name[0] == "A" else "A"
    os.rename(path, os.path.join(folder, other + name[1:]))


def no_id(path, place):
    os.remove(os.path.join(path, "dir.c9r"))


def wrong_id(path, place):
    with open(os.path.join(path, "dir.c9r"), "w") as file:
        file.write("00000000-0000-0000-0000-000000000000")


def endless_id(path, place):
    with open(os.path.join(path, "dir.c9r"), "wb") as file:
        file.write(b"x" * 10_000)


def no_content(path, place):
    shutil.rmtree(place)


def link(path, place):
    flip(os.path.join(path, "symlink.c9r"), 80)


def long_name(path, place):
    with open(os.path.join(path, "name.c9s"), "r+b") as file:
        file.write(b"AAAA")


def no_contents(path, place):
    os.remove(os.path.join(path, "contents.c9r"))


KINDS = {
    "third chunk": third_chunk,
    "header": header,
    "torn end": torn,
    "torn header": emptied,
    "undecodable name": renamed,
    "directory without id": no_id,
    "directory with a wrong id": wrong_id,
    "directory with an endless id": endless_id,
    "directory without content": no_content,
    "symbolic link": link,
    "long name": long_name,
    "long name without contents": no_contents,
}


def make_victim(kind, path):
    if kind.startswith("directory"):
        os.mkdir(path)
        with open(os.path.join(path, "inside"), "wb") as file:
            file.write(b"inside")
    elif kind == "symbolic link":
        os.symlink("some/where/else/that/is/long/enough/to/have/eighty/bytes/of/ciphertext/in/it", path)
    else:
        with open(path, "wb") as file:
            file.write(content(kind, victim_of(kind)))


def prepare(mount):
    for kind in KINDS:
        folder = os.path.join(mount, kind)
        os.makedirs(os.path.join(folder, "sub"))
        make_victim(kind, os.path.join(folder, victim_of(kind)))
        for name in NEIGHBOURS:
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content(kind, name))
        os.symlink("before", os.path.join(folder, "link"))


def damage(vault, stash, locate):
    for number, (kind, act) in enumerate(KINDS.items()):
        told = subprocess.run(
            [*locate, f"/{kind}/{victim_of(kind)}"], check=True, capture_output=True, text=True
        ).stdout.rstrip("\n")
        paths = [os.path.join(vault, part) for part in told.split("\t")]
        # What goes is kept, under the name it had.
        saved = os.path.join(stash, str(number))
        os.mkdir(saved)
        for i, path in enumerate(paths):
            keep = os.path.join(saved, str(i))
            copy = shutil.copytree if os.path.isdir(path) else shutil.copy2
            copy(path, keep)
            with open(keep + ".path", "w") as file:
                file.write(path)
        node = paths[0]
        act(node, paths[1] if len(paths) > 1 else None)


def repair(vault, stash):
    for number, (kind, act) in enumerate(KINDS.items()):
        saved = os.path.join(stash, str(number))
        for i in (0, 1):
            keep = os.path.join(saved, str(i))
            if not os.path.exists(keep):
                continue
            with open(keep + ".path") as file:
                path = file.read()
            if act is renamed:
                folder, name = os.path.split(path)
                os.rename(os.path.join(folder, ("B" if name[0] == "A" else "A") + name[1:]), path)
            elif os.path.isdir(keep):
                shutil.copytree(keep, path, dirs_exist_ok=True)
            else:
                # In place: the file keeps its identity.
                with open(keep, "rb") as old, open(path, "r+b") as new:
                    new.write(old.read())


def pieces(path, length):
    """What is read of a file, piece by piece; None for a piece that fails as damage does."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno in DAMAGE:
            return None
        raise
    found = []
    try:
        for at in range(0, length, CHUNK):
            try:
                found.append(os.pread(handle, CHUNK, at))
            except OSError as error:
                if error.errno not in DAMAGE:
                    raise
                found.append(None)
    finally:
        os.close(handle)
    return found


def fails(act):
    try:
        return act()
    except OSError as error:
        if error.errno in DAMAGE:
            return None
        raise


def check_victim(kind, path, listed):
    if kind.startswith("directory"):
        assert not fails(lambda: os.listdir(path)), f"{kind}: lists something"
        return
    if kind == "symbolic link":
        assert fails(lambda: os.readlink(path)) is None, f"{kind}: has a target"
        return
    whole = content(kind, victim_of(kind))
    found = pieces(path, len(whole))
    if kind == "third chunk":
        wanted = [whole[at : at + CHUNK] for at in range(0, len(whole), CHUNK)]
        assert found[:2] == wanted[:2] and found[3] == wanted[3], f"{kind}: whole chunks are missing"
        assert found[2] is None, f"{kind}: {found[2] and len(found[2])} bytes of a damaged chunk"
        assert os.stat(path).st_size == len(whole), f"{kind}: another size"
    elif kind == "undecodable name":
        assert found is None and victim_of(kind) not in listed, f"{kind}: is there"
    elif kind == "long name":
        # Who knows the name needs no file that tells it: the hash of it leads there.
        assert victim_of(kind) not in listed, f"{kind}: is listed"
        assert found is None or b"".join(found) == whole, f"{kind}: wrong bytes"
    else:
        for i, piece in enumerate(found or []):
            assert piece is None or piece == whole[i * CHUNK : i * CHUNK + len(piece)], (
                f"{kind}: wrong bytes"
            )
        assert not found or None in found, f"{kind}: reads as if it were whole"


def check_neighbours(kind, folder):
    for name in NEIGHBOURS:
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            assert file.read() == content(kind, name), f"{kind}: {name}"
        assert os.stat(path).st_size == len(content(kind, name))
    assert os.readlink(os.path.join(folder, "link")) == "before"
    assert "inner" in os.listdir(os.path.join(folder, "sub"))


def change_neighbours(kind, folder):
    new = os.path.join(folder, "new")
    with open(new, "wb") as file:
        file.write(b"new")
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, os.path.join(folder, "newer"))
    os.remove(os.path.join(folder, "newer"))
    os.mkdir(new)
    os.rmdir(new)
    with open(os.path.join(folder, "before"), "r+b") as file:
        file.write(content(kind, "before")[:10])


def check(mount):
    assert sorted(os.listdir(mount)) == sorted(KINDS)
    for kind in KINDS:
        folder = os.path.join(mount, kind)
        listed = os.listdir(folder)
        missing = {name.split("/")[0] for name in [*NEIGHBOURS, "link"]} - set(listed)
        assert not missing, f"{kind}: not listed: {missing}"
        check_victim(kind, os.path.join(folder, victim_of(kind)), listed)
        check_neighbours(kind, folder)
        change_neighbours(kind, folder)
        # Once more: what failed and what was written has not spoiled anything in the caches.
        check_neighbours(kind, folder)


def verify(mount):
    for kind in KINDS:
        folder = os.path.join(mount, kind)
        check_neighbours(kind, folder)
        path = os.path.join(folder, victim_of(kind))
        if kind.startswith("directory"):
            assert os.listdir(path) == ["inside"], kind
        elif kind == "symbolic link":
            assert os.readlink(path).startswith("some/where"), kind
        else:
            with open(path, "rb") as file:
                assert file.read() == content(kind, victim_of(kind)), kind


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare", mount]:
            prepare(mount)
        case ["damage", vault, stash, *locate]:
            damage(vault, stash, locate)
        case ["repair", vault, stash]:
            repair(vault, stash)
        case ["check", mount]:
            check(mount)
        case ["verify", mount]:
            verify(mount)
        case _:
            sys.exit(__doc__)
