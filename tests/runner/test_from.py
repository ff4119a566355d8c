"""A run that makes stages anew, and is interrupted while it does."""

import pytest

from stillhouse.core.errors import BusyError, InterruptedRunError
from stillhouse.runner.opening import named_place, open_recipe
from stillhouse.runner.resolve import resolve
from stillhouse.runner.run import execute
from stillhouse.store.lock import hold_lock


@pytest.fixture
def call(tmp_path):
    resolved = resolve(*open_recipe("quickstart"))
    place = named_place(str(tmp_path), "r")

    def run(from_stage, interrupt_at="start"):
        def heard(event):
            if event.kind == interrupt_at:
                raise KeyboardInterrupt

        execute(resolved, place, from_stage=from_stage, on_event=heard)

    run.artifact = place.root / "artifacts" / ".locks" / resolved.plan["label"].artifact_id
    return run


def test_who_goes_on_is_told_to_leave_from_out_once_what_it_names_is_forgotten(call):
    with pytest.raises(InterruptedRunError) as caught:
        call("label")
    assert caught.value.hint.endswith(
        "; leave --from label out then: it makes anew what is done by now"
    )
    with pytest.raises(InterruptedRunError) as caught:
        call("")
    assert "--from" not in caught.value.hint
    with (
        hold_lock(call.artifact, "label is being made", "wait"),
        pytest.raises(BusyError) as caught,
    ):
        call("label")
    assert "--from" not in caught.value.hint
