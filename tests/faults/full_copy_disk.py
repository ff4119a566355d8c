"""Copy a bundle to a disk that is too small for it; tell what was answered and what is left.

Arguments: the bundle, a folder to mount the disk on, its size.
"""

import json
import subprocess
import sys
from pathlib import Path

from stillhouse.core.errors import StillhouseError
from stillhouse.core.hashing import digest_file
from stillhouse.export.bundle_files import bundle_files, copy_bundle
from stillhouse.store.artifacts import FileEntry

bundle, disk, size = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=True)
entries = [
    FileEntry(path=one.name, bytes=one.stat().st_size, sha256=digest_file(one))
    for one in bundle.iterdir()
]
(disk / "mine").write_text("mine")
try:
    copy_bundle(bundle_files(bundle, entries), disk / "copy")
    kind, message = "nothing", ""
except StillhouseError as error:
    kind, message = type(error).__name__, str(error)
left = sorted(path.relative_to(disk).as_posix() for path in disk.rglob("*"))
print(json.dumps({"kind": kind, "message": message, "left": left}))
