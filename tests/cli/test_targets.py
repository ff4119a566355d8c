"""`stillhouse targets`: stores are found, looked at, checked, priced and imported."""

import json
import shutil
import subprocess
import sys

import pytest
from tests.faults.killed_runs import ENVIRONMENT
from tests.targets.importing.data_sets import write_captured

import stillhouse
from stillhouse.cli.main import main
from stillhouse.core.errors import ArtifactError, InputError
from stillhouse.data.storage import read_examples
from stillhouse.targets.read import TargetReader

pytestmark = pytest.mark.xdist_group("e2e")


@pytest.fixture
def called(monkeypatch, capsys):
    """Call the command line in this process; gives code, standard output, standard error."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["stillhouse", "targets", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return call


def label_of(root):
    return next((root / "artifacts").glob("label-*"))


@pytest.fixture
def store(tmp_path, tiny_run):
    """A copy of the tiny run's store that a test may damage."""
    return shutil.copytree(label_of(tiny_run.root) / "targets", tmp_path / "store")


def test_a_store_is_found_by_run_name_and_by_every_folder_around_it(called, tiny_run):
    label = label_of(tiny_run.root)
    places = [["tiny", "--runs", tiny_run.root], [tiny_run.root / "tiny"], [label]]

    shown = [json.loads(called("show", *place, "--json")[1]) for place in places]

    alone = json.loads(called("show", label / "targets", "--json")[1])
    assert [view | {"folder": ""} for view in shown] == [alone | {"folder": ""}] * 3


def test_show_says_what_the_store_holds(called, tiny_run):
    place = ("tiny", "--runs", tiny_run.root)
    code, out, err = called("show", *place)
    view = json.loads(called("show", *place, "--json")[1])

    reader = TargetReader(label_of(tiny_run.root) / "targets")
    files = (label_of(tiny_run.root) / "targets").iterdir()
    assert (code, err) == (0, "")
    assert view["examples"] == len(reader) == 70
    assert view["tokens"] == reader.num_tokens
    assert view["num_bytes"] == sum(path.stat().st_size for path in files)
    assert view["bytes_per_token"] == pytest.approx(view["num_bytes"] / view["tokens"])
    assert view["header"]["top_k"] == 32
    lines = dict(line.split("  ", 1) for line in out.splitlines())
    said = {name: text.strip() for name, text in lines.items()}
    assert said["examples"] == "70"
    assert said["scored by"] == "transformers, in float32"
    assert said["codec"] == "top_k: the 32 likeliest tokens"
    assert said["tokenizer"] == view["header"]["tokenizer_digest"][:12]


def test_show_example_prints_what_the_teacher_said_in_text(called, tiny_run):
    reader = TargetReader(label_of(tiny_run.root) / "targets")
    example_id = reader.example_ids[3]
    targets = reader.get(example_id)
    words = ("tiny", "--runs", tiny_run.root, "--example", example_id)

    shown = json.loads(called("show", *words, "--tokens", 0, "--json")[1])

    prepared = next((tiny_run.root / "artifacts").glob("prepare-*"))
    answers = {row.example_id: row.answer for row in read_examples(prepared / "examples.parquet")}
    assert shown["example_id"] == example_id
    assert shown["num_tokens"] == len(shown["tokens"]) == len(targets.token_ids)
    text = "".join(token["text"] for token in shown["tokens"])
    assert text.startswith(answers[example_id])
    first = shown["tokens"][0]
    assert [entry["token_id"] for entry in first["kept"]] == targets.top_ids[0].tolist()
    assert first["tail"] == pytest.approx(
        1 - sum(2.718281828459045 ** entry["logprob"] for entry in first["kept"]), abs=1e-6
    )
    plain = called("show", *words, "--tokens", 2)[1].splitlines()
    assert plain[0] == f"example {example_id}, {len(targets.token_ids)} answer tokens"
    assert len(plain) == 1 + 2 * 2 + 1
    assert repr(first["text"]) in plain[1]
    assert plain[2].endswith(", 27 more")
    assert plain[-1].startswith(f"and {len(targets.token_ids) - 2} more tokens")
    first_of_all = json.loads(called("show", *words[:-1], "first", "--json")[1])
    assert first_of_all["example_id"] == reader.example_ids[0]
    assert len(first_of_all["tokens"]) == 8


def test_show_without_a_tokenizer_prints_ids(called, store):
    shown = json.loads(called("show", store, "--example", "first", "--json")[1])
    assert {token["text"] for token in shown["tokens"]} == {""}
    assert called("show", store, "--example", "first")[0] == 0


def test_show_and_verify_need_no_torch(tiny_run):
    for words in (["show"], ["show", "--example", "first"], ["verify"]):
        argv = ["stillhouse", "targets", words[0], str(tiny_run.root / "tiny"), *words[1:]]
        code = (
            f"import sys; sys.argv = {argv!r}\n"
            "from stillhouse.cli.main import main\n"
            "try: main()\n"
            "finally: sys.stderr.write(str('torch' in sys.modules))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "False")


def test_verify_says_how_much_it_compared(called, tiny_run):
    code, out, err = called("verify", "tiny", "--runs", tiny_run.root)
    found = json.loads(called("verify", "tiny", "--runs", tiny_run.root, "--json")[1])

    files = sorted((label_of(tiny_run.root) / "targets").glob("shard-*.parquet"))
    assert (code, err) == (0, "")
    assert "whole; 70 examples in 5 files" in out
    assert (found["examples"], found["shards"]) == (70, len(files))
    assert found["num_bytes"] == sum(path.stat().st_size for path in files)


def test_verify_tells_of_every_example_and_file(store):
    heard = []
    stillhouse.verify_targets(
        str(store), progress=lambda done, total, unit, **_: heard.append((done, total))
    )
    assert heard[-1] == (75, 75)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


def test_a_flipped_byte_is_named_with_its_file_and_example(called, store):
    reader = TargetReader(store)
    path = store / "shard-00001.parquet"
    data = bytearray(path.read_bytes())
    # A row's own packed bytes: somewhere in the first group, which follows the magic number.
    for place in range(len(data) // 8, len(data) // 4, 97):
        damaged = bytearray(data)
        damaged[place] ^= 1
        path.write_bytes(bytes(damaged))
        code, out, err = called("verify", store)
        assert (code, out) == (1, ""), place
        assert err.startswith("error: ")
        assert "shard-00001.parquet" in err
    named = [name for name in reader.example_ids[16:32] if repr(name) in err]
    assert len(named) == 1


def test_a_shard_that_was_cut_or_is_missing_is_named(called, store):
    path = store / "shard-00002.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    code, _, err = called("verify", store)
    assert code == 1
    assert "shard-00002.parquet has" in err
    path.unlink()
    code, _, err = called("show", store)
    assert code == 1
    assert "shard-00002.parquet is missing" in err


def test_a_store_that_was_not_finished_says_so(called, store):
    (store / "index.json").unlink()
    code, out, err = called("show", store)
    assert (code, out) == (1, "")
    assert "was not finished" in err


def test_what_holds_no_targets_is_refused_with_what_would(called, tmp_path, tiny_run):
    (tmp_path / "empty").mkdir()
    for words in (["show", "nothing"], ["verify", tmp_path / "empty"]):
        code, out, err = called(*words)
        assert (code, out) == (2, "")
        assert "holds no stored targets: it is neither a store" in err
    runs = shutil.copytree(tiny_run.root, tmp_path / "runs")
    shutil.rmtree(label_of(runs) / "targets")
    code, _, err = called("show", "tiny", "--runs", runs)
    assert code == 2
    assert "its recipe says label.targets: none" in err
    shutil.rmtree(label_of(runs))
    code, _, err = called("show", "tiny", "--runs", runs)
    assert code == 2
    assert "label of the run 'tiny' is not there yet" in err
    code, _, err = called("show", "tiny", "--runs", tiny_run.root, "--example", "nobody")
    assert code == 2
    assert "has no example 'nobody'\n  -> the first ones are " in err


def test_forecast_prices_the_recipe_beside_other_ways(called, tiny_recipe, tiny_run, tmp_path):
    code, out, err = called("forecast", tiny_recipe, "--runs", tmp_path / "runs")
    found = json.loads(called("forecast", tiny_recipe, "--runs", tmp_path / "runs", "--json")[1])

    made = TargetReader(label_of(tiny_run.root) / "targets")
    assert (code, err) == (0, "")
    assert not (tmp_path / "runs").exists()
    assert found["examples"] == len(made)
    # Unlabelled rows count as long as the mean of the others.
    assert found["tokens"] == pytest.approx(made.num_tokens, rel=0.15)
    first, *others = found["lines"]
    assert first["is_chosen"]
    assert not any(line["is_chosen"] for line in others)
    assert first["words"].startswith("top_k, 32 kept")
    words = {line["words"] for line in others}
    assert {"top_k, 16 kept", "sampled, 50 drawn", "full, 300 kept"} <= words
    assert others[-1]["words"] == "all logits in 16 bits"
    assert others[-1]["num_bytes"] == found["tokens"] * 2 * 300
    view = json.loads(called("show", label_of(tiny_run.root), "--json")[1])
    # Each shard of 16 examples carries models of its own, which larger ones share.
    assert 0.5 < view["num_bytes"] / first["num_bytes"] < 2
    assert "ranges are estimates" in out
    assert f"{first['words']} (the recipe)" in out


def test_forecast_counts_what_the_call_changes(called, tiny_recipe, tmp_path):
    def tokens(*words):
        return json.loads(called("forecast", tiny_recipe, *words, "--json")[1])["tokens"]

    fewer = tokens("--set", "prepare.split.parts.unlabelled=20")
    assert 0 < fewer < tokens()
    assert 0 < tokens("--smoke", "2") < fewer


def test_forecast_of_a_run_asks_for_a_recipe(called, tiny_run):
    code, out, err = called("forecast", tiny_run.name, "--runs", tiny_run.root)
    assert (code, out) == (2, "")
    assert f"no recipe {tiny_run.name!r}" in err
    assert "a recipe is wanted, not a run; built-in recipes: " in err


def test_forecast_of_a_recipe_that_stores_no_targets_is_refused(called, tiny_recipe):
    off = ["--set", "label.targets=none", "--set", "train.weights.forward_kl=0"]
    code, out, err = called("forecast", tiny_recipe, *off)
    assert (code, out) == (2, "")
    assert "label.targets" in err


def test_an_import_is_a_store_like_any_other(called, tmp_path, tokenizer, tokenizer_folder):
    source = write_captured(tmp_path / "captured", tokenizer)
    words = ["import", source, "--from", "distillkit", "--tokenizer", tokenizer_folder]

    code, out, err = called(*words, "--to", tmp_path / "imported")

    assert (code, err) == (0, "")
    assert out.startswith(f"{tmp_path / 'imported'}: 3 examples, 87 trained tokens")
    view = json.loads(called("show", tmp_path / "imported", "--json")[1])
    assert (view["header"]["engine"], view["examples"]) == ("distillkit", 3)
    assert called("verify", tmp_path / "imported")[0] == 0
    shown = json.loads(called("show", tmp_path / "imported", "--example", "first", "--json")[1])
    assert shown["example_id"] == "data_0.parquet:1"
    again = called(*words, "--to", tmp_path / "imported")
    assert again[0] == 2
    assert "exists" in again[2]
    assert called(*words, "--to", tmp_path / "b", "--temperature", 2)[0] == 2
    found = json.loads(called(*words, "--to", tmp_path / "c", "--json")[1])
    assert (found["examples"], found["tokens"], found["top_k"]) == (3, 87, 8)
    assert called("import", source, "--from", "trl", "--to", "d", "--tokenizer", "e")[0] == 2


def test_python_has_the_same_words(tiny_recipe, tiny_run, tmp_path, tokenizer, tokenizer_folder):
    runs = str(tiny_run.root)
    view = stillhouse.show_targets("tiny", runs)
    example = stillhouse.example_targets("tiny", tokens=3, runs=runs)
    whole = stillhouse.verify_targets("tiny", runs)
    forecast = stillhouse.forecast_targets(str(tiny_recipe), stillhouse.Call(smoke=2))
    call = stillhouse.ImportCall(
        "distillkit",
        str(write_captured(tmp_path / "captured", tokenizer)),
        str(tmp_path / "imported"),
        str(tokenizer_folder),
    )
    imported = stillhouse.import_targets(call)

    assert view.examples == whole.examples == 70
    assert len(example.tokens) == 3
    assert forecast.tokens > 0
    assert imported.tokens == 87
    with pytest.raises(InputError):
        stillhouse.show_targets("nobody", runs)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "header.json").write_text("{")
    with pytest.raises(ArtifactError):
        stillhouse.show_targets(str(tmp_path / "torn"))
