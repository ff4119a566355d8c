"""Proof that what was written is what was trained, before anybody uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from stillhouse.core.errors import ArtifactError
from stillhouse.models.inference import evaluating, plain_model
from stillhouse.models.load import DTYPES, PLAIN, LoadOptions, load_model

if TYPE_CHECKING:
    from peft import PeftModel

_TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 0.05, torch.float16: 0.01}
"""Largest difference of two logits, relative to the largest logit (at least 1).

assumption: an adapter added into a weight is rounded once more, by 2**-24, 2**-8 and 2**-11.
"""


@dataclass(frozen=True, slots=True)
class ParityReport:
    """What a comparison found.

    Attributes:
        compared: what was held against what.
        num_compared: tensors, or token positions.
        max_abs_diff: the largest difference; 0.0 where all bits are equal.
    """

    compared: str
    num_compared: int
    max_abs_diff: float


def check_reload(
    merged: PreTrainedModel, folder: Path, options: LoadOptions = PLAIN
) -> ParityReport:
    """Load an exported folder again and hold every tensor against the one in memory, bit by bit.

    Args:
        merged: what was exported.
        folder: where to.
        options: as it was loaded itself.

    Returns:
        How many tensors were compared.

    Raises:
        ArtifactError: a tensor is missing, new or different; names the first.
    """
    name = next(name for name, dtype in DTYPES.items() if dtype == merged.dtype)
    ours, theirs = merged.state_dict(), load_model(folder, dtype=name, options=options).state_dict()
    if ours.keys() != theirs.keys():
        odd = min(ours.keys() ^ theirs.keys())
        raise _broken(folder, f"{odd} is in one and not in the other")
    for key, tensor in ours.items():
        if not _is_bit_equal(tensor, theirs[key]):
            raise _broken(folder, f"{key} differs after a reload")
    return ParityReport("merged folder against memory", len(ours), 0.0)


def check_merge(
    adapted: PreTrainedModel | PeftModel,
    merged: PreTrainedModel,
    probes: Sequence[NDArray[np.int32]],
) -> ParityReport:
    """Hold the logits of the student with its adapter against those of the merged student.

    Args:
        adapted: the student as it was trained.
        merged: of `merge.merge_student`.
        probes: (T,) token ids each, at least one.

    Returns:
        The largest difference of two logits over all probes.

    Raises:
        ArtifactError: they differ by more than the merged dtype's rounding.
    """
    worst = largest_difference(adapted, merged, probes)
    largest = max(1.0, *(float(_logits(adapted, probe).abs().max()) for probe in probes))
    limit = _TOLERANCES[merged.dtype] * largest
    if not worst <= limit:  # also when it is NaN
        raise ArtifactError(
            f"the merged student's logits differ from the adapter's by {worst:.3g}, more than "
            f"{limit:.3g}",
            "the adapter was not merged whole; export it as an adapter, and report this",
        )
    return ParityReport("adapter against merged logits", sum(map(len, probes)), worst)


def largest_difference(
    ours: PreTrainedModel | PeftModel,
    theirs: PreTrainedModel | PeftModel,
    probes: Sequence[NDArray[np.int32]],
) -> float:
    """The largest difference of two logits over all probes.

    Args:
        ours: a model.
        theirs: one with the same vocabulary.
        probes: (T,) token ids each, at least one.

    Returns:
        >= 0; NaN where a logit is.
    """
    # max of a tensor keeps NaN, max of numbers may lose it
    worst = [(_logits(ours, probe) - _logits(theirs, probe)).abs().max() for probe in probes]
    return float(torch.stack(worst).max())


def _logits(model: PreTrainedModel | PeftModel, probe: NDArray[np.int32]) -> Tensor:
    ids = torch.from_numpy(probe).long()[None]
    with evaluating(model):
        found: Tensor = model(input_ids=ids.to(plain_model(model).device)).logits
    return found.float().cpu()


def _is_bit_equal(ours: Tensor, theirs: Tensor) -> bool:
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return False
    left, right = (t.detach().cpu().contiguous().view(-1).view(torch.uint8) for t in (ours, theirs))
    return torch.equal(left, right)


def _broken(folder: Path, what: str) -> ArtifactError:
    return ArtifactError(
        f"{folder} is not the student that was exported: {what}",
        "export again; if it comes back, this architecture does not survive a save: report it",
    )
