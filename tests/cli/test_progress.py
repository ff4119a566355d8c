"""What is said when a stage is done."""

import pytest

from stillhouse.cli.progress import ProgressView
from stillhouse.runner.events import Event

TRAINED = {"trainable_parameters": 1000, "parameters": 4000}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "train@student      done in 3.0 s"),
        (TRAINED, "train@student      done in 3.0 s, 1,000 of 4,000 weights trained"),
        (
            TRAINED | {"galore_rank": 217, "galore_projections": 4},
            "train@student      done in 3.0 s, 1,000 of 4,000 weights trained, gradients projected "
            "to rank 217, computed 4 times",
        ),
        (
            TRAINED | {"galore_rank": 217, "galore_projections": 1},
            "train@student      done in 3.0 s, 1,000 of 4,000 weights trained, gradients projected "
            "to rank 217, never renewed",
        ),
    ],
)
def test_a_finished_training_says_what_was_trained(values, said, capsys):
    with ProgressView() as view:
        view(Event("done", "train@student", {"seconds": 3.0, **values}))
    assert capsys.readouterr().err.strip() == said
