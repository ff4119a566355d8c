"""What a recipe asks to be looked for in the texts of answers, beside the answers' correctness."""

from __future__ import annotations

from dataclasses import dataclass

from stillhouse.evals.probe_file import Probe
from stillhouse.evals.scores import Column
from stillhouse.stages.comparing import Answers
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.learned import score_copies
from stillhouse.stages.probing import score_probes
from stillhouse.stages.sections import section_of


@dataclass(frozen=True, slots=True)
class LookedFor:
    """What was found.

    Attributes:
        columns: (N,) score columns.
        notes: by metric, what people should know.
    """

    columns: dict[str, Column]
    notes: dict[str, str]


def look_for(request: StageRequest, corpus: Corpus, answers: Answers) -> LookedFor:
    """What the answers copy and name, where the recipe asks.

    Args:
        request: of an evaluation.
        corpus: of the run.
        answers: of the candidate.

    Returns:
        Nothing where the recipe asks for nothing.
    """
    found = LookedFor({}, {})
    if "learned" in request.config:
        found = _added(found, *score_copies(request, corpus, answers))
    if "probes" in request.config:
        probes = [section_of(Probe, plain) for plain in request.config["probes"]]
        found = _added(found, *score_probes(probes, answers))
    return found


def _added(found: LookedFor, columns: dict[str, Column], notes: dict[str, str]) -> LookedFor:
    return LookedFor(found.columns | columns, found.notes | notes)
