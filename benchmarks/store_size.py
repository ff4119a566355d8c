"""What stored targets weigh, by codec and part, and what quantising does to the gradient.

The teacher is taught on the spot, on the text of `--corpus` with the tokenizer of `--tokenizer`.
The entropy of the ids under the words' own frequencies is no limit here: the store's models are
fitted to each shard, so the limit beside each figure is what those models themselves predict.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from measure import Child, Goal, Turns, child_spec, parser, print_line

CODECS = {
    "top_k 64": {"codec": "top_k", "top_k": 64},
    "top_k 12": {"codec": "top_k", "top_k": 12},
    "sampled 50": {"codec": "sampled", "top_k": 0, "num_draws": 50},
    "top_k 12 and sampled 50": {"codec": "top_k_sampled", "top_k": 12, "num_draws": 50},
}
_IDS_AND_COUNTS = ("drawn", "count", "counts")


def main() -> None:
    """Teach, score, store in each codec, read back."""
    from taught import Lesson, add_options

    options = parser(__doc__, repeats=1)
    add_options(options)
    options.add_argument("--tokens", type=int, default=60_000, help="of scored text")
    told = options.parse_args()
    sizes = {"vocab": 8192, "layers": 8, "hidden": 512, "seconds": 120}
    if told.quick:
        sizes = {"vocab": 2048, "layers": 2, "hidden": 128, "seconds": 10}
    spec = {**Lesson.of(told, **sizes), "tokens": 4000 if told.quick else told.tokens}
    with Child(spec, told.threads) as child:
        found = child.turn()
    by_codec = found["codecs"]
    sampled = by_codec["sampled 50"]
    goals = {
        "top-64, bytes a token": Goal(
            by_codec["top_k 64"]["bytes_per_token"], at_most=150, stretch=120
        ),
        "top-64, error of the gradient": Goal(max(found["gradient_error"].values()), at_most=0.01),
        "sampled 50, ids and counts": Goal(
            sampled["ids_and_counts_bytes_per_token"], at_most=20, stretch=16
        ),
        "sampled 50, whole": Goal(sampled["bytes_per_token"], at_most=26),
    }
    print_line("store_size", found, goals, told.quick)


def child(spec: dict[str, Any]) -> None:
    """One turn: everything."""
    turns = Turns()
    import torch
    from taught import Lesson

    torch.set_num_threads(spec["threads"])
    lesson = Lesson.read(spec)
    teacher = lesson.teacher()
    rows = lesson.rows("holdout", spec["tokens"])
    turns.report()
    turns.wait()
    tokens = sum(row.num_trained for row in rows)
    vocab = lesson.load_tokenizer().vocab_size
    found = {name: _store(teacher, rows, vocab, codec) for name, codec in CODECS.items()}
    turns.report(
        vocab=vocab,
        scored_tokens=tokens,
        examples=len(rows),
        teacher_loss=_loss(found["top_k 64"]["kept"]),
        codecs={
            name: {key: value for key, value in one.items() if key not in ("kept", "read")}
            for name, one in found.items()
        },
        gradient_error=_gradient_errors(teacher, rows, found["top_k 64"]),
    )


def _store(teacher: Any, rows: list[Any], vocab: int, codec: dict[str, Any]) -> dict[str, Any]:
    """Bytes a token of a store of these rows, what went in and what comes out."""
    from stillhouse.models.score import Scoring, score_batch
    from stillhouse.targets.header import TargetHeader
    from stillhouse.targets.read import TargetReader
    from stillhouse.targets.write import TargetWriter

    header = TargetHeader(
        engine="benchmark",
        weights_digest="taught",
        tokenizer_digest="given",
        template_digest="none",
        vocab_size=vocab,
        **codec,
    )
    scoring = Scoring(vocab, header.top_k, num_draws=header.num_draws)
    texts = [(str(number), row) for number, row in enumerate(rows)]
    kept = score_batch(teacher, texts, scoring)
    tokens = sum(len(one.token_ids) for one in kept)
    with tempfile.TemporaryDirectory() as folder:
        with TargetWriter(Path(folder), header, len(rows)) as writer:
            for targets in kept:
                writer.append(targets)
        stored = sum(path.stat().st_size for path in Path(folder).iterdir())
        reader = TargetReader(Path(folder))
        read = [reader.get(name) for name, _ in texts]
    parts = _bits_by_part(kept, header)
    of_draws = sum(parts.get(name, 0.0) for name in _IDS_AND_COUNTS)
    return {
        "bytes_per_token": stored / tokens,
        "bytes_per_token_by_part": {name: bits / 8 / tokens for name, bits in parts.items()},
        "models_predict": sum(parts.values()) / 8 / tokens,
        "ids_and_counts_bytes_per_token": of_draws / 8 / tokens,
        "kept": kept,
        "read": read,
    }


def _bits_by_part(kept: list[Any], header: Any) -> dict[str, float]:
    """Length of the code of each part, under the models that the shard carries."""
    import numpy as np

    from stillhouse.targets.entropy import Counter, Encoder
    from stillhouse.targets.layout import ID_MODELS, walk
    from stillhouse.targets.rows import quantise

    counter = Counter(dict.fromkeys(ID_MODELS, header.vocab_size))
    for one in kept:
        walk(counter, header, len(one.token_ids), quantise(one, header))
    models = counter.fit()
    bits: dict[str, float] = {}

    class Ruler(Encoder):
        def numbers(self, name: str, contexts: Any, values: Any) -> Any:
            model = models[name]
            buckets, _, sizes = model.split(values)
            rows = contexts if len(model.logs) > 1 else 0
            weights = np.where(model.logs == 0, 0.0, np.exp2(model.logs / 4.0))
            shares = weights[rows, buckets] / weights.sum(1)[rows]
            spent = float((np.log2(sizes) - np.log2(shares)).sum())
            bits[name] = bits.get(name, 0.0) + spent
            return values

        def groups(self, name: str, contexts: Any, left: Any, values: Any) -> Any:
            found = self.numbers(name, contexts, values)
            bits[name] -= float(np.log2(np.maximum(left, 1)).sum())
            return found

    for one in kept:
        walk(Ruler(models), header, len(one.token_ids), quantise(one, header))
    return bits


def _loss(kept: list[Any]) -> float:
    import numpy as np

    return -float(np.concatenate([one.observed_logprobs for one in kept]).mean())


def _gradient_errors(teacher: Any, rows: list[Any], stored: dict[str, Any]) -> dict[str, float]:
    """Norm of the error of the head's gradient over its norm: stored against unquantised top-64.

    Two students: one that knows nothing, and one near the teacher, its states disturbed a little.
    """
    import torch

    from stillhouse.losses.fused_linear import fused_linear_loss
    from stillhouse.losses.head import HeadTensors
    from stillhouse.losses.soft_targets import SparseTargets
    from stillhouse.losses.terms import Objective
    from stillhouse.models.head import find_head
    from stillhouse.models.states import answer_states

    count = min(len(rows), 16)
    used = {"vocab_size": find_head(teacher).num_used, "batch_size": count}
    (states,) = answer_states(teacher, rows[:count], **used)
    weight = find_head(teacher).weight_VH.detach()
    generator = torch.Generator().manual_seed(0)
    hidden = states.hidden_PH
    noise = torch.randn(hidden.shape, generator=generator) * hidden.std()
    students = {"far": noise, "near": hidden + 0.2 * noise}

    def gradient(hidden_NH: Any, targets: list[Any]) -> Any:
        head = HeadTensors(weight.clone().requires_grad_())
        ordered = [targets[index] for index in states.batch]
        ids = torch.cat([torch.from_numpy(one.top_ids) for one in ordered]).long()
        logprobs = torch.cat([torch.from_numpy(one.top_logprobs) for one in ordered])
        soft = SparseTargets(ids, logprobs, torch.zeros(len(ids)))
        weights_N = torch.full((len(ids),), 1 / len(ids))
        observed = torch.from_numpy(states.observed_P).long()
        fused_linear_loss(hidden_NH, head, observed, soft, Objective(), weights_N).loss.backward()
        return head.weight_VH.grad

    errors = {}
    for name, hidden_NH in students.items():
        exact = gradient(hidden_NH, stored["kept"])
        quantised = gradient(hidden_NH, stored["read"])
        errors[name] = float((quantised - exact).norm() / exact.norm())
    return errors


if __name__ == "__main__":
    if (spec := child_spec()) is not None:
        child(spec)
    else:
        main()
