"""Makes the store beside this file anew: `python -m tests.targets.golden.make`.

Only a change of the format may change it, and then needs another `format_version`.
"""

import dataclasses
from pathlib import Path

import numpy as np
from tests.targets.builders import build_targets, header_of

from stillhouse.targets.write import TargetWriter

FOLDER = Path(__file__).parent
HEADER = header_of("top_k_sampled")


def examples():
    """Two; in the first one, the likeliest entries stand where sixteenths are whole."""
    first, second = (build_targets(number, 24, HEADER) for number in range(2))
    wanted = np.log(1.0 - 0.0625 * np.arange(24).clip(1, 15))[:, None]
    moved = first.top_logprobs - first.top_logprobs[:, :1] + wanted
    rest = np.log1p(-np.exp(wanted)) - np.log(HEADER.top_k)
    moved[:, 1:] = np.minimum(moved, np.minimum(rest, wanted))[:, 1:]
    return dataclasses.replace(first, top_logprobs=moved.astype(np.float32)), second


if __name__ == "__main__":
    for name in ("header.json", "index.json", "shard-00000.parquet"):
        (FOLDER / name).unlink(missing_ok=True)
    with TargetWriter(FOLDER, HEADER, 2) as writer:
        for targets in examples():
            writer.append(targets)
