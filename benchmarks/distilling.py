"""A student trained from any form of targets in one small loop, and its loss on held-out text.

The loop stands here because renormalised top-k, the usual form, is no objective of the project.
"""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from stillhouse.losses.fused_linear import fused_linear_loss
from stillhouse.losses.soft_targets import LiveTeacher, SampledTargets, SoftTargets, SparseTargets
from stillhouse.losses.terms import CROSS_ENTROPY, Objective
from stillhouse.models.head import find_head, last_hidden
from stillhouse.models.inference import pad_batch
from stillhouse.models.score import score_batch
from stillhouse.models.scoring import Scoring
from stillhouse.targets.header import TargetHeader
from stillhouse.targets.read import TargetReader
from stillhouse.targets.write import TargetWriter
from stillhouse.tokens.encode import EncodedConversation
from taught import Lesson
from workload import qwen3

_LAYERS, _HIDDEN = 2, 128
_HOLDOUT_TOKENS = 20_000


class Transfer:
    """The text that students learn on, and what the teacher says of it.

    Args:
        lesson: of the teacher.
        tokens: of the text, prompts included.
    """

    def __init__(self, lesson: Lesson, tokens: int) -> None:
        self._folder = lesson.folder / f"stores-{tokens}"
        self._vocab = lesson.load_tokenizer().vocab_size
        self._teacher = lesson.teacher()
        self._rows = lesson.rows("student", tokens)
        self._holdout = lesson.rows("holdout", min(tokens, _HOLDOUT_TOKENS))
        self._read: dict[str, list[Any]] = {}

    def store(self, name: str, codec: dict[str, Any]) -> float:
        """Write a store, unless it is there; bytes a token."""
        folder = self._folder / name
        if not (folder / "index.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            header = TargetHeader(
                engine="benchmark",
                weights_digest="taught",
                tokenizer_digest="given",
                template_digest="none",
                vocab_size=self._vocab,
                **codec,
            )
            texts = [(str(number), row) for number, row in enumerate(self._rows)]
            scoring = Scoring(self._vocab, header.top_k, num_draws=header.num_draws)
            with TargetWriter(folder, header, len(texts)) as writer:
                for targets in score_batch(self._teacher, texts, scoring):
                    writer.append(targets)
        stored = sum(path.stat().st_size for path in folder.iterdir())
        return stored / sum(row.num_trained for row in self._rows)

    def train(
        self,
        form: str,
        codec: dict[str, Any] | None,
        store: str | None,
        length: tuple[int, float, int],
        job: dict[str, Any],
    ) -> float:
        """The held-out loss, nats a token, of a student of this form.

        Args:
            form: of the targets.
            codec: of the store, None for no store.
            store: its name.
            length: rows of a step, learning rate, rows in all.
            job: holds the seed.

        Returns:
            Cross-entropy with the held-out text.
        """
        size, rate, total = length
        torch.manual_seed(job["seed"])
        student = qwen3(self._vocab, _LAYERS, _HIDDEN, seed=job["seed"]).train()
        optimizer = torch.optim.AdamW(student.parameters(), lr=rate)
        steps = total // size
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.1)
        random = np.random.default_rng(job["seed"])
        objective = CROSS_ENTROPY if form == "cross-entropy" else Objective()
        for _ in range(steps):
            chosen = random.choice(len(self._rows), min(size, len(self._rows)), replace=False)
            rows = [self._rows[index] for index in chosen]
            teacher = self._targets(form, codec, store, chosen.tolist())
            loss = _loss(student, rows, teacher, objective)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        return self._test(student.eval())

    def _targets(
        self, form: str, codec: dict[str, Any] | None, store: str | None, chosen: list[int]
    ) -> SoftTargets | None:
        if form == "cross-entropy":
            return None
        if codec is None or store is None:
            rows = [self._rows[index] for index in chosen]
            with torch.no_grad():
                hidden_NH, _ = _answers(self._teacher, rows)
            return LiveTeacher(hidden_NH, find_head(self._teacher))
        if store not in self._read:
            reader = TargetReader(self._folder / store)
            self._read[store] = [reader.get(str(number)) for number in range(len(self._rows))]
        targets = [self._read[store][index] for index in chosen]
        ids_NK = torch.from_numpy(np.concatenate([one.top_ids for one in targets])).long()
        logprobs_NK = torch.from_numpy(np.concatenate([one.top_logprobs for one in targets]))
        if "num_draws" in codec:
            return _sampled(targets, ids_NK, logprobs_NK, codec["num_draws"])
        if form.endswith("renormalised"):
            logprobs_NK = logprobs_NK - logprobs_NK.logsumexp(1, keepdim=True)
        return SparseTargets(ids_NK, logprobs_NK, torch.zeros(len(ids_NK)))

    @torch.no_grad()
    def _test(self, student: PreTrainedModel) -> float:
        total = tokens = 0.0
        for start in range(0, len(self._holdout), 8):
            rows = self._holdout[start : start + 8]
            count = sum(row.num_trained for row in rows)
            total += float(_loss(student, rows, None, CROSS_ENTROPY)) * count
            tokens += count
        return total / tokens


def _loss(
    model: PreTrainedModel,
    rows: list[EncodedConversation],
    teacher: SoftTargets | None,
    objective: Objective,
) -> Tensor:
    """Token mean over the answers of some rows."""
    hidden_NH, observed_N = _answers(model, rows)
    weights_N = torch.full((len(observed_N),), 1 / len(observed_N))
    head = find_head(model)
    return fused_linear_loss(hidden_NH, head, observed_N, teacher, objective, weights_N).loss


def _answers(model: PreTrainedModel, rows: list[EncodedConversation]) -> tuple[Tensor, Tensor]:
    """(N, H) what predicts the trained tokens, and those (N,)."""
    ids_BT, _ = pad_batch([row.ids for row in rows], pad_id=0)
    trained_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
    for number, row in enumerate(rows):
        trained_BT[number, : len(row.ids)] = torch.from_numpy(row.is_trained)
    # Padding stands on the right, where no token looks.
    hidden_BTH = last_hidden(model, ids_BT)
    return hidden_BTH[:, :-1][trained_BT[:, 1:]], ids_BT[trained_BT]


def _sampled(
    targets: list[Any], ids_NK: Tensor, logprobs_NK: Tensor, num_draws: int
) -> SampledTargets:
    """Kept entries as they are; a drawn token stands for its share of what they leave."""
    width = max(one.draws.ids.shape[1] for one in targets)
    drawn_NS, counts_NS = (
        torch.from_numpy(
            np.concatenate([_widened(getattr(one.draws, name), width) for one in targets])
        )
        for name in ("ids", "counts")
    )
    kept_NK = logprobs_NK.exp()
    tail_N1 = (1 - kept_NK.sum(1, keepdim=True)).clamp_min(0)
    entropy_N = torch.from_numpy(np.concatenate([one.draws.entropy for one in targets]))
    return SampledTargets(
        torch.cat((ids_NK, drawn_NS.long()), 1),
        torch.cat((kept_NK, tail_N1 * counts_NS / num_draws), 1),
        entropy_N,
    )


def _widened(values: Any, width: int) -> Any:
    return np.pad(values, ((0, 0), (0, width - values.shape[1])))
