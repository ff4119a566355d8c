"""The engines of this machine that a step asks: what each said is kept, and is nobody else's."""

import pytest

from stillhouse.core.protocols import no_progress
from stillhouse.data.asking import Wish, Worded, reword
from stillhouse.data.rewording import Held
from stillhouse.engines.fake import FakeEngine
from stillhouse.recipes.rewording import Rephrase
from stillhouse.recipes.step_engine import StepEngine
from stillhouse.stages import local_engine
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.step_engines import open_engines

TEXT = "What costs 2?"
SAID = {"engines.0": TEXT, "engines.1": "Or what costs 2?"}


@pytest.fixture
def fakes(monkeypatch):
    made = {place: FakeEngine(lambda *_, said=said: said) for place, said in SAID.items()}
    monkeypatch.setattr(local_engine, "local_engine", lambda _, place, *__: made[place])
    return made


def test_an_engine_is_never_given_the_answers_of_the_one_before_it(fakes, tmp_path):
    asked = Rephrase(engines=(StepEngine(path="a"), StepEngine(path="b")))
    request = StageRequest(
        stage="step",
        variant="rephrase",
        artifact_id="step-1",
        config={"engines": {place: {"prompt": None} for place in SAID}},
        inputs={},
        out=tmp_path / "out",
        scratch=tmp_path / "scratch",
    )
    wish = Wish("a", {"text": TEXT}, Held(TEXT, instead_of=TEXT))

    for _ in range(2):
        with open_engines(request, asked, no_progress) as engines:
            found = reword([wish], [*engines.values()], "general")
        assert found == {"a": Worded("Or what costs 2?")}

    assert [one.num_asked for one in fakes.values()] == [1, 1]
