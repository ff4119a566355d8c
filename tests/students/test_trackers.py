"""Trackers hear what the record holds, under our names, and change no bit of a training."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_students import BOTH, ONE_THREAD, build, data_of, draw_examples, quick, weights_of

from stillhouse.recipes.training import Validation
from stillhouse.students.trackers import NO_TRACKERS, Trackers
from stillhouse.students.train import Setting, train_model


def train(folder, trackers=NO_TRACKERS):
    student = build()
    section = quick(steps=6, validation=Validation(every_steps=3))
    data = data_of(draw_examples(9), draw_examples(4, seed=1))
    setting = Setting(ONE_THREAD, folder / "work", "plan", trackers=trackers)
    return train_model(student, data, BOTH, section, setting).record, weights_of(student)


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """The record, and every scalar of TensorBoard's own reader by its tag."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="stillhouse[tensorboard]"
    )
    folder = tmp_path_factory.mktemp("tracked")
    record, weights = train(folder, Trackers(("tensorboard",), folder, "tiny", "train-student"))
    found = accumulator.EventAccumulator(str(folder / "tensorboard" / "train-student"))
    found.Reload()
    scalars = {
        tag: {event.step: event.value for event in found.Scalars(tag)}
        for tag in found.Tags()["scalars"]
    }
    return record, weights, scalars


def test_tensorboard_holds_every_step_of_the_record(heard):
    record, _, scalars = heard
    for tag, values in {
        "train/loss": {one.step: one.loss for one in record.steps},
        "train/forward_kl": {one.step: one.terms["forward_kl"] for one in record.steps},
        "train/cross_entropy": {one.step: one.terms["cross_entropy"] for one in record.steps},
        "train/learning_rate": {one.step: one.learning_rate for one in record.steps},
        "train/grad_norm": {one.step: one.grad_norm for one in record.steps},
        "eval/loss": {one.step: one.loss for one in record.validation},
        "eval/forward_kl": {one.step: one.terms["forward_kl"] for one in record.validation},
        "eval/perplexity": {one.step: one.metrics["perplexity"] for one in record.validation},
    }.items():
        assert scalars[tag] == pytest.approx(values, rel=1e-6), tag


def test_being_heard_changes_no_bit(heard, tmp_path):
    record, weights, _ = heard
    alone, own = train(tmp_path)
    assert alone == record
    assert all(torch.equal(own[name], weights[name]) for name in own)


RUN = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_trackers import train
from stillhouse.students.trackers import Trackers
name, folder = sys.argv[2], Path(sys.argv[3])
environment = json.loads(sys.argv[4])
record, _ = train(folder, Trackers((name,), folder, "tiny", "train-student", environment))
print(json.dumps([one.loss for one in record.steps]))
import os
os._exit(0)  # as the process of a stage ends
"""


def losses_heard_by(name, folder, environment):
    """The losses of a training in a process of its own that a tracker heard."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"pip install stillhouse[{name}]")
    command = [sys.executable, "-W", "ignore", "-c", RUN, str(Path(__file__).parent)]
    done = subprocess.run(
        [*command, name, str(folder), json.dumps(environment)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
def test_mlflow_holds_every_loss(tmp_path):
    environment = {
        "MLFLOW_TRACKING_URI": f"file://{tmp_path}/mlflow",
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }
    losses = losses_heard_by("mlflow", tmp_path, environment)
    (file,) = (tmp_path / "mlflow").rglob("metrics/loss")
    rows = [line.split() for line in file.read_text().splitlines()]
    assert [float(value) for _, value, _ in rows] == pytest.approx(losses)
    assert list((tmp_path / "mlflow").rglob("metrics/eval_loss"))


BLOCK, HEADER = 32768, 7


def records_of(path):
    """The records of a LevelDB log, which is how wandb writes a run that is not sent."""
    data, place, record = path.read_bytes(), HEADER, b""
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
            continue
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        record += data[place + HEADER : place + HEADER + size]
        place += HEADER + size
        if kind in (1, 4):
            yield record
            record = b""


@pytest.mark.long
def test_wandb_without_network_holds_every_loss_on_disk(tmp_path):
    environment = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path)}
    losses = losses_heard_by("wandb", tmp_path, environment)
    (file,) = tmp_path.rglob("run-*.wandb")
    from wandb.proto import wandb_internal_pb2

    heard = []
    for data in records_of(file):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        heard += [
            json.loads(item.value_json)
            for item in record.history.item
            if "/".join(item.nested_key) == "train/loss" or item.key == "train/loss"
        ]
    assert heard == pytest.approx(losses)


@pytest.mark.long
def test_trackio_holds_every_loss_on_disk(tmp_path):
    losses = losses_heard_by("trackio", tmp_path, {"TRACKIO_DIR": str(tmp_path / "trackio")})
    import sqlite3

    (database,) = (tmp_path / "trackio").rglob("tiny*.db")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT metrics FROM metrics ORDER BY step, id").fetchall()
    heard = [json.loads(row)["train/loss"] for (row,) in rows if "train/loss" in json.loads(row)]
    assert heard == pytest.approx(losses)
