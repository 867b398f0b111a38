#!/usr/bin/env python3
"""Makes docs/performance.md from the run.json of a complete oxbench run.

    benchmarks/performance.py benchmarks/results/DIR > docs/performance.md

Every figure comes from the run; the goals below are the only numbers written by hand.
"""
import json
import math
import os
import sys

# Better than the reference by this factor, in the geometric mean of a suite and row by row.
SUITE_GOALS = {"seq": 2.0, "rand": 2.6, "small": 2.0, "meta": 3.0, "parallel": 2.0, "workloads": 2.2}
GOALS = {
    "seq": {"write": 1.8, "write_cpu": 1.8, "read_cold": 1.7, "read_cold_cpu": 1.6, "read_warm": 4},
    "rand": {
        "randread_qd1_iops": 1.3, "randread_4thr_iops": 1.4, "randread_qd1_p99": 1.5, "randread_4thr_p99": 1.5,
        "randwrite_iops": 6, "randwrite_p99": 15, "randwrite_4thr_iops": 4, "randwrite_4thr_p99": 5,
    },
    "small": {"create_write_close": 1.7, "walk_cold": 1.6, "walk_warm": 6, "read_all_cold": 1.7, "unlink_all": 1.5},
    "meta": {
        "mkdir": 0.8, "rmdir": 0.9, "create_empty_1k": 1.3, "rename": 1.6, "open_close_2k": 20, "stat_missing": 3.5,
        "symlink": 0.8, "readlink": 8, "readdir_1k_cold": 7.4, "readdir_1k_warm": 25, "readdir_10k_cold": 10,
        "readdir_10k_warm": 60, "stat_cold": 2.2, "stat_warm": 1, "create_empty_10k_dir": 1.4,
    },
    "parallel": {"create_fsync_256w": 1.5, "rewrite_fsync_256w": 2.2, "read_cold_256w": 1.6, "read_warm_256w": 4},
    "workloads": {
        "untar": 1.8, "sqlite_delete": 1.9, "sqlite_wal": 2, "append_5k_lines": 25, "edit_replace_300": 1.5,
        "cp_256M": 2.2, "cp_256M_synced": 2.2, "rsync_in_100M": 1.5, "git_clone": 2, "git_status_cold": 1.8,
        "git_status_warm": 5, "tree_walk_cold": 2.2, "tree_read_all": 2.2, "rsync_out_100M": 1.5, "tree_delete": 1.6,
    },
}
# Beside run.json there may be what other commands printed, each file with the command in its first line.
OTHERS = [
    ("profile.txt", "Where the mount's time goes",
     "Samples of the daemon's process while the part ran, by kind of work: the cipher, copying, the kernel's FUSE and "
     "file system code on its behalf, page faults, the allocator, sleeping, waking and locks, entering and leaving the "
     "kernel, and our own code (glue). Goals: glue below 0.3 % of a sequential read and 2 % of a write, futex and "
     "scheduler below 1 % of both."),
    ("scale.txt", "Growth",
     "Microseconds an entry among more and more, 1,000 a directory or all in one. The memory is that of a mount that has "
     "been through other sizes before; beyond 131,072 files the kernel is asked to forget ([decision 22]"
     "(decisions/0022-how-many-files-are-remembered.md))."),
    ("ablation.txt", "Each optimisation switched off",
     "One binary, one switch at a time. Bumpalo's arena and moka's caches are gone ([decision 20]"
     "(decisions/0020-no-arena-no-cache-crate.md)), so they have no switch."),
    ("durability.txt", "What durability costs", "See [durability](durability.md) for what each level promises."),
    ("trace.txt", "What tracing costs", "Every hundredth request is traced."),
]
UNITS = {"us": "µs", "x": "×", "per s": "/s"}


def short(name):
    for kind in ("dev", "ring"):
        if name == f"oxcrypt[OXCRYPT_TRANSPORT={kind}]":
            return f"oxcrypt ({kind})"
    return name


def number(value):
    if value is None:
        return "–"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def better(row, target, reference):
    """How many times better than the reference; None without both."""
    cells = row["cells"]
    pair = [cells.get(name, {}).get("summary") for name in (target, reference)]
    if not all(pair) or min(s["median"] for s in pair) <= 0:
        return None
    ours, theirs = (s["median"] for s in pair)
    return theirs / ours if row["less_is_better"] else ours / theirs


def counts(row):
    """Whether it is part of a suite's mean; the rule is that of oxbench's own reports."""
    return row["unit"] not in ("MiB", "per s", "x")


def is_shown(row):
    """The steps of a ladder are in the run's own page."""
    return "/readers=" not in row["row"] and "/host" not in row["row"]


def mean(run, suite, target):
    ratios = [better(r, target, run["reference"]) for r in run["rows"] if r["suite"] == suite and counts(r)]
    ratios = [r for r in ratios if r]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def main():
    directory = sys.argv[1]
    with open(os.path.join(directory, "run.json"), encoding="utf-8") as file:
        run = json.load(file)
    names = [t["name"] for t in run["targets"]]
    ours = [n for n in names if n.startswith("oxcrypt")]
    machine = run["machine"]
    suites = list(dict.fromkeys(r["suite"] for r in run["rows"]))
    say = print
    say("# Performance\n")
    say(f"Made by `benchmarks/performance.py {directory}` from [that run]({os.path.relpath(directory, 'docs')}/index.html), "
        f"{run['started'][:10]}: {machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_mib']} MiB, "
        f"Linux {machine['kernel']}, {machine['store_fs']}; {run['iterations']} passes, targets in turn, scale "
        f"{run['scale']}, medians; load before {machine['load_before']:.2f} (stuck or frozen tasks among it: "
        f"{machine.get('stuck', 0)}), processors busy before "
        f"{machine['busy_before'] * 100:.0f} %, stolen {machine['stolen'] * 100:.1f} %.\n")
    for reason in run["noisy"]:
        say(f"**Doubtful**: {reason}.\n")
    if run["cut_short"]:
        say("The run was ended by its time limit; later cases have fewer passes.\n")
    say("The command:\n")
    say(f"    OXCRYPT_FAST_KDF=1 oxbench {' '.join(run['command'][1:])}\n")
    say(f"Ratios say how many times better than {run['reference']} of the same run. *dev* is the mount through "
        "/dev/fuse, *ring* through io_uring, where root has switched that on. plain is the disk itself; neither it nor "
        "passthrough encrypts. Absolute figures do not carry over to another machine.\n")
    say("## Geometric means\n")
    say("| suite | " + " | ".join(short(n) for n in names) + " | goal |")
    say("|---|" + "---:|" * (len(names) + 1))
    for suite in suites:
        cells = [number(mean(run, suite, n)) for n in names]
        say(f"| {suite} | " + " | ".join(cells) + f" | {number(SUITE_GOALS.get(suite))} |")
    for suite in suites:
        say(f"\n## {suite}\n")
        say("| row | " + " | ".join(short(n) for n in names) + " | "
            + " | ".join(f"{short(n)} / {run['reference']}" for n in ours) + " | goal |")
        say("|---|" + "---:|" * (len(names) + len(ours) + 1))
        for row in run["rows"]:
            if row["suite"] != suite or not is_shown(row):
                continue
            unit = UNITS.get(row["unit"], row["unit"])
            label = row["row"] if row["row"] != "peak_rss" else f"peak_rss of {row['case']}"
            figures = []
            for name in names:
                cell = row["cells"].get(name, {})
                if cell.get("failures") and not cell.get("summary"):
                    figures.append(cell["failures"][0]["class"])
                else:
                    figures.append(number((cell.get("summary") or {}).get("median")))
            ratios = [better(row, n, run["reference"]) for n in ours]
            goal = GOALS.get(suite, {}).get(row["row"])
            marked = [f"**{number(r)}**" if goal and r and r >= goal else number(r) for r in ratios]
            say(f"| {label} [{unit}] | " + " | ".join(figures + marked) + f" | {number(goal)} |")
    say("\nBold: the goal is reached. Versions:\n")
    for target in run["targets"]:
        say(f"- {short(target['name'])}: {target['version']}" + "".join(f"; {note}" for note in target["notes"]))
    for file, title, words in OTHERS:
        path = os.path.join(directory, file)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as text:
                lines = text.read().rstrip().splitlines()
            say(f"\n## {title}\n\n{words}\n")
            say("\n".join("    " + line if line else "" for line in lines))


main()
