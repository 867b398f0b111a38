#!/usr/bin/env python3
"""Random attacks on vaults, judged by what the commands say about each other.

    attack.py --oxcrypt FILE --vaults DIR [--seed N] [--rounds N] [--changes N]

Each round takes a sample vault, changes its encrypted side some times, the way somebody without a key
can, and then asks every command about it. Nobody knows what the right answer is for a vault so
made; but the answers must fit together:

    ends      within its time, with a code of the table, without a panic, control characters or two
              error lines for one thing
    reads     change nothing
    agree     what `get -r` or `ls -R` cannot read, `check` finds; what `check` calls good can be read
    genuine   every file that is got is one of the vault (cut at a chunk at most), every link too
    mends     `check --fix-safe` loses no content that was readable before, and leaves nothing that it
              could mend; afterwards everything readable is readable again
"""

import argparse, hashlib, json, os, random, shutil, signal, stat, subprocess, sys, tempfile

CHUNK = 32 * 1024
TIME = 60
CODES = {
    "ls": {0, 4, 7, 10, 12, 3}, "get": {0, 1, 4, 7, 10, 12, 15, 3}, "check": {0, 4, 11, 12, 3}, "tree": {0, 4, 7, 10, 12, 3},
    "du": {0, 4, 7, 10, 12, 3}, "find": {0, 4, 7, 10, 12, 3}, "tar": {0, 4, 7, 10, 12, 3}, "info": {0, 4},
    "sum": {0, 4, 7, 10, 12, 3},
}
# One link of the samples is longer than this host can store: 15 is no failure of the vault.
FAILED = set(range(1, 128)) - {15}
# Leaves files that are whole for any reader: nothing tells them from what somebody wrote.
GOOD_EMPTY = hashlib.sha256(b"").hexdigest()


class Bad(Exception):
    pass


class Bed:
    def __init__(self, oxcrypt, top, name, password):
        self.oxcrypt, self.top, self.password = oxcrypt, top, password
        self.vault = os.path.join(top, "vault")
        self.name = name
        with open(os.path.join(top, "pw"), "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(password)

    def run(self, command, *words, okay=None):
        env = {"PATH": os.environ["PATH"], "HOME": self.top, "XDG_RUNTIME_DIR": self.top}
        secret = [] if command == "info" else ["--password-file", os.path.join(self.top, "pw")]
        line = [self.oxcrypt, command, *words[:1]] if command == "tar" else [self.oxcrypt, command]
        rest = words[1:] if command == "tar" else words
        line += [self.vault, *rest, *secret]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            limits = lambda: os.setpgid(0, 0)
            child = subprocess.Popen(["prlimit", "--as=4000000000", *line], stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=env, cwd=self.top, preexec_fn=limits)
            try:
                code = child.wait(TIME)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                raise Bad(f"{command} does not end")
            out.seek(0), err.seek(0)
            out, err = out.read(), err.read().decode(errors="replace")
        told = f"{command} {' '.join(words)}: code {code}\n{err[:2000]}"
        if code not in (okay or CODES[command]):
            raise Bad(told)
        if "panicked" in err or any(ord(c) < 32 and c != "\n" or ord(c) == 127 for c in err):
            raise Bad(told)
        lines = err.splitlines()
        if len(lines) != len(set(lines)) and len(lines) < 50:
            lines.sort()
            twice = [a for a, b in zip(lines, lines[1:]) if a == b and a.startswith("oxcrypt: ")]
            if twice:
                raise Bad(f"told twice: {twice[0]}\n{told}")
        return code, out, err


def snapshot(top):
    seen = {}
    for dir, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(dir, name)
            meta = os.lstat(path)
            what = (stat.S_IFMT(meta.st_mode), meta.st_size if not stat.S_ISDIR(meta.st_mode) else 0)
            if stat.S_ISREG(meta.st_mode) and meta.st_size < 1 << 24:
                with open(path, "rb") as f:
                    what += (hashlib.sha256(f.read()).hexdigest(),)
            seen[path] = what
    # Copies of the key files are made by whatever may write.
    return {p: w for p, w in seen.items() if not p.endswith(".bkup")}


def got(top):
    """Files and links below a directory: name -> content."""
    seen = {}
    for dir, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(dir, name)
            inside = os.path.relpath(path, top)
            if os.path.islink(path):
                seen[inside] = sha(os.readlink(path))
            elif os.path.isfile(path):
                with open(path, "rb") as f:
                    seen[inside] = hashlib.sha256(f.read()).hexdigest()
    return seen


class Attack:
    """Changes of a vault. Each method is one; all is drawn from the seed."""

    def __init__(self, vault, dice):
        self.dice, self.data = dice, os.path.join(vault, "d")
        self.log = []
        self.look()

    def look(self):
        self.contents, self.nodes, self.files = [], [], []
        for a in sorted(os.listdir(self.data)) if os.path.isdir(self.data) else []:
            outer = os.path.join(self.data, a)
            if os.path.islink(outer) or not os.path.isdir(outer):
                continue
            for b in sorted(os.listdir(outer)):
                content = os.path.join(outer, b)
                if os.path.islink(content) or not os.path.isdir(content):
                    continue
                self.contents.append(content)
                for name in sorted(os.listdir(content)):
                    node = os.path.join(content, name)
                    self.nodes.append(node)
                    if os.path.isdir(node) and not os.path.islink(node):
                        self.files += [os.path.join(node, n) for n in sorted(os.listdir(node))]
                    elif os.path.isfile(node) and not os.path.islink(node):
                        self.files.append(node)
        self.files = [f for f in self.files if os.path.isfile(f) and not os.path.islink(f)]

    def pick(self, things, test=lambda x: True):
        things = [t for t in things if test(t)]
        if not things:
            raise IndexError
        return self.dice.choice(things)

    def dir_files(self):
        return [f for f in self.files if os.path.basename(f) == "dir.c9r"]

    def copy_id(self):
        a, b = self.pick(self.dir_files()), self.pick(self.dir_files())
        shutil.copyfile(a, b)
        return a, b

    def swap_ids(self):
        a, b = self.pick(self.dir_files()), self.pick(self.dir_files())
        x, y = open(a, "rb").read(), open(b, "rb").read()
        open(a, "wb").write(y), open(b, "wb").write(x)
        return a, b

    def odd_id(self):
        a = self.pick(self.dir_files())
        id = self.dice.choice([b"", b"\0", b"/", b"../..", b"x" * 999, b"x" * 1001, b"\xff\xfe", b"recovery", b"a\n", b"A" * 36, open(a, "rb").read().upper()])
        open(a, "wb").write(id)
        return a, id[:40]

    def move_node(self):
        a, to = self.pick(self.nodes), self.pick(self.contents)
        b = os.path.join(to, os.path.basename(a))
        os.rename(a, b)
        return a, b

    def copy_node(self):
        a, to = self.pick(self.nodes), self.pick(self.contents)
        suffix = self.dice.choice(["", " (1)", "_conflict", " (2) (3)", "~", "=="])
        name = os.path.basename(a)
        b = os.path.join(to, name[:-4] + suffix + name[-4:])
        shutil.copytree(a, b, symlinks=True) if os.path.isdir(a) else shutil.copyfile(a, b)
        return a, b

    def rename_node(self):
        a = self.pick(self.nodes)
        old = os.path.basename(a)
        new = self.dice.choice([
            old[:-4], old[4:], old[: len(old) // 2] + ".c9r", old.swapcase(), old[:-4] + ".c9s", old[:-4] + ".c9u", "." + old,
            "-" * 200 + ".c9r", "=" * 40 + ".c9r", "A" * 24 + ".c9r", "x.c9r", "x.c9s", ".oxcrypt-0123456789abcdef", "dirid.c9r", "dir.c9r", "contents.c9r",
            old[:-4] + "é.c9r", old[:-5] + "=.c9r",
        ])
        b = os.path.join(os.path.dirname(a), new)
        os.rename(a, b)
        return a, b

    def other_kind(self):
        a = self.pick(self.nodes + self.files + self.contents)
        kind = self.dice.choice(["fifo", "link", "loop", "dir", "file", "socket", "link up"])
        if os.path.isdir(a) and not os.path.islink(a):
            shutil.rmtree(a)
        else:
            os.unlink(a)
        if kind == "fifo":
            os.mkfifo(a)
        elif kind == "link":
            os.symlink("/etc/passwd", a)
        elif kind == "loop":
            os.symlink(os.path.basename(a), a)
        elif kind == "link up":
            os.symlink("..", a)
        elif kind == "dir":
            os.mkdir(a)
        elif kind == "socket":
            os.mknod(a, stat.S_IFSOCK | 0o600)
        else:
            open(a, "wb").close()
        return a, kind

    def other_length(self):
        a = self.pick(self.files)
        size = os.path.getsize(a)
        new = self.dice.choice([0, 1, 15, 67, 68, 69, 96, 97, 88 + 48, max(0, size - 1), size + 1, size // 2, size + CHUNK, 1 << 20, 1 << 40, (1 << 44) - 4096])
        os.truncate(a, new)
        return a, new

    def other_bytes(self):
        a = self.pick(self.files, lambda f: 0 < os.path.getsize(f) < 1 << 24)
        with open(a, "r+b") as f:
            for _ in range(self.dice.randrange(1, 4)):
                f.seek(self.dice.randrange(os.path.getsize(a)))
                f.write(bytes([self.dice.randrange(256)]))
        return (a,)

    def swap_files(self):
        a, b = self.pick(self.files), self.pick(self.files)
        spare = os.path.join(self.data, "spare")
        os.rename(a, spare), os.rename(b, a) if a != b else None, os.rename(spare, b)
        return a, b

    def link_files(self):
        a, to = self.pick(self.files), self.pick(self.files)
        if a != to:
            os.unlink(to)
            os.link(a, to)
        return a, to

    def swap_chunks(self):
        a = self.pick(self.files, lambda f: CHUNK * 2 < os.path.getsize(f) < 1 << 24)
        data = bytearray(open(a, "rb").read())
        size, header = (CHUNK + 28, 68) if self.dice.random() < 0.7 else (CHUNK + 48, 88)
        i, j = header, header + size
        data[i : i + size], data[j : j + size] = data[j : j + size], data[i : i + size]
        open(a, "wb").write(data)
        return (a,)

    def remove(self):
        a = self.pick(self.files + self.nodes)
        shutil.rmtree(a) if os.path.isdir(a) and not os.path.islink(a) else os.unlink(a)
        return (a,)

    def remove_content(self):
        a = self.pick(self.contents)
        shutil.rmtree(a)
        return (a,)

    def empty_content(self):
        a = self.pick(self.contents)
        for name in os.listdir(a):
            path = os.path.join(a, name)
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        return (a,)

    def stray(self):
        at = self.pick(self.contents + self.nodes + [self.data], os.path.isdir)
        name = self.dice.choice(["x", "dir.c9r", "symlink.c9r", "contents.c9r", "name.c9s", "contents.c9u", "Icon\r", "\x1b[2Jx", ".DS_Store", "ZZ", ".oxcrypt-00000000000000ff", "name.c9s.new", "dirid (1).c9r", "a" * 250])
        path = os.path.join(at, name)
        if self.dice.random() < 0.3:
            os.mkdir(path)
        else:
            open(path, "wb").write(self.dice.choice([b"", b"x", b"recovery", b"x" * 70000]))
        return (path,)

    def merge_types(self):
        a = self.pick(self.nodes, os.path.isdir)
        name = self.dice.choice(["dir.c9r", "symlink.c9r", "contents.c9r"])
        shutil.copyfile(self.pick(self.files), os.path.join(a, name))
        return a, name

    CHANGES = [copy_id, copy_id, swap_ids, odd_id, move_node, copy_node, copy_node, rename_node, rename_node, other_kind, other_kind, other_length, other_length, other_bytes, swap_files, link_files, swap_chunks, remove, remove_content, empty_content, stray, merge_types]

    def once(self):
        for _ in range(20):
            change = self.dice.choice(self.CHANGES)
            try:
                self.log.append((change.__name__, *change(self)))
                break
            except (OSError, IndexError, shutil.Error) as e:
                continue
        self.look()


def genuine_contents(manifest):
    """Hashes of all that is encrypted as content somewhere: files, targets of links, directory ids. One
    in the place of another is what somebody wrote; the format cannot tell."""
    texts = [e[key] for e in manifest["entries"] for key in ("target", "dirId") if e.get(key)]
    return {e["sha256"] for e in manifest["entries"] if e["type"] == "file"} | {GOOD_EMPTY, *map(sha, texts)}


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def judge(bed, before_files, genuine, cut):
    """All commands that read, then mending."""
    before = snapshot(bed.vault)
    check, told, _ = bed.run("check")
    listed, _, ls_err = bed.run("ls", "-R", "/")
    for command in ("tree", "du", "find"):
        code, _, _ = bed.run(command, "/")
        if (code == 10) != (listed == 10) and check != 4:
            raise Bad(f"ls -R ends with {listed}, {command} with {code}\n{ls_err}")
    bed.run("tar", "c", "/")
    bed.run("info")
    out = os.path.join(bed.top, "out")
    read, _, get_err = bed.run("get", "-r", "/", out)
    if snapshot(bed.vault) != before:
        raise Bad("reading changed the vault")
    seen = got(out)
    for name, content in seen.items():
        if content not in genuine and content not in cut(name, out):
            raise Bad(f"{name} has content that nobody wrote")
    if check == 0 and (read in FAILED or listed != 0):
        raise Bad(f"check finds nothing, but get ends with {read}, ls with {listed}:\n{get_err}{ls_err}")
    if check not in (0, 11):
        return seen
    bed.run("check", "--fix-safe")
    again, report, _ = bed.run("check", "-v")
    for line in report.decode(errors="replace").splitlines():
        if "LOST+FOUND" not in line and line.startswith("info") and "leftover" in line:
            raise Bad(f"could be mended, but was not: {line}")
    shutil.rmtree(out, ignore_errors=True)
    mended, _, mended_err = bed.run("get", "-r", "/", out)
    after = got(out)
    have = list(after.values())
    for name, content in seen.items():
        if content not in have:
            raise Bad(f"mending lost {name}\n{mended_err}")
    if again == 0 and mended in FAILED:
        raise Bad(f"check calls it good after mending, but get ends with {mended}\n{mended_err}")
    return seen


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--oxcrypt", required=True)
    args.add_argument("--vaults", required=True, help="tests/data of the checkout")
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--rounds", type=int, default=200)
    args.add_argument("--changes", type=int, default=4, help="at most so many in one vault")
    args.add_argument("--keep", help="keep vaults that were bad here")
    args = args.parse_args()
    oxcrypt = os.path.abspath(args.oxcrypt)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="oxcrypt-attack-") as work:
        subprocess.run(["tar", "-xzf", os.path.join(args.vaults, "vaults.tar.gz"), "-C", work], check=True)
        for round in range(args.seed, args.seed + args.rounds):
            dice = random.Random(round)
            name = dice.choice(["v8_gcm", "v8_ctrmac", "v8_gcm_t100"])
            manifest = json.load(open(os.path.join(args.vaults, name, "manifest.json")))
            top = os.path.join(work, f"round-{round}")
            os.mkdir(top)
            shutil.copytree(os.path.join(work, name, "vault"), os.path.join(top, "vault"), symlinks=True)
            bed = Bed(oxcrypt, top, name, manifest["password"])
            genuine = genuine_contents(manifest)
            # Contents are not at hand here; those of the sound vault are, by one `get`.
            sound = os.path.join(work, f"sound-{name}")
            if not os.path.isdir(sound):
                bed.run("get", "-r", "/", sound)
                bad_names = [n for n, c in got(sound).items() if c not in genuine]
                assert not bad_names, bad_names
            pieces = {}

            def cut(inside, out, sound=sound, pieces=pieces):
                if not pieces:
                    for dir, _, files in os.walk(sound):
                        for f in files:
                            path = os.path.join(dir, f)
                            if not os.path.islink(path):
                                data = open(path, "rb").read()
                                for end in range(CHUNK, len(data), CHUNK):
                                    pieces[hashlib.sha256(data[:end]).hexdigest()] = path
                return pieces

            attack = Attack(bed.vault, dice)
            for _ in range(dice.randrange(1, args.changes + 1)):
                attack.once()
            try:
                judge(bed, None, genuine, cut)
            except Bad as e:
                bad += 1
                print(f"seed {round} ({name}): {e}")
                for change in attack.log:
                    print("   ", *[str(x).replace(bed.vault + "/", "") for x in change])
                sys.stdout.flush()
                if args.keep:
                    subprocess.run(["cp", "-a", bed.vault, os.path.join(args.keep, f"{round}")])
            shutil.rmtree(top, ignore_errors=True)
    print(f"{args.rounds} vaults attacked, {bad} bad")
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
