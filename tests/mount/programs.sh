#!/usr/bin/env bash
# Programs as people use them: git, SQLite, tar, rsync, a compiler, locks, appends, maps.
source "$(dirname "$0")/lib.sh"
need git
need sqlite3
need rsync
need python3
need cc build-essential
here=$(cd "$(dirname "$0")" && pwd)
checks=0
ok() { checks=$((checks + 1)); guard; }
quietly() { "$@" >"$work/out" 2>&1 || { tail -n 20 "$work/out" >&2; fail "$* ($combo)"; }; }

# A repository of its own, so that the test needs no network and no history of the checkout.
make_repository() {
    local repository=$work/repository i
    mkdir -p "$repository"
    (
        cd "$repository"
        git init -q .
        git config user.name tester
        git config user.email tester@example.invalid
        for ((i = 0; i < 60; i++)); do
            mkdir -p "dir$((i % 7))/sub"
            head -c $((i * 700 + 10)) /dev/urandom | base64 >"dir$((i % 7))/sub/file$i"
            ln -sf "sub/file$i" "dir$((i % 7))/link$i"
            [ $((i % 10)) != 9 ] || { git add -A && git commit -q -m "step $i"; }
        done
        git add -A && git commit -q --allow-empty -m last
    )
}

git_works() {
    quietly git clone -q --no-hardlinks "$work/repository" "$mnt/clone"
    quietly git clone -q "$mnt/clone" "$mnt/clone-linked"
    quietly git -C "$mnt/clone" gc -q --prune=now
    quietly git -C "$mnt/clone" fsck --strict
    quietly git -C "$mnt/clone-linked" fsck --strict
    [ -z "$(git -C "$mnt/clone" status --porcelain)" ] || fail "git status is not clean ($combo)"
    echo more >>"$mnt/clone/dir1/sub/file1"
    [ "$(git -C "$mnt/clone" status --porcelain | wc -l)" = 1 ] || fail "git status misses a change"
    quietly git -C "$mnt/clone" -c user.name=t -c user.email=t@e.invalid commit -q -am change
    ok
}

# Two writers at a time in every kind of journal.
sqlite_works() {
    local mode db writer
    for mode in delete truncate persist wal; do
        db=$mnt/$mode.db
        quietly sqlite3 "$db" "pragma journal_mode=$mode; create table t(writer int, n int);"
        local writers=()
        for writer in 1 2; do
            (
                for ((n = 0; n < $(short_long 40 400); n++)); do
                    sqlite3 -cmd '.timeout 60000' "$db" "insert into t values ($writer, $n);" || exit 1
                done
            ) &
            writers+=($!)
        done
        for writer in "${writers[@]}"; do
            wait "$writer" || fail "a SQLite writer failed ($mode, $combo)"
        done
        [ "$(sqlite3 "$db" 'pragma integrity_check;')" = ok ] || fail "SQLite: $mode is damaged ($combo)"
        [ "$(sqlite3 "$db" 'select count(*) from t;')" = $((2 * $(short_long 40 400))) ] || fail "SQLite: $mode lost rows"
        ok
    done
}

copies_work() {
    quietly tar -C "$work" -cf "$mnt/tree.tar" repository
    mkdir "$mnt/untarred"
    quietly tar -C "$mnt/untarred" -xpf "$mnt/tree.tar"
    diff -r --no-dereference "$work/repository" "$mnt/untarred/repository" || fail "tar changed something ($combo)"
    ok
    quietly rsync -aH "$work/repository/" "$mnt/synced/"
    [ -z "$(rsync -aHi --delete "$work/repository/" "$mnt/synced/")" ] || fail "the second rsync found differences ($combo)"
    [ -z "$(rsync -aHci --delete "$work/repository/" "$mnt/synced/")" ] || fail "rsync -c found differences ($combo)"
    ok
}

# A build with many small outputs, run from where it was built.
compiler_works() {
    local i
    mkdir "$mnt/build"
    {
        echo 'OBJECTS = main.o'
        for ((i = 0; i < 30; i++)); do
            printf 'int f%d(int n) { return n + %d; }\n' "$i" "$i" >"$mnt/build/f$i.c"
            echo "OBJECTS += f$i.o"
        done
        printf 'program: $(OBJECTS)\n\tcc -o $@ $(OBJECTS)\n'
    } >"$mnt/build/Makefile"
    {
        for ((i = 0; i < 30; i++)); do echo "int f$i(int);"; done
        echo '#include <stdio.h>'
        echo 'int main(void) { int n = 0;'
        for ((i = 0; i < 30; i++)); do echo "n = f$i(n);"; done
        echo 'printf("%d\n", n); return 0; }'
    } >"$mnt/build/main.c"
    quietly make -s -j2 -C "$mnt/build"
    [ "$("$mnt/build/program")" = 435 ] || fail "the program built in the vault is wrong ($combo)"
    make -q -C "$mnt/build" program || fail "make would build again ($combo)"
    ok
}

everything() {
    git_works
    sqlite_works
    copies_work
    compiler_works
    quietly python3 "$here/semantics.py" "$mnt"
    checks=$((checks + $(grep -c '^ok ' "$work/out")))
    guard
}

need make
make_repository
with_both everything
pass "$checks checks (git, SQLite in 4 journal modes with 2 writers, tar, rsync, make, semantics)"
