"""A bundle as a repository of the Hugging Face hub: what its users look for lies at the root."""

from __future__ import annotations

from collections.abc import Iterable

from stillhouse.export.bundle_files import BundleFile
from stillhouse.export.model_card import README, USE
from stillhouse.recipes.gguf_names import is_adapter, is_student

_AT_ROOT = ("merged/", "gguf/")
_ADAPTER, _BASE = "adapter/", "base/"


def hub_files(files: Iterable[BundleFile]) -> dict[str, BundleFile]:
    """Where each file of a bundle lies in a repository.

    `from_pretrained("OWNER/NAME")` and `llama-server -hf OWNER/NAME` look at the root. An adapter
    lies there too, unless a whole model does, or the base that its config names beside itself.

    Args:
        files: of the bundle.

    Returns:
        Path in the repository -> file; without the README, which is written anew.
    """
    files = tuple(files)
    at_root: tuple[str, ...] = _AT_ROOT
    if not any(one.name.startswith(("merged/", _BASE)) for one in files):
        at_root += (_ADAPTER,)
    found = {}
    for one in files:
        prefix = next((part for part in at_root if one.name.startswith(part)), "")
        if one.name != README:
            found[one.name.removeprefix(prefix)] = one
    return found


def hub_card(card: str, names: Iterable[str], repo_id: str) -> str:
    """The README of a repository.

    Args:
        card: the README of the bundle.
        names: of the files in the repository.
        repo_id: `owner/name`.

    Returns:
        The same card, whose last section names the files where they lie now.
    """
    body, _, _ = card.rpartition(f"\n{USE}\n")
    names = sorted(names)
    uses = []
    if "model.safetensors" in names or "model.safetensors.index.json" in names:
        uses.append(_MERGED)
    if any(name.startswith("int8/") for name in names):
        uses.append(_INT8)
    for name in names:
        if name.endswith("adapter_config.json"):
            folder = name.rpartition("/")[0]
            uses.append(_PEFT.format(into=f', subfolder="{folder}"' if folder else ""))
        elif is_adapter(name):
            uses.append(_GGUF_ADAPTER.replace("FILE", name))
        elif is_student(name):
            uses.append(_GGUF.replace("FILE", name))
        elif name == "Modelfile":
            uses.append(_MODELFILE)
    told = "\n\n".join(dict.fromkeys(uses)).replace("REPO", repo_id)
    return f"{body}\n{USE}\n\n{told}\n"


_MERGED = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("REPO")
tokenizer = AutoTokenizer.from_pretrained("REPO")
```"""

_INT8 = """Its linear layers in 8 bits, with torchao installed:

```python
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("REPO", subfolder="int8")
```"""

_PEFT = """```python
from peft import PeftModel

model = PeftModel.from_pretrained(base_model, "REPO"{into})
```"""

_GGUF = """```bash
llama-server --hf-repo REPO --hf-file FILE --jinja
```"""

_GGUF_ADAPTER = """`FILE` is an adapter for llama.cpp, to be put on the model under the student:

```bash
hf download REPO FILE --local-dir .
llama-server -m BASE.gguf --lora FILE --jinja
```"""

_MODELFILE = """```bash
hf download REPO --local-dir student
cd student && ollama create my-student -f Modelfile
```"""
