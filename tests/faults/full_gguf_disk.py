"""Write GGUF files to a disk that is too small for them; tell what was answered and what is left.

Arguments: a model folder, a folder to mount the disk on, its size, `write` or `quantise`.
"""

import json
import subprocess
import sys
from pathlib import Path

from stillhouse.core.errors import StillhouseError
from stillhouse.export.gguf_model import GgufFacts, write_gguf
from stillhouse.tokens.template import ChatTemplate
from stillhouse.tokens.tokenizer import load_tokenizer

folder, disk, size, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=True)
template = ChatTemplate.of(load_tokenizer(folder))
(disk / "old.gguf").write_bytes(b"old")
try:
    if how == "write":
        write_gguf(folder, template, disk / "old.gguf", "f32", GgufFacts("m"))
    else:
        from stillhouse.engines.gguf_examiner import quantise_gguf

        whole = folder / "whole.gguf"
        write_gguf(folder, template, whole, "f32", GgufFacts("m"))
        quantise_gguf(whole, disk / "old.gguf", "q8_0", 1)
    kind, message = "nothing", ""
except StillhouseError as error:
    kind, message = type(error).__name__, str(error)
left = {path.name: path.read_bytes().decode(errors="replace") for path in disk.iterdir()}
print(json.dumps({"kind": kind, "message": message, "left": left}))
