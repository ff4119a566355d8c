"""An artifact is whole or not there; what a crash leaves is finished or made again."""

import subprocess
import sys
import time

import pytest

from stillhouse.core.errors import ArtifactError, BusyError, InputError
from stillhouse.store.artifacts import ArtifactStore, Manifest
from stillhouse.store.lock import hold_lock
from stillhouse.store.runs import RunFolder, RunInstance, RunRecord


def manifest(artifact_id="collect-1"):
    return Manifest(
        artifact_id=artifact_id,
        instance="collect",
        stage_version=1,
        config={},
        inputs={},
        files=(),
        summary={"rows": 1},
        versions={},
    )


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


def make(store, text="hello"):
    with store.work_folder("collect-1") as work:
        (work / "out" / "a.txt").write_text(text)
        (work / "scratch" / "half").write_text("x")
        return store.seal(manifest())


def test_a_sealed_artifact_is_found_with_every_file_digested(store):
    sealed = make(store)
    assert store.find("collect-1") == sealed
    assert store.verify("collect-1").files[0].bytes == 5
    assert not (store.root / ".work" / "collect-1").exists()


def test_an_absent_artifact_is_none(store):
    assert store.find("collect-1") is None
    with pytest.raises(ArtifactError, match="no such artifact"):
        store.verify("collect-1")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda f: (f / "manifest.json").write_text("{"), "torn manifest"),
        (lambda f: (f / "manifest.json").write_text("{}"), "torn manifest"),
        (lambda f: (f / "manifest.json").unlink(), r"manifest\.json: missing"),
        (lambda f: (f / "a.txt").write_text("hel"), "3 bytes, the manifest says 5"),
        (lambda f: (f / "a.txt").unlink(), "missing, the manifest says 5"),
    ],
)
def test_a_torn_artifact_is_named_and_moved_aside(store, harm, said):
    make(store)
    harm(store.path("collect-1"))
    with pytest.raises(ArtifactError, match=said) as caught:
        store.find("collect-1")
    assert "run the recipe again" in caught.value.hint
    aside = store.quarantine("collect-1")
    assert aside.exists()
    assert store.find("collect-1") is None


def test_changed_bytes_of_equal_length_are_found_by_verify(store):
    make(store)
    (store.path("collect-1") / "a.txt").write_text("jello")
    assert store.find("collect-1")
    with pytest.raises(ArtifactError, match="not those of the manifest"):
        store.verify("collect-1")


def test_work_of_a_crash_is_kept_but_its_output_starts_empty(store):
    with store.work_folder("collect-1") as work:
        (work / "out" / "half.txt").write_text("x")
        (work / "scratch" / "resume").write_text("x")
    with store.work_folder("collect-1") as work:
        assert list((work / "out").iterdir()) == []
        assert (work / "scratch" / "resume").exists()


def test_a_crash_between_manifest_and_rename_is_finished_without_new_work(store):
    # given the state after the manifest was written and before the folder was renamed
    make(store)
    out = store.root / ".work" / "collect-1" / "out"
    out.parent.mkdir(parents=True)
    store.path("collect-1").rename(out)
    # when
    with store.work_folder("collect-1"):
        # then
        assert store.find("collect-1")


def test_what_was_measured_lies_beside_the_artifact(store):
    make(store)
    store.write_measured("collect-1", {"seconds": 1.5}, {"step": [1.0]})
    assert store.read_measured("collect-1") == {"seconds": 1.5}
    assert store.read_measured("other") == {}


def test_a_second_process_learns_who_holds_the_folder(tmp_path):
    # given another process that holds the lock
    code = (
        "import sys, time; from pathlib import Path; from stillhouse.store.lock import hold_lock\n"
        "with hold_lock(Path(sys.argv[1]), 'taken', 'wait'):\n"
        "    print('held', flush=True); time.sleep(30)\n"
    )
    lock = tmp_path / "run" / "lock"
    other = subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"held\n"
        # when / then
        with pytest.raises(BusyError) as caught, hold_lock(lock, "run is in use", "wait"):
            pass
        assert caught.value.message.startswith(f"run is in use by process {other.pid} (")
        assert (caught.value.hint, caught.value.exit_code) == ("wait", 2)
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    # then: the kernel dropped the lock of the dead process
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            with hold_lock(lock, "run is in use", "wait"):
                return
        except BusyError:
            time.sleep(0.05)
    pytest.fail("the lock outlived its process")


def test_a_run_keeps_its_record_and_an_unknown_one_names_those_there_are(tmp_path):
    folder = RunFolder(tmp_path / "one")
    item = RunInstance(key="collect", stage="collect", artifact_id="collect-1", inputs={})
    record = RunRecord(name="one", recipe={}, instances=(item,))
    folder.write(record, "name: one\n")
    folder.append_event("start", instance="collect")
    assert folder.read() == record
    assert '"event": "start"' in folder.events.read_text()
    with pytest.raises(InputError, match="runs here: one"):
        RunFolder(tmp_path / "two").read()
    (folder.path / "run.json").write_text("{")
    with pytest.raises(ArtifactError, match="torn"):
        folder.read()


def test_work_that_a_resume_needs_outlives_a_usage_error(store):
    # given one attempt that got somewhere and one that did not
    with store.work_folder("collect-1") as work:
        (work / "scratch" / "shard").write_text("x")
    with store.work_folder("collect-2"):
        pass
    # when
    store.forget_fruitless_work("collect-1")
    store.forget_fruitless_work("collect-2")
    # then
    assert (store.root / ".work" / "collect-1" / "scratch" / "shard").exists()
    assert not (store.root / ".work" / "collect-2").exists()


def test_a_removed_artifact_is_gone_with_its_work_but_never_while_it_is_being_made(store):
    make(store)
    store.remove("collect-1")
    assert store.find("collect-1") is None
    assert list(store.root.glob(".torn-*")) == []
    with (
        store.work_folder("collect-1"),
        pytest.raises(BusyError, match="collect-1 is being made"),
    ):
        store.remove("collect-1")


def test_what_a_run_uses_is_not_removed_until_it_ends(store):
    make(store)
    other = ArtifactStore(store.root)
    with store.in_use(["collect-1", "train-2"]), other.in_use(["collect-1"]):
        with pytest.raises(BusyError, match="collect-1 is in use by another process"):
            other.remove("collect-1")
        assert store.find("collect-1")
        other.remove("train-3")
    other.remove("collect-1")
    assert store.find("collect-1") is None
