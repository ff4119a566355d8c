import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).parent))

import pytest
import transformers

from stillhouse.students.trainer import StudentTrainer

transformers.logging.set_verbosity_error()


@pytest.fixture
def trainers(monkeypatch):
    """Every trainer that a test makes."""
    made, start = [], StudentTrainer.__init__

    def spy(trainer, *args, **kwargs):
        made.append(trainer)
        start(trainer, *args, **kwargs)

    monkeypatch.setattr(StudentTrainer, "__init__", spy)
    return made
