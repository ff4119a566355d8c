"""Runs on a small disk of our own, inside `unshare -rm`; prints what happened as JSON.

`python full_disk.py artifacts|everything FOLDER RECIPE SIZES`: the disk holds the artifacts alone,
or the whole runs folder, which a ballast fills from the first training of the first run to the end
of the second. The same command is run once for each size, the disk growing from one to the next.
"""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

from killed_runs import begun, contents, run


def main(what, folder, recipe, sizes):
    root = Path(folder) / "runs"
    disk = root / "artifacts" if what == "artifacts" else root
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={sizes[0]}", "tmpfs", disk], check=True)
    told = []
    for number, size in enumerate(sizes):
        subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)
        if what == "everything" and number == 0:
            threading.Thread(target=fill_up, args=(root,), daemon=True).start()
        done = run("run", recipe, "--runs", root)
        whole = [path.parent.name for path in root.glob("artifacts/*-*/manifest.json")]
        told.append({"code": done.returncode, "err": done.stderr, "whole": whole})
        if number == 1:
            (root / "ballast").unlink(missing_ok=True)
    told[-1]["contents"] = contents(root)
    print(json.dumps(told))


def fill_up(root):
    while "finetune" not in begun(root / "tiny" / "events.jsonl"):
        time.sleep(0.01)
    with (root / "ballast").open("wb", buffering=0) as stream:
        for block in (4096, 1):
            try:
                while True:
                    stream.write(b"x" * block)
            except OSError:
                continue


if __name__ == "__main__":
    main(*sys.argv[1:4], sys.argv[4].split(","))
