"""Kills a mount in the milliseconds in which it begins to serve: `killed.py OXCRYPT VAULT POINT PASSWORD
ROUNDS`. Whatever its threads were doing then, the process must be gone soon. (A shell is too slow to
meet the moment.)"""

import random
import subprocess
import sys
import time

program, vault, point, password = sys.argv[1:5]
rounds = int(sys.argv[5])


def is_mounted():
    with open("/proc/self/mounts", encoding="utf-8") as table:
        return f" {point} " in table.read()


for number in range(1, rounds + 1):
    mount = subprocess.Popen(
        [program, "mount", vault, point, "--foreground", "--password-file", password],
        stderr=subprocess.DEVNULL,
    )
    while not is_mounted():
        if mount.poll() is not None:
            sys.exit(f"kill {number}: not mounted")
    time.sleep(random.uniform(0, 0.004))
    mount.kill()
    try:
        # Not before the last thread of the process has ended.
        mount.wait(10)
    except subprocess.TimeoutExpired:
        sys.exit(f"kill {number}: process {mount.pid} cannot be killed")
    subprocess.run(["umount", "-l", point], check=True)
