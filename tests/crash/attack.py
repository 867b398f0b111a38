#!/usr/bin/env python3
"""Random attacks on vaults, judged by what the commands say about each other.

    attack.py --oxcrypt FILE --vaults DIR [--seed N] [--rounds N] [--changes N] [--keep DIR]

Each round takes a sample vault, changes its encrypted side some times, the way somebody without a
key can, and then asks the commands about it. Nobody knows what the right answer is for a vault so
made; but the answers must fit together:

    ends      with a code of the table, in bounded time and memory, without a panic, control
              characters or an error told twice
    reads     change nothing
    agree     what `get -r` or `ls -R` cannot read, `check` finds
    genuine   every file and link that is got is one that somebody wrote, cut at a chunk at most
    mends     `check --fix-safe` loses no content that was readable, and leaves nothing that it
              could mend
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile

CHUNK = 32 * 1024
# Seconds of the processor; the clock runs on while others have the machine.
CPU, CLOCK = 30, 900
MEMORY = 4 << 30
# Codes that say something about a damaged vault. 15: one link of the samples is longer than hosts
# can store.
CODES = {0, 4, 7, 10, 12}
MORE_CODES = {"get": {1, 15}, "check": {11}}
SAMPLES = ["v8_gcm", "v8_ctrmac", "v8_gcm_t100"]


class Bad(Exception):
    """Answers that do not fit."""


class Commands:
    """Runs the command on one vault."""

    def __init__(self, oxcrypt, top, password):
        self.oxcrypt, self.top = oxcrypt, top
        self.vault = os.path.join(top, "vault")
        self.secret = os.path.join(top, "pw")
        with open(self.secret, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
            f.write(password)

    def run(self, command, *words):
        line = [self.oxcrypt, command]
        if command == "tar":
            line.append("c")
        line += [self.vault, *words]
        if command != "info":
            line += ["--password-file", self.secret]
        env = {"PATH": os.environ["PATH"], "HOME": self.top, "XDG_RUNTIME_DIR": self.top}
        limits = ["prlimit", f"--as={MEMORY}", f"--cpu={CPU}"]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = subprocess.Popen(
                limits + line, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=env,
                cwd=self.top, start_new_session=True,
            )
            try:
                code = child.wait(CLOCK)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                raise Bad(f"{command} does not end") from None
            out.seek(0)
            err.seek(0)
            out, err = out.read(), err.read().decode(errors="replace")
        self.judge(command, code, err)
        return code, out, err

    def judge(self, command, code, err):
        told = f"{command} ends with {code}\n{err[:2000]}"
        if code not in CODES | MORE_CODES.get(command, set()) or "panicked" in err:
            raise Bad(told)
        if any((ord(c) < 32 and c != "\n") or ord(c) == 127 for c in err):
            raise Bad(f"control characters: {told}")
        errors = [line for line in err.splitlines() if line.startswith("oxcrypt: ")]
        if len(errors) != len(set(errors)):
            raise Bad(f"told twice: {told}")


def sha(data):
    return hashlib.sha256(data).hexdigest()


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def is_dir(path):
    return os.path.isdir(path) and not os.path.islink(path)


def is_file(path):
    return os.path.isfile(path) and not os.path.islink(path)


def discard(path):
    shutil.rmtree(path) if is_dir(path) else os.unlink(path)


def snapshot(top):
    """All that is below `top`, but for the copies of key files, which whoever writes may make."""
    seen = {}
    for place, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(place, name)
            meta = os.lstat(path)
            what = (stat.S_IFMT(meta.st_mode),)
            if stat.S_ISREG(meta.st_mode):
                small = meta.st_size < 1 << 24
                what += (meta.st_size, sha(read(path)) if small else None)
            if not name.endswith(".bkup"):
                seen[path] = what
    return seen


def contents(top):
    """Files and links below a directory: name -> hash of the content, or of the target."""
    seen = {}
    for place, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(place, name)
            if os.path.islink(path):
                seen[os.path.relpath(path, top)] = sha(os.readlink(path).encode())
            elif os.path.isfile(path):
                seen[os.path.relpath(path, top)] = sha(read(path))
    return seen


def genuine(manifest, sound):
    """Hashes of all that is encrypted as content somewhere: files, whole or cut behind a chunk,
    targets of links, ids. One in the place of another is what somebody wrote; the format cannot
    tell."""
    texts = [e[key] for e in manifest["entries"] for key in ("target", "dirId") if e.get(key)]
    known = {sha(b""), *(sha(text.encode()) for text in texts)}
    for place, _, files in os.walk(sound):
        for path in (os.path.join(place, name) for name in files):
            if is_file(path):
                data = read(path)
                known |= {sha(data[:end]) for end in [*range(CHUNK, len(data), CHUNK), len(data)]}
    return known


class Attack:
    """Changes of a vault. Each method but the first ones is one; all is drawn from the seed."""

    def __init__(self, vault, dice):
        self.dice, self.data = dice, os.path.join(vault, "d")
        self.log = []
        self.look()

    def look(self):
        def below(path):
            return [os.path.join(path, name) for name in sorted(os.listdir(path))]

        outer = filter(is_dir, below(self.data))
        self.contents = [path for place in outer for path in below(place) if is_dir(path)]
        self.nodes = [node for content in self.contents for node in below(content)]
        inside = [path for node in self.nodes if is_dir(node) for path in below(node)]
        self.files = [path for path in self.nodes + inside if is_file(path)]
        self.ids = [path for path in self.files if os.path.basename(path) == "dir.c9r"]

    def once(self):
        """One change that is possible, and what it was."""
        changes = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("do_")]
        for _ in range(50):
            change = self.dice.choice(changes)
            try:
                self.log.append((change.__name__[3:], *change()))
                return self.look()
            except (OSError, IndexError, shutil.Error):
                continue

    def pick(self, things, test=lambda thing: True):
        return self.dice.choice([thing for thing in things if test(thing)])

    def do_copy_id(self):
        source, target = self.pick(self.ids), self.pick(self.ids)
        write(target, read(source))
        return source, target

    def do_swap_ids(self):
        a, b = self.pick(self.ids), self.pick(self.ids)
        in_a, in_b = read(a), read(b)
        write(a, in_b)
        write(b, in_a)
        return a, b

    def do_odd_id(self):
        path = self.pick(self.ids)
        odd = [b"", b"\0", b"/", b"../..", b"x" * 999, b"x" * 1001, b"\xff\xfe", b"recovery",
               b"a\n", b"A" * 36, read(path).upper()]
        id = self.dice.choice(odd)
        write(path, id)
        return path, id[:40]

    def do_move_node(self):
        node, to = self.pick(self.nodes), self.pick(self.contents)
        os.rename(node, os.path.join(to, os.path.basename(node)))
        return node, to

    def do_copy_node(self):
        node, to = self.pick(self.nodes), self.pick(self.contents)
        suffix = self.dice.choice(["", " (1)", "_conflict", " (2) (3)", "~", "=="])
        name = os.path.basename(node)
        copy = os.path.join(to, name[:-4] + suffix + name[-4:])
        if is_dir(node):
            shutil.copytree(node, copy, symlinks=True)
        else:
            write(copy, read(node))
        return node, copy

    def do_rename_node(self):
        node = self.pick(self.nodes)
        old = os.path.basename(node)
        stem = old[:-4]
        new = self.dice.choice([
            stem, old[4:], stem[: len(stem) // 2] + ".c9r", old.swapcase(), stem + ".c9s",
            stem + ".c9u", "." + old, "-" * 200 + ".c9r", "=" * 40 + ".c9r", "A" * 24 + ".c9r",
            "x.c9r", "x.c9s", ".oxcrypt-0123456789abcdef", "dirid.c9r", "dir.c9r", "contents.c9r",
            stem + "é.c9r", stem[:-1] + "=.c9r",
        ])
        os.rename(node, os.path.join(os.path.dirname(node), new))
        return node, new

    def do_other_kind(self):
        path = self.pick(self.nodes + self.files + self.contents)
        kind = self.dice.choice(["fifo", "socket", "dir", "file", "/etc/passwd", ".", ".."])
        discard(path)
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)
        elif kind == "dir":
            os.mkdir(path)
        elif kind == "file":
            write(path, b"")
        else:
            os.symlink(kind, path)
        return path, kind

    def do_other_length(self):
        path = self.pick(self.files)
        size = os.path.getsize(path)
        fixed = [0, 1, 15, 67, 68, 69, 96, 97, 136, 1 << 20, 1 << 40, (1 << 44) - 4096]
        new = self.dice.choice([*fixed, max(0, size - 1), size + 1, size // 2, size + CHUNK])
        os.truncate(path, new)
        return path, new

    def do_other_bytes(self):
        path = self.pick(self.files, lambda path: 0 < os.path.getsize(path) < 1 << 24)
        data = bytearray(read(path))
        for _ in range(self.dice.randrange(1, 4)):
            data[self.dice.randrange(len(data))] = self.dice.randrange(256)
        write(path, data)
        return (path,)

    def do_swap_files(self):
        a, b = self.pick(self.files), self.pick(self.files)
        spare = os.path.join(self.data, "spare")
        os.rename(a, spare)
        if a != b:
            os.rename(b, a)
        os.rename(spare, b)
        return a, b

    def do_link_files(self):
        source, target = self.pick(self.files), self.pick(self.files)
        if source != target:
            os.unlink(target)
            os.link(source, target)
        return source, target

    def do_swap_chunks(self):
        path = self.pick(self.files, lambda path: 2 * CHUNK < os.path.getsize(path) < 1 << 24)
        header, size = self.dice.choice([(68, CHUNK + 28), (88, CHUNK + 48)])
        data = read(path)
        first, second = data[header : header + size], data[header + size : header + 2 * size]
        write(path, data[:header] + second + first + data[header + 2 * size :])
        return (path,)

    def do_remove(self):
        path = self.pick(self.files + self.nodes)
        discard(path)
        return (path,)

    def do_remove_content(self):
        content = self.pick(self.contents)
        discard(content)
        return (content,)

    def do_empty_content(self):
        content = self.pick(self.contents)
        for name in os.listdir(content):
            discard(os.path.join(content, name))
        return (content,)

    def do_stray(self):
        place = self.pick(self.contents + self.nodes + [self.data], is_dir)
        name = self.dice.choice([
            "x", "dir.c9r", "symlink.c9r", "contents.c9r", "name.c9s", "contents.c9u", "Icon\r",
            "\x1b[2Jx", ".DS_Store", "ZZ", ".oxcrypt-00000000000000ff", "name.c9s.new",
            "dirid (1).c9r", "a" * 250,
        ])
        path = os.path.join(place, name)
        if self.dice.random() < 0.3:
            os.mkdir(path)
        else:
            write(path, self.dice.choice([b"", b"x", b"recovery", b"x" * 70000]))
        return (path,)

    def do_merge_types(self):
        node = self.pick(self.nodes, is_dir)
        name = self.dice.choice(["dir.c9r", "symlink.c9r", "contents.c9r"])
        write(os.path.join(node, name), read(self.pick(self.files)))
        return node, name


def failed(code):
    return code not in (0, 15)


def judge(commands, known):
    """Asks the commands that read, then mends and asks again."""
    before = snapshot(commands.vault)
    out = os.path.join(commands.top, "out")
    check, _, _ = commands.run("check")
    listed, _, list_err = commands.run("ls", "-R", "/")
    for command in ("tree", "du", "find"):
        code, _, err = commands.run(command, "/")
        if (code == 10) != (listed == 10):
            raise Bad(f"ls -R ends with {listed}, {command} with {code}\n{list_err}\n{err}")
    for command in ("tar", "sum"):
        commands.run(command, "/")
    commands.run("info")
    got, _, get_err = commands.run("get", "-r", "/", out)
    if snapshot(commands.vault) != before:
        raise Bad("reading changed the vault")
    seen = contents(out)
    for name, content in seen.items():
        if content not in known:
            raise Bad(f"{name} has content that nobody wrote")
    if check == 0 and (failed(got) or failed(listed)):
        raise Bad(f"check finds nothing, but get ends with {got}\n{get_err}\n{list_err}")
    if check not in (0, 11):
        return

    # What cannot be done is told as such: without a top directory there is no LOST+FOUND.
    _, report, _ = commands.run("check", "--fix-safe", "--json")
    tried = [line for line in map(json.loads, report.splitlines()) if line.get("fixed") is False]
    refused = {(line["code"], line["cipher_path"]) for line in tried if line.get("error")}
    again, report, _ = commands.run("check", "--json")
    for line in map(json.loads, report.splitlines()):
        if line.get("fix") and (line["code"], line["cipher_path"]) not in refused:
            raise Bad(f"could be mended, and was not: {line}")
    shutil.rmtree(out, ignore_errors=True)
    got, _, get_err = commands.run("get", "-r", "/", out)
    have = set(contents(out).values())
    for name, content in seen.items():
        if content not in have:
            raise Bad(f"mending lost {name}\n{get_err}")
    if again == 0 and failed(got):
        raise Bad(f"good after mending, but get ends with {got}\n{get_err}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--oxcrypt", required=True, type=os.path.abspath)
    parser.add_argument("--vaults", required=True, help="tests/data of the checkout")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--changes", type=int, default=4, help="at most so many in one vault")
    parser.add_argument("--keep", help="a directory for vaults that were bad")
    args = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="oxcrypt-attack-") as work:
        archive = os.path.join(args.vaults, "vaults.tar.gz")
        subprocess.run(["tar", "-xzf", archive, "-C", work], check=True)
        known = {}
        for seed in range(args.seed, args.seed + args.rounds):
            dice = random.Random(seed)
            name = dice.choice(SAMPLES)
            with open(os.path.join(args.vaults, name, "manifest.json"), encoding="utf-8") as f:
                manifest = json.load(f)
            with tempfile.TemporaryDirectory(dir=work) as top:
                shutil.copytree(os.path.join(work, name, "vault"), os.path.join(top, "vault"))
                commands = Commands(args.oxcrypt, top, manifest["password"])
                if name not in known:
                    sound = os.path.join(work, f"sound-{name}")
                    commands.run("get", "-r", "/", sound)
                    known[name] = genuine(manifest, sound)
                attack = Attack(commands.vault, dice)
                for _ in range(dice.randrange(1, args.changes + 1)):
                    attack.once()
                try:
                    judge(commands, known[name])
                except Bad as e:
                    bad += 1
                    print(f"seed {seed} ({name}): {e}")
                    for change in attack.log:
                        print("   ", *(str(x).replace(commands.vault + "/", "") for x in change))
                    sys.stdout.flush()
                    if args.keep:
                        target = os.path.join(args.keep, str(seed))
                        subprocess.run(["cp", "-a", commands.vault, target], check=True)
    print(f"attack: {args.rounds} vaults from seed {args.seed}, {bad} bad")
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
