"""A data set of DistillKit becomes a store whose every number is the teacher's."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from tests.targets.importing.packers import (
    DISTILLKIT,
    likeliest,
    pack_row,
    teacher_says,
    write_rows,
)

from stillhouse.core.errors import InputError, UsageError
from stillhouse.runner.imports import ImportCall, run_import
from stillhouse.targets.importing.examples import read_imported
from stillhouse.targets.read import TargetReader

K = 8


@pytest.fixture(scope="session")
def vocab(tokenizer):
    return tokenizer.vocab_size


@pytest.fixture
def config(vocab):
    return {"d": vocab, "k": K, "exact_k": K, "exact_dtype": "float32", "residual_bins": []}


@pytest.fixture
def source(tmp_path, vocab, config):
    """Writes rows to a folder of two files with a config; gives the teacher's log-probabilities.

    Row j of the teacher's table is what it says behind token j, so about token j + 1.
    """

    def write(lengths=(40, 30, 50), *, change=lambda rows: rows, ids=None, settings=config):
        rows, said = [], []
        for number, length in enumerate(lengths):
            teacher = teacher_says(length, vocab, seed=number)
            # The text follows the teacher, as text does that it finds likely.
            tokens = [5, *teacher.argmax(axis=1)[:-1].tolist()] if ids is None else ids[number]
            entry_ids, logprobs = likeliest(teacher[: len(tokens)], settings["k"])
            rows.append(pack_row(tokens, entry_ids, logprobs, settings))
            said.append((np.array(tokens), teacher))
        rows = change(rows)
        folder = tmp_path / "source"
        half = (len(rows) + 1) // 2
        write_rows(folder / "data_9.parquet", rows[:half], DISTILLKIT)
        write_rows(folder / "data_10.parquet", rows[half:], DISTILLKIT)
        lines = [f"{name}: {value}" for name, value in settings.items()]
        (folder / "compression_config.yaml").write_text("\n".join(lines))
        return folder, said

    return write


@pytest.fixture
def call(tmp_path, tokenizer_folder):
    def build(source, **changes):
        made = ImportCall("distillkit", str(source), str(tmp_path / "to"), str(tokenizer_folder))
        return dataclasses.replace(made, **changes)

    return build


def test_each_token_gets_what_was_said_behind_the_token_before_it(source, call, tmp_path, vocab):
    folder, said = source()

    imported = run_import(call(folder))

    reader = TargetReader(tmp_path / "to" / "targets")
    examples = list(read_imported(tmp_path / "to"))
    places = ["data_9.parquet:1", "data_9.parquet:2", "data_10.parquet:1"]
    assert [example.example_id for example in examples] == places == list(reader.example_ids)
    assert (imported.examples, imported.tokens, imported.top_k) == (3, 39 + 29 + 49, K)
    assert reader.header.engine == "distillkit"
    assert reader.header.kd_temperatures == (1.0,)
    for example, (tokens, teacher) in zip(examples, said, strict=True):
        targets = reader.get(example.example_id)
        assert example.ids.tolist() == tokens.tolist()
        assert example.is_trained.tolist() == [False] + [True] * (len(tokens) - 1)
        assert targets.token_ids.tolist() == tokens[1:].tolist()
        ids, logprobs = likeliest(teacher[:-1], K)
        assert np.array_equal(np.sort(targets.top_ids), np.sort(ids))
        np.testing.assert_allclose(targets.top_logprobs, logprobs, atol=3e-2)
        observed = teacher[np.arange(len(tokens) - 1), tokens[1:]]
        np.testing.assert_allclose(targets.observed_logprobs, observed, atol=3e-2)
        assert not targets.log_z.any()


def test_one_row_fewer_than_tokens_is_the_same_data_set(source, call, tmp_path):
    def cut(rows):
        for row in rows:
            row["compressed_logprobs"].pop()
            row["bytepacked_indices"].pop()
        return rows

    folder, _ = source()
    run_import(call(folder, to=str(tmp_path / "whole")))
    folder, _ = source(change=cut)
    run_import(call(folder, to=str(tmp_path / "cut")))

    for path in sorted((tmp_path / "whole").rglob("*")):
        if path.is_file():
            other = tmp_path / "cut" / path.relative_to(tmp_path / "whole")
            assert path.read_bytes() == other.read_bytes(), path.name


def test_a_token_that_is_not_kept_gets_the_most_it_can_have(source, call, tmp_path, vocab):
    teacher = teacher_says(4, vocab, seed=0)
    unlikely = teacher.argmin(axis=1)
    folder, _ = source((4,), ids=[[5, *unlikely[:3].tolist()]])

    run_import(call(folder))

    targets = TargetReader(tmp_path / "to" / "targets").get("data_9.parquet:1")
    tail = 1 - np.exp(targets.top_logprobs.astype(float)).sum(axis=1)
    most = np.minimum(np.log(tail), targets.top_logprobs[:, -1])
    np.testing.assert_allclose(targets.observed_logprobs, most, atol=5e-2)
    assert (targets.observed_logprobs >= teacher[np.arange(3), unlikely[:3]]).all()


def test_approximate_entries_are_sorted_and_kept_below_1(source, call, tmp_path, vocab):
    settings = {
        "d": vocab, "k": 30, "exact_k": 1, "exact_dtype": "float32", "polynomial_terms": "[0, 1]",
        "term_dtype": "float32", "residual_bins": [], "delta_encoding": "false",
    }  # fmt: skip
    plain = settings | {"polynomial_terms": [0, 1], "delta_encoding": False}
    folder, _ = source(settings=plain)
    (folder / "compression_config.yaml").write_text(
        "\n".join(f"{name}: {value}" for name, value in settings.items())
    )

    run_import(call(folder))

    reader = TargetReader(tmp_path / "to" / "targets")
    for example_id in reader.example_ids:
        logprobs = reader.get(example_id).top_logprobs.astype(float)
        assert (np.diff(logprobs, axis=1) <= 0).all()
        assert np.exp(logprobs).sum(axis=1).max() <= 1 + 1e-3


def test_labels_and_padding_say_what_is_not_trained(source, call, tmp_path, tokenizer, vocab):
    assert tokenizer.pad_id != tokenizer.eos_id
    tokens = [5, 6, 7, 8, 9, tokenizer.pad_id, tokenizer.pad_id]
    folder, _ = source((7,), ids=[tokens])
    run_import(call(folder))

    (example,) = read_imported(tmp_path / "to")
    assert example.is_trained.tolist() == [False, True, True, True, True, False, False]

    path = folder / "data_9.parquet"
    table = pa.parquet.read_table(path)
    labels = pa.array([[-100, -100, -100, 8, 9, -100, -100]])
    pa.parquet.write_table(table.append_column("labels", labels), path)
    run_import(call(folder, to=str(tmp_path / "labelled")))

    (example,) = read_imported(tmp_path / "labelled")
    assert example.is_trained.tolist() == [False, False, False, True, True, False, False]


def _with(name, change):
    def apply(rows):
        rows[1][name] = change(rows[1][name])
        return rows

    return apply


def _first_bytes(values, packed):
    return [list(np.float32(values).tobytes()) + packed[0][4 * len(values) :], *packed[1:]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_with("compressed_logprobs", lambda rows: [rows[0][:-1], *rows[1:]]),
         r"data_9.parquet:2: position 0 of compressed_logprobs has 31 bytes; .* it has 32"),
        (_with("bytepacked_indices", lambda rows: [*rows[:-1], rows[-1][:-1]]),
         r"data_9.parquet:2: position 29 of bytepacked_indices has 8 bytes; .* it has 9"),
        (_with("compressed_logprobs", lambda rows: rows[:-3]),
         r"data_9.parquet:2: 30 tokens, 27 compressed_logprobs and 30 bytepacked_indices"),
        (_with("compressed_logprobs", lambda rows: None),
         r"data_9.parquet:2: compressed_logprobs is null"),
        (_with("input_ids", lambda ids: [*ids[:-1], 70_000]),
         r"data_9.parquet:2: its tokens name the token id 70000; the tokenizer has ids from 0 to"),
        (_with("bytepacked_indices", lambda rows: [[255] * len(rows[0]), *rows[1:]]),
         r"data_9.parquet:2: .*token"),
        (_with("compressed_logprobs", lambda rows: _first_bytes([0.5, -1.0], rows)),
         r"data_9.parquet:2: .* token 1 holds a positive log-probability \(log-probabilities 0.5,"),
        (_with("compressed_logprobs", lambda rows: _first_bytes([-3.0, 1.0], rows)),
         r"data_9.parquet:2: exact log-probabilities that rise \(-3, -2, "),
        (_with("compressed_logprobs", lambda rows: _first_bytes([np.nan], rows)),
         r"data_9.parquet:2: .* holds a log-probability that is no finite number"),
        (_with("compressed_logprobs", lambda rows: _first_bytes([-0.1, -0.1], rows)),
         r"data_9.parquet:2: .* has more probability than 1"),
        (lambda rows: [], "no row that trains a token"),
    ],
    ids=["bytes cut", "indices cut", "positions cut", "null", "foreign id", "foreign kept id",
         "positive", "rising", "NaN", "too much", "empty"],
)  # fmt: skip
def test_a_damaged_source_is_refused_by_row_and_leaves_nothing(
    source, call, tmp_path, change, words
):
    folder, _ = source(change=change)

    with pytest.raises(InputError, match=words):
        run_import(call(folder))

    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_config_of_another_packing_is_refused(source, call, config):
    folder, _ = source()
    lines = [f"{name}: {value}" for name, value in (config | {"k": 6, "exact_k": 6}).items()]
    (folder / "other.yaml").write_text("\n".join(lines))

    with pytest.raises(InputError, match="has 32 bytes; by the compression config it has 24"):
        run_import(call(folder, compression=str(folder / "other.yaml")))


def test_a_config_below_a_distillation_run_s_teacher_is_found(source, call, config):
    folder, _ = source()
    own = folder / "compression_config.yaml"
    body = own.read_text().replace("\n", "\n    ")
    own.unlink()
    (folder / "run.yaml").write_text(f"teacher:\n  logprob_compressor:\n    {body}")

    assert run_import(call(folder, compression=str(folder / "run.yaml"))).examples == 3


def test_a_missing_config_is_asked_for_by_its_fields(source, call):
    folder, _ = source()
    (folder / "compression_config.yaml").unlink()

    with pytest.raises(InputError, match=r"without its compression config") as told:
        run_import(call(folder))
    for name in ("--compression", "exact_k (needed)", "delta_encoding (True)", "d (needed)"):
        assert name in told.value.hint

    (folder / "compression_config.yaml").write_text("d: 300\nk: 8\nresidual_bins: []\n")
    with pytest.raises(InputError, match=r"compression_config.yaml exact_k: field required"):
        run_import(call(folder))
    (folder / "compression_config.yaml").write_text("d: [300\n")
    with pytest.raises(InputError, match="is not YAML"):
        run_import(call(folder))


def test_the_legacy_form_and_other_columns_are_refused_by_name(call, tmp_path, config):
    folder = tmp_path / "source"
    row = {"input_ids": [1, 2], "packed_indices": [[1]], "exact_values": [[0.5]], "coeffs": [[1.0]]}
    write_rows(folder / "data_0.parquet", [row])
    (folder / "compression_config.yaml").write_text(
        "\n".join(f"{name}: {value}" for name, value in config.items())
    )
    with pytest.raises(InputError, match="legacy form"):
        run_import(call(folder))
    write_rows(folder / "data_0.parquet", [{"text": "a"}])
    with pytest.raises(InputError, match="no column input_ids, compressed_logprobs") as told:
        run_import(call(folder))
    assert told.value.hint == "it has: text"
    (folder / "data_0.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(InputError, match="not a whole parquet file"):
        run_import(call(folder))
    with pytest.raises(InputError, match="no file or folder"):
        run_import(call(tmp_path / "nothing", compression=str(folder / "compression_config.yaml")))
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputError, match=r"holds no .parquet or .arrow file"):
        run_import(call(tmp_path / "bare", compression=str(folder / "compression_config.yaml")))


def test_rows_that_describe_other_tokens_are_refused(source, call):
    def shift(rows):
        # What was said about token j + 1 stands in row j + 1.
        for row in rows:
            for name in ("compressed_logprobs", "bytepacked_indices"):
                row[name] = [row[name][-1], *row[name][:-1]]
        return rows

    folder, _ = source(change=shift)

    with pytest.raises(InputError, match=r"one position off: .* to the one before it") as told:
        run_import(call(folder))
    assert "describes token j + 1" in told.value.hint


def test_entries_that_were_renormalised_are_stored_only_if_told_and_marked(
    tmp_path, call, vocab, config
):
    rows = []
    for number in range(2):
        teacher = teacher_says(20, vocab, seed=number)
        ids, logprobs = likeliest(teacher, K)
        logprobs -= np.log(np.exp(logprobs).sum(axis=1, keepdims=True))
        rows.append(pack_row([5, *teacher.argmax(axis=1)[:-1]], ids, logprobs, config))
    folder = tmp_path / "source"
    write_rows(folder / "data_0.parquet", rows, DISTILLKIT)
    (folder / "compression_config.yaml").write_text(
        "\n".join(f"{name}: {value}" for name, value in config.items())
    )

    with pytest.raises(InputError, match="each of the 38 positions sum to 1") as told:
        run_import(call(folder))
    assert "--accept-renormalised" in told.value.hint
    imported = run_import(call(folder, accept_renormalised=True))

    assert imported.engine == "distillkit-renormalised"
    assert imported.kept_mass == pytest.approx(1.0, abs=1e-2)
    header = TargetReader(tmp_path / "to" / "targets").header
    assert header.engine == "distillkit-renormalised"


def test_a_source_with_its_tail_is_not_stored_as_renormalised(source, call):
    folder, _ = source()
    with pytest.raises(InputError, match="do not sum to 1, so they are not renormalised"):
        run_import(call(folder, accept_renormalised=True))


def test_another_temperature_is_refused(source, call):
    folder, _ = source()
    with pytest.raises(
        UsageError, match=r"--temperature 2: .* depends on the tokens that were not"
    ):
        run_import(call(folder, temperature=2.0))


def test_fewer_entries_may_be_kept_and_more_may_not(source, call, tmp_path):
    folder, _ = source()
    assert run_import(call(folder, top_k=3)).top_k == 3
    with pytest.raises(InputError, match="8 entries a position, 9 are to be kept") as told:
        run_import(call(folder, top_k=9, to=str(tmp_path / "more")))
    assert "--top-k 8" in told.value.hint


def test_a_folder_that_is_there_is_not_touched(source, call, tmp_path):
    folder, _ = source()
    run_import(call(folder))
    with pytest.raises(InputError, match="exists"):
        run_import(call(folder))


def test_what_a_killed_import_left_is_swept_away(source, call, tmp_path):
    folder, _ = source()
    (tmp_path / ".to.importing").mkdir()
    (tmp_path / ".to.importing" / "left").write_text("")

    run_import(call(folder))

    names = {path.name for path in (tmp_path / "to").iterdir()}
    assert names == {"targets", "tokens.parquet"}
    assert not (tmp_path / ".to.importing").exists()


def test_an_arrow_folder_of_datasets_is_read_too(source, call, tmp_path):
    datasets = pytest.importorskip("datasets")
    folder, _ = source()
    run_import(call(folder))
    files = [str(folder / "data_9.parquet"), str(folder / "data_10.parquet")]
    table = datasets.Dataset.from_parquet(files, cache_dir=str(tmp_path / "cache"))
    table.save_to_disk(str(tmp_path / "saved"))

    config = str(folder / "compression_config.yaml")
    other = run_import(
        call(tmp_path / "saved", compression=config, to=str(tmp_path / "from-arrow"))
    )

    assert (other.examples, other.tokens) == (3, 39 + 29 + 49)
    reader = TargetReader(tmp_path / "to" / "targets")
    theirs = TargetReader(tmp_path / "from-arrow" / "targets")
    for one, two in zip(reader.example_ids, theirs.example_ids, strict=True):
        assert np.array_equal(reader.get(one).top_logprobs, theirs.get(two).top_logprobs)
