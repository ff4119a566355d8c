"""What DistilGPT-2 saves over GPT-2 Large: parameters, bytes on disk in each dtype, and latency.

Both are built from their published configurations with random weights, which take the space and
the time of trained ones; how well a student of that size answers is not asked here.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from measure import Goal, Turns, child_spec, in_turn, parser, print_line, ratio, spread
from stillhouse.recipes.sizes import sizes_of

_GPT2 = {"model_type": "gpt2", "vocab_size": 50257, "bos_token_id": 50256, "eos_token_id": 50256}
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2-large": _GPT2 | {"n_embd": 1280, "n_layer": 36, "n_head": 20},
    "distilgpt2": _GPT2 | {"n_embd": 768, "n_layer": 6, "n_head": 12},
}
PARAMETERS = {"gpt2-large": 774_030_080, "distilgpt2": 81_912_576}
"""Of the published files."""
PROMPT = 32


def main() -> None:
    """Build, save and time both, turn by turn."""
    options = parser(__doc__, repeats=20)
    options.add_argument("--tokens", type=int, default=16, help="that are written for a prompt")
    told = options.parse_args()
    dtypes = ("bfloat16",) if told.quick else ("float32", "bfloat16")
    tokens, repeats = (4, 3) if told.quick else (told.tokens, told.repeats)
    figures: dict[str, Any] = {"weights": "random", "prompt": PROMPT, "new_tokens": tokens}
    counted = {name: sizes_of(config).parameters for name, config in CONFIGS.items()}
    fewer = 1 - counted["distilgpt2"] / counted["gpt2-large"]
    goals = {
        "fewer parameters, as a share": Goal(round(fewer, 4), at_least=0.894, at_most=0.895),
        "counts are the published ones": Goal(float(counted == PARAMETERS), at_least=1.0),
    }
    for dtype in dtypes:
        specs = {
            name: {"model": name, "dtype": dtype, "tokens": tokens, "threads": told.threads}
            for name in CONFIGS
        }
        found = in_turn(specs, told.threads, repeats)
        figures[dtype] = _compared(found, told.clock)
        built = {name: reports[0]["parameters"] for name, reports in found.items()}
        goals[f"{dtype}: built models have the counted weights"] = Goal(
            float(built == counted), at_least=1.0
        )
    if "float32" in figures:
        sizes = figures["bfloat16"]["bytes_on_disk"], figures["float32"]["bytes_on_disk"]
        mixed = sizes[0]["gpt2-large"] / sizes[1]["distilgpt2"]
        figures["bytes_large_bfloat16_over_small_float32"] = round(mixed, 2)
    print_line("gpt2_compression", {"parameters": counted, **figures}, goals, told.quick)


def _compared(found: dict[str, list[dict[str, Any]]], clock: str) -> dict[str, Any]:
    """Sizes and times of both, and large over small."""
    large, small = found["gpt2-large"], found["distilgpt2"]
    times = {name: [one[clock] for one in reports] for name, reports in found.items()}
    return {
        "bytes_on_disk": {name: reports[0]["bytes"] for name, reports in found.items()},
        "bytes_large_over_small": round(large[0]["bytes"] / small[0]["bytes"], 2),
        "seconds": {name: spread(values) for name, values in times.items()},
        "latency_large_over_small": ratio(times["gpt2-large"], times["distilgpt2"]),
    }


def child(spec: dict[str, Any]) -> None:
    """Build and save one model, then answer one prompt greedily at each turn."""
    turns = Turns()
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.set_num_threads(spec["threads"])
    torch.manual_seed(0)
    config = AutoConfig.for_model(**CONFIGS[spec["model"]])
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[spec["dtype"]]
    model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        size = sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))
    prompt = torch.arange(PROMPT)[None] + 1000
    options = {"attention_mask": torch.ones_like(prompt), "do_sample": False, "pad_token_id": 0}
    options |= {"min_new_tokens": spec["tokens"], "max_new_tokens": spec["tokens"]}

    def answer() -> None:
        with torch.no_grad():
            model.generate(prompt, **options)

    answer()  # the first call makes what later ones find
    turns.report(bytes=size, parameters=model.num_parameters())
    while turns.wait():
        answer()
        turns.report()


if __name__ == "__main__":
    if (spec := child_spec()) is not None:
        child(spec)
    else:
        main()
