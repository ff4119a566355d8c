"""The last section of a bundle's README: how its forms are loaded, by the files' own names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from stillhouse.recipes.gguf_names import FOLDER, is_adapter, is_student

_PYTHON, _BASH = "```python\n{}\n```", "```bash\n{}\n```"


def uses(formats: Sequence[str], names: Iterable[str], ollama: str = "") -> str:
    """What is done with each form.

    Args:
        formats: of the bundle.
        names: paths of its files.
        ollama: the model's name there.

    Returns:
        Markdown; nothing about forms that are not known.
    """
    there = sorted(names)
    told = [_OF[form](there) for form in formats if form in _OF]
    if "modelfile" in formats:
        call = _BASH.format(f"cd gguf && ollama create {ollama or 'my-student'} -f Modelfile")
        told.append(f"`gguf/Modelfile` tells Ollama of it:\n\n{call}")
    return "\n\n".join(told)


_ASKED = """from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("merged")
tokenizer = AutoTokenizer.from_pretrained("merged")
messages = [{"role": "user", "content": "..."}]
prompt = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
)
answer = model.generate(**prompt, max_new_tokens=256, do_sample=False)
print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))"""


def _merged(_: Sequence[str]) -> str:
    return (
        "`merged/` is an ordinary model folder, for transformers and vLLM; `prompt.json` says what "
        f"its prompts were made of:\n\n{_PYTHON.format(_ASKED)}"
    )


def _int8(_: Sequence[str]) -> str:
    call = _PYTHON.format(
        "from transformers import AutoModelForCausalLM\n\n"
        'model = AutoModelForCausalLM.from_pretrained("int8")'
    )
    return f"`int8/` holds its linear layers in 8 bits; it needs torchao:\n\n{call}"


def _adapter(_: Sequence[str]) -> str:
    call = _PYTHON.format(
        'from peft import PeftModel\n\nmodel = PeftModel.from_pretrained(base_model, "adapter")'
    )
    return (
        "`adapter/` holds the adapter alone, to be put on the model that the student started from "
        f"(`base/`, where that one was made of random weights):\n\n{call}"
    )


def _gguf(names: Sequence[str]) -> str:
    whole = filter(is_student, _files(names))
    calls = _BASH.format("\n".join(f"llama-server -m {name} --jinja" for name in whole))
    told = "`gguf/` holds the whole student for llama.cpp, a file for each kind of weights"
    return f"{told}:\n\n{calls}"


def _gguf_adapter(names: Sequence[str]) -> str:
    own = next(filter(is_adapter, _files(names)), "")
    call = _BASH.format(f"llama-server -m base.gguf --lora {own} --jinja")
    return (
        f"`{own}` is the adapter for llama.cpp, to be put on the model that the student started "
        "from, here `base.gguf`; `stillhouse.weights.sha256` in it names the weights of that one:"
        f"\n\n{call}"
    )


def _domains(names: Sequence[str]) -> str:
    found = {
        one.split("/")[1] for one in names if one.startswith("adapters_kd/") and one.count("/") > 1
    }
    first, *others = sorted(found) or ["a"]
    lines = [
        "from peft import PeftModel\n",
        f'model = PeftModel.from_pretrained(base_model, "adapters_kd/{first}", "{first}")',
        *(f'model.load_adapter("adapters_kd/{name}", "{name}")' for name in others),
        f'model.set_adapter("{(others or [first])[-1]}")',
    ]
    call = _PYTHON.format("\n".join(lines))
    return (
        "`adapters_kd/` holds one adapter for each domain, to be put on the model that all of them "
        "started from (`base/`, where nobody else has that one); `kd_config.json` beside an "
        f"adapter says how it was trained:\n\n{call}"
    )


_OF: dict[str, Callable[[Sequence[str]], str]] = {
    "merged": _merged,
    "int8": _int8,
    "adapter": _adapter,
    "gguf": _gguf,
    "gguf_adapter": _gguf_adapter,
    "adapters_kd": _domains,
}


def _files(names: Sequence[str]) -> list[str]:
    return [one for one in names if one.startswith(f"{FOLDER}/")]
