"""The package `datasets` is slow to import, so what needs it stands alone."""

import pytest

from stillhouse.core.errors import InputError
from stillhouse.data.probe import probe_source
from stillhouse.data.readers import read_rows
from stillhouse.recipes.rows import Dataset, Source

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def saved(tmp_path):
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"text": ["one", "two"], "n": [1, 2]})
    datasets.DatasetDict({"train": table}).save_to_disk(str(tmp_path / "saved"))
    return tmp_path


def test_a_saved_data_set_is_read_by_split(saved):
    rows = list(read_rows(Source(dataset=Dataset(id="./saved")), saved))

    assert [row.fields for row in rows] == [{"text": "one", "n": 1}, {"text": "two", "n": 2}]
    assert rows[1].provenance == "saved/train:1"


def test_facts_of_a_saved_data_set(saved):
    source = Source(dataset=Dataset(id="./saved"))

    facts = probe_source(source, {"q": "text"}, saved, 1)

    assert (facts.num_rows, facts.is_exact, facts.rows[0].fields) == (1, True, {"q": "one"})


def test_a_row_that_was_not_looked_at_changes_the_digest_of_a_hub_data_set(monkeypatch, tmp_path):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("stillhouse.data.probe._FIRST_ROWS", 2)

    def digest(last, commit):
        info = datasets.DatasetInfo(
            download_checksums={f"hf://datasets/o/n@{commit}/a.parquet": {}}
        )
        table = datasets.Dataset.from_dict({"n": [1, 2, last]}, info=info)
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: table)
        return probe_source(Source(dataset=Dataset(id="o/n")), {}, tmp_path, None).digest

    assert digest(3, "c0ffee") == digest(3, "c0ffee") != digest(4, "decade")


def test_a_wrong_split_names_those_there_are(saved):
    with pytest.raises(InputError, match=r'"train"') as caught:
        list(read_rows(Source(dataset=Dataset(id="./saved", split="trian")), saved))

    assert caught.value.exit_code == 2


def test_a_data_set_that_cannot_be_loaded_says_why(monkeypatch, tmp_path):
    datasets = pytest.importorskip("datasets")

    def refuse(*args, **kwargs):
        raise FileNotFoundError("no such data set on the hub")

    monkeypatch.setattr(datasets, "load_dataset", refuse)

    with pytest.raises(InputError, match=r"'some/rows' cannot be loaded: no such data set"):
        list(read_rows(Source(dataset=Dataset(id="some/rows", revision="v1")), tmp_path))


def test_a_hub_data_set_is_named_with_its_revision_and_an_empty_split_refused(
    monkeypatch, tmp_path
):
    datasets = pytest.importorskip("datasets")
    tables = {"train": datasets.Dataset.from_dict({"n": [1]}), "test": {}}
    monkeypatch.setattr(
        datasets, "load_dataset", lambda name, config, split, revision: tables[split]
    )
    monkeypatch.setitem(tables, "test", tables["train"].select([]))

    (row,) = read_rows(Source(dataset=Dataset(id="some/rows", revision="v1")), tmp_path)

    assert row.provenance == "some/rows/train@v1:0"
    with pytest.raises(InputError, match="some/rows/test has no rows"):
        list(read_rows(Source(dataset=Dataset(id="some/rows", split="test")), tmp_path))
