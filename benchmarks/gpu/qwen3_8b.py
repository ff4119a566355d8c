"""On one CUDA device: a Qwen3-8B-shaped teacher, a 0.6B-shaped student, random weights, bfloat16.

Tokens a second, share of the device's peak and memory, of the loss alone and of whole steps,
against Liger and TRL where they are installed. Without a device it says so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measure import Child, Goal, Turns, child_spec, has, parser, print_line, ratio, spread

VOCAB = 151_936
STUDENT = {"layers": 28, "hidden": 1024, "heads": 16, "inner": 3072, "tied": True}
TEACHER = {"layers": 36, "hidden": 4096, "heads": 32, "inner": 12288, "tied": False}
PEAK_FLOPS = 989e12
"""paper: dense bfloat16 of an H100 SXM or H200, data sheet; other devices: --peak."""


def main() -> None:
    """Measure every variant in a process of its own, one after the other."""
    options = parser(__doc__, repeats=10)
    options.add_argument("--tokens", type=int, default=8192, help="of a step, half of them trained")
    options.add_argument("--peak", type=float, default=PEAK_FLOPS, help="FLOP/s of the device")
    told = options.parse_args()
    with Child({"variant": "device"}, 1) as child:
        device = child.ready["device"]
    if device is None:
        print_line("gpu_qwen3_8b", {"device": "no CUDA device"}, {"device": Goal(None)}, told.quick)
        return
    tokens, repeats = (2048, 3) if told.quick else (told.tokens, told.repeats)
    names = ["ours_kl", "ours_jsd", "ours_top64", "dense_kl"]
    names += ["liger_jsd"] * has("liger-kernel") + ["trl_kl"] * has("trl")
    figures: dict[str, Any] = {"device": device, "tokens": tokens}
    seconds: dict[str, list[float]] = {}
    for kind in ("loss", "step"):
        for name in names:
            spec = {"variant": name, "kind": kind, "tokens": tokens}
            label = f"{name}, {kind}"
            try:
                figures[label], seconds[label] = _measure(spec, repeats, told.peak)
            except RuntimeError as error:
                figures[label] = {"failed": str(error)[-300:]}

    def over(one: str, other: str) -> float | None:
        known = one in seconds and other in seconds
        return ratio(seconds[one], seconds[other])["median"] if known else None

    goals = {
        f"{one} over {other}, {kind}": Goal(over(f"{one}, {kind}", f"{other}, {kind}"), 1.0)
        for kind in ("loss", "step")
        for one, other in (("liger_jsd", "ours_jsd"), ("trl_kl", "ours_kl"))
    }
    print_line("gpu_qwen3_8b", figures, goals, told.quick)


def _measure(spec: dict[str, Any], repeats: int, peak: float) -> tuple[dict[str, Any], list[float]]:
    with Child(spec, 4) as child:
        turns = [child.turn() for _ in range(repeats)]
    seconds = [turn["wall"] for turn in turns]
    found = {
        "seconds": spread(seconds),
        "tokens_per_s": spread([spec["tokens"] / one for one in seconds]),
        "share_of_peak": spread([turns[0]["flops"] / one / peak for one in seconds]),
        "peak_gb": turns[-1]["peak_bytes"] / 1e9,
    }
    return found, seconds


def child(spec: dict[str, Any]) -> None:
    """A turn is one forward and backward pass of the loss, or one training step."""
    turns = Turns()
    import torch

    if spec["variant"] == "device":
        name = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        turns.report(device=name)
        return
    torch.manual_seed(0)
    torch.set_default_device("cuda")
    run, flops = (_loss_alone if spec["kind"] == "loss" else _step)(spec)
    for _ in range(3):  # compiles and warms up
        run()
    torch.cuda.reset_peak_memory_stats()
    torch.cuda.synchronize()
    turns.report()
    while turns.wait():
        run()
        torch.cuda.synchronize()
        turns.report(flops=flops, peak_bytes=torch.cuda.max_memory_allocated())


def _loss_alone(spec: dict[str, Any]) -> tuple[Callable[[], None], int]:
    """Head and loss on states of every trained token."""
    import torch

    count, small, large = spec["tokens"], STUDENT["hidden"], TEACHER["hidden"]
    kind = torch.bfloat16
    hidden = torch.randn(count, small, dtype=kind, requires_grad=True)
    head = (torch.randn(VOCAB, small, dtype=kind) * 0.06).requires_grad_()
    teacher_hidden = torch.randn(count, large, dtype=kind)
    teacher_head = torch.randn(VOCAB, large, dtype=kind) * 0.03
    labels = torch.randint(0, VOCAB, (count,))
    loss = _loss(spec["variant"], teacher_head, labels, teacher_hidden)

    def run() -> None:
        hidden.grad = head.grad = None
        loss(hidden, head, teacher_hidden).backward()

    is_live = spec["variant"] != "ours_top64"
    return run, count * VOCAB * (6 * small + 2 * large * is_live)


def _step(spec: dict[str, Any]) -> tuple[Callable[[], None], int]:
    """Student forward and backward, live teacher forward, update; rows of 1024, half prompt."""
    import torch

    student, teacher = _model(STUDENT), _model(TEACHER).eval().requires_grad_(False)
    rows = spec["tokens"] // 1024
    ids = torch.randint(0, VOCAB, (rows, 1024))
    labels = ids[:, 512:].reshape(-1)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-5, fused=True)

    def states(model: Any) -> Any:
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        return hidden[:, 511:-1].reshape(-1, hidden.shape[-1])

    with torch.no_grad():
        teacher_hidden = states(teacher)
    loss = _loss(spec["variant"], teacher.lm_head.weight, labels, teacher_hidden)
    is_live = spec["variant"] != "ours_top64"

    def run() -> None:
        with torch.no_grad():
            taught = states(teacher) if is_live else teacher_hidden
        loss(states(student), student.lm_head.weight, taught).backward()
        optimizer.step()
        optimizer.zero_grad()

    def body(model: Any) -> int:
        return sum(p.numel() for name, p in model.named_parameters() if "layers" in name)

    trained = len(labels)
    flops = 6 * spec["tokens"] * body(student) + 6 * trained * VOCAB * STUDENT["hidden"]
    if is_live:
        flops += 2 * spec["tokens"] * body(teacher) + 2 * trained * VOCAB * TEACHER["hidden"]
    return run, flops


def _model(shape: dict[str, Any]) -> Any:
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=VOCAB,
        hidden_size=shape["hidden"],
        intermediate_size=shape["inner"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=8,
        head_dim=128,
        max_position_embeddings=4096,
        tie_word_embeddings=shape["tied"],
        dtype=torch.bfloat16,
    )
    model: Any = Qwen3ForCausalLM(config)
    return model.to(torch.bfloat16)


def _loss(
    variant: str, teacher_head: Any, labels: Any, teacher_hidden: Any
) -> Callable[[Any, Any, Any], Any]:
    """(student states, student head, teacher states) -> a scalar with a graph."""
    import torch

    if variant.startswith("ours"):
        return _ours(variant, teacher_head, labels, teacher_hidden)
    if variant == "liger_jsd":
        from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

        liger = LigerFusedLinearJSDLoss(weight_hard_loss=0.0, weight_soft_loss=1.0, beta=0.5)
        return lambda hidden, head, taught: liger(hidden, head, taught, teacher_head, labels)
    if variant == "trl_kl":
        from trl.kernels.chunked_divergence import ChunkedDivergenceFunction as Kernel

        return lambda hidden, head, taught: Kernel.apply(
            hidden, head, None, taught, teacher_head, None, 0.0
        )[0].mean()

    def dense(hidden: Any, head: Any, taught: Any) -> Any:
        log_q = (hidden @ head.T).float().log_softmax(-1)
        log_p = (taught @ teacher_head.T).float().log_softmax(-1)
        kl = torch.nn.functional.kl_div
        return kl(log_q, log_p, reduction="batchmean", log_target=True)

    return dense


def _ours(
    variant: str, teacher_head: Any, labels: Any, teacher_hidden: Any
) -> Callable[[Any, Any, Any], Any]:
    import torch

    from stillhouse.losses.divergences import JSD, ForwardKL
    from stillhouse.losses.fused_linear import fused_linear_loss
    from stillhouse.losses.head import HeadTensors
    from stillhouse.losses.soft_targets import LiveTeacher, SparseTargets
    from stillhouse.losses.terms import Objective

    objective = Objective(((JSD(0.5) if variant == "ours_jsd" else ForwardKL(), 1.0),))
    weights = torch.full((len(labels),), 1 / len(labels))
    kept = None
    if variant == "ours_top64":
        parts = []
        for rows in teacher_hidden.split(256):
            parts.append((rows @ teacher_head.T).float().log_softmax(-1).topk(64))
        ids, logprobs = (torch.cat([part[at] for part in parts]) for at in (1, 0))
        kept = SparseTargets(ids, logprobs, torch.zeros(len(ids)))

    def loss(hidden: Any, head: Any, taught: Any) -> Any:
        teacher = kept or LiveTeacher(taught, HeadTensors(teacher_head))
        tensors = HeadTensors(head)
        return fused_linear_loss(hidden, tensors, labels, teacher, objective, weights).loss

    return loss


if __name__ == "__main__":
    if (spec := child_spec()) is not None:
        child(spec)
    else:
        main()
