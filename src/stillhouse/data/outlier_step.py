"""The step that finds rows about something else: by keywords, by a ranking, by whoever judges.

Every row that goes on has its score in a field of its own, and so has every row that ends, in the
evidence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from stillhouse.core.errors import AccountingError
from stillhouse.core.rows import Defer, Drop, Keep, Outcome, Row
from stillhouse.data.neighbours import MakeVectors, dense
from stillhouse.data.outliers import Scored, score_by_density, score_by_neighbours
from stillhouse.data.semantic import Looked, texts_of
from stillhouse.data.tfidf import tfidf
from stillhouse.recipes.meaning_steps import DropOutliers

Why = Literal["keyword", "score", "cluster"]

_SHOWN = 3
"""Texts of a cluster, and of its neighbours, that are shown to a judge."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """One text, or the texts of one cluster, that may be about something else.

    Attributes:
        texts: at most three of them.
        rows: how many rows say one of them.
        near: the nearest texts that are none of them, at most three.
        row_ids: of all rows that say one of these texts, those of `texts` first.
        score: how unlike all others.
        rank: by score, from 1.
        why: what made it suspected.
        keyword: that it holds; empty without.
    """

    texts: tuple[str, ...]
    rows: int
    near: tuple[str, ...]
    row_ids: tuple[str, ...]
    score: float
    rank: int
    why: Why
    keyword: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said of a suspect.

    Attributes:
        ruling: `open` where it said nothing of use; then the recipe says what becomes of it.
            `waits` where no answer came, for the reason that is said: a later run asks again.
        said: in words, for the record.
    """

    ruling: Literal["keep", "drop", "open", "waits"]
    said: str = ""


AskJudge = Callable[[Sequence[Suspect]], Sequence[Verdict]]
"""One verdict for each suspect, in their order; called once, in the process of the stage."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one text.

    Attributes:
        score: of the text or of its cluster.
        rank: of the text or cluster among all, from 1.
        why: what made it suspected; empty where it is not.
        keyword: that it holds.
        cluster_rows: rows that are judged with it, itself included.
        verdict: of the judge; None where none was asked.
    """

    score: float
    rank: int
    why: Why | Literal[""] = ""
    keyword: str = ""
    cluster_rows: int = 1
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class OutlierStep:
    """Scores every row, and drops or reports those that are suspected.

    Attributes:
        wanted: the recipe's settings.
        vectors: of texts; by pieces of words where no model is given.
        judge: is asked about each suspect; the recipe's rule holds where there is none.
    """

    wanted: DropOutliers
    vectors: MakeVectors = tfidf
    judge: AskJudge | None = None
    name: str = "drop_outliers"
    version: int = 1
    kind: str = "global"

    def process(self, batch: Sequence[Row]) -> list[Outcome]:
        """Score and judge all rows."""
        return self.settle(batch, self.decide([self.look(batch)]))

    def look(self, batch: Sequence[Row]) -> Looked:
        """The texts of the rows that have the field."""
        return texts_of(batch, self.wanted.field)

    def decide(self, looks: Sequence[Looked]) -> dict[str, Finding]:
        """What is found of each text that says something."""
        saying: dict[str, list[str]] = {}
        for look in looks:
            for row_id, text in look.items():
                saying.setdefault(text, []).append(row_id)
        distinct = sorted(saying)
        if not distinct:
            return {}
        vectors = self.vectors(distinct)
        # A text without words points nowhere; it is neither near nor far.
        known = np.flatnonzero(np.asarray((vectors * vectors).sum(axis=1)).ravel() > 0)
        texts = [distinct[place] for place in known]
        if not texts:
            return {}
        copies = [len(saying[text]) for text in texts]
        wanted = self.wanted
        scored = (
            score_by_density(dense(vectors[known]), wanted.min_cluster_size)
            if wanted.score == "glosh"
            else score_by_neighbours(
                vectors[known], copies, wanted.neighbours, wanted.alike, wanted.cluster_rows
            )
        )
        return self._judged(texts, saying, scored)

    def settle(self, batch: Sequence[Row], decision: Mapping[str, Finding]) -> list[Outcome]:
        """Keep, or drop, by what was found of each row's text."""
        return [self._outcome(row, decision) for row in batch]

    def _judged(
        self, texts: Sequence[str], saying: Mapping[str, Sequence[str]], scored: Scored
    ) -> dict[str, Finding]:
        """Suspects among clusters in the order of their scores, and what a judge says of them."""
        # Texts of a cluster that hold a keyword are judged apart from those that do not.
        members: dict[tuple[int, str], list[int]] = {}
        keywords = self._keywords(texts)
        for place, cluster in enumerate(scored.clusters.tolist()):
            members.setdefault((cluster, keywords[place]), []).append(place)
        ranked = sorted(members.values(), key=lambda own: (-scored.scores[own[0]], own[0]))
        copies = [len(saying[text]) for text in texts]
        budget = self._budget(sum(copies))
        checks = 0
        found: list[tuple[list[int], Finding, Suspect | None]] = []
        for rank, own in enumerate(ranked, 1):
            score, rows = float(scored.scores[own[0]]), sum(copies[place] for place in own)
            keyword = keywords[own[0]]
            why: Why | Literal[""] = "keyword" if keyword else ""
            if not why and checks < budget and self._is_far(score):
                why, checks = "cluster" if len(own) > 1 else "score", checks + 1
            finding = Finding(score, rank, why, keyword, rows)
            shown = tuple(texts[place] for place in own[:_SHOWN])
            near = tuple(texts[place] for place in scored.near[own[0]] if place >= 0)
            suspect = None
            if why:
                # In one order, whatever the shards were.
                row_ids = tuple(
                    row_id for text in (*shown, *near) for row_id in sorted(saying[text])
                )
                suspect = Suspect(shown, rows, near, row_ids, score, rank, why, keyword)
            found.append((own, finding, suspect))
        verdicts = iter(self._ask([suspect for _, _, suspect in found if suspect]))
        judged: dict[str, Finding] = {}
        for own, finding, suspect in found:
            verdict = next(verdicts) if suspect else None
            judged |= {texts[place]: replace(finding, verdict=verdict) for place in own}
        return judged

    def _is_far(self, score: float) -> bool:
        """Whether a score may be suspected; one of 0 is like all others, or alone."""
        return score > 0 and score >= self.wanted.least_score

    def _budget(self, rows: int) -> int:
        most = self.wanted.at_most
        return int(most * rows) if isinstance(most, float) else most

    def _keywords(self, texts: Sequence[str]) -> list[str]:
        """The first keyword that each text holds, as whole words; empty where it holds none."""
        sought = []
        for keyword in self.wanted.keywords:
            words = r"\s+".join(map(re.escape, keyword.split()))
            sought.append((keyword, re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)))
        return [next((word for word, form in sought if form.search(text)), "") for text in texts]

    def _ask(self, suspects: Sequence[Suspect]) -> Sequence[Verdict | None]:
        if self.judge is None or not suspects:
            return [None] * len(suspects)
        verdicts = self.judge(suspects)
        if len(verdicts) != len(suspects):
            raise AccountingError(
                f"step {self.name}: {len(suspects)} suspects, {len(verdicts)} verdicts"
            )
        return verdicts

    def _outcome(self, row: Row, decision: Mapping[str, Finding]) -> Outcome:
        text = row.fields.get(self.wanted.field)
        found = decision.get(text) if isinstance(text, str) else None
        if found is None:
            return Keep(row, ("without words",))
        if found.verdict is not None and found.verdict.ruling == "waits":
            return Defer(row, found.verdict.said)
        if found.why and self._drops(found):
            return Drop(row, self._reason(found), self._evidence(found))
        scored: dict[str, object] = {self.wanted.score_field: round(found.score, 4)}
        notes = [f"scored by {'tfidf' if self.wanted.encoder is None else 'embeddings'}"]
        if found.why:
            is_cleared = found.verdict is not None and found.verdict.ruling == "keep"
            notes.append("judged no outlier" if is_cleared else f"suspected by {found.why}")
            scored[self.wanted.suspected_field] = "" if is_cleared else found.why
        return Keep(replace(row, fields=row.fields | scored), tuple(notes))

    def _drops(self, found: Finding) -> bool:
        if found.verdict is not None and found.verdict.ruling != "open":
            return found.verdict.ruling == "drop"
        wanted = self.wanted.suspects
        return wanted == "drop" or (wanted == "drop_keywords" and found.why == "keyword")

    def _reason(self, found: Finding) -> str:
        is_judged = found.verdict is not None and found.verdict.ruling == "drop"
        return "judged an outlier" if is_judged else f"outlier by {found.why}"

    def _evidence(self, found: Finding) -> str:
        made_by = "tfidf" if self.wanted.encoder is None else "embeddings"
        told = [f"{self.wanted.score} {found.score:.4f} by {made_by}, rank {found.rank}"]
        if found.keyword:
            told.append(f"holds {found.keyword!r}")
        if found.cluster_rows > 1:
            told.append(f"{found.cluster_rows} rows alike")
        if found.verdict is not None:
            told.append(f"judge: {found.verdict.ruling} {found.verdict.said}".rstrip())
        return "; ".join(told)
