"""What is wrong is said at once, in one line with its mend, and leaves nothing behind.

`pytest tests/cli/test_bad_input.py -s -k table` prints every case, its exit code and its line.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.bad_inputs import CASES
from tests.faults.killed_runs import ENVIRONMENT

from stillhouse.core.protocols import no_progress
from stillhouse.data.storage import read_examples
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import resolve
from stillhouse.stages import collect, prepare
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.corpus import EXAMPLES

SCRIPT = Path(__file__).with_name("bad_inputs.py")
NO_RUN = "error: no run 'nothing' below runs\n  -> there is none here yet\n"
BILLIONS = "Qwen2.5 comes in 0.5, 1.5, 3, 7, 14, 32 and 72 billion parameters"
SAID = {
    "a CSV that is missing": """\
error: no file FOLDER/rows.csv
  each of its rows holds: text (the prompt), label (the answer)
  for example, as JSON: {"text": "text 1", "label": "answer 1"}
  -> files of rows in that folder: none; `stillhouse check recipe.yaml --rows 5000` tells the cost before
""",  # noqa: E501
    "a CSV of 0 bytes": """\
error: rows.csv is empty (0 bytes)
  -> look at FOLDER/rows.csv
""",
    "a CSV with a header alone": """\
error: rows.csv:1: only a header (text, label) and no row below it
  -> add rows, or name another file in collect.source.file
""",
    "a column that is not there": """\
error: rows.csv:2: prepare.user names "txet", which this row does not have (did you mean "text"?)
  -> it has: text, label
""",
    "a quote that is not closed": (
        "error: rows.csv:32: the quote that opens here never closes\n"
        "  -> close it, and double every quote inside a quoted cell: "
        '"he said ""no"""\n'
    ),
    "Latin-1 bytes": """\
error: rows.csv:32: byte 0xE9 at byte 4 of the line is not utf-8
  -> collect.source.encoding: latin-1 (or cp1252 for a file from Windows)
""",
    "an unknown key": """\
error: recipe.yaml:25 train.length: missing; it has no default
recipe.yaml:25 train.lenght: unknown key; did you mean "length"?
""",
    "a wrong type": """\
error: recipe.yaml:25 train.length.steps: input should be a valid integer; this is "many"
""",
    "a negative kd_temperature": """\
error: recipe.yaml:25 train.kd_temperature: input should be greater than 0; this is -1
""",
    "weights that are all zero": """\
error: recipe.yaml:25 train.weights: every loss weight is 0, so nothing would be learned
""",
    "a teacher of a shorter context": """\
error: recipe.yaml:19 prepare.max_tokens: the teacher has positions for 64 tokens, the student for \
96: every conversation must fit the teacher's
  -> write prepare.max_tokens: 64, or take a teacher of a longer context
""",
    "a live teacher beside a student that learns text alone": """\
error: recipe.yaml:25 train.mode: live asks for the teacher's distribution, and train.weights \
learns the text alone: give a divergence such as forward_kl a weight, or remove train.mode
""",
    "an adapter to switch off that is not there": """\
error: recipe.yaml:25 train.mode: base is the student without its adapter, and train.lora is not \
set: set it
recipe.yaml:25 train.mode: base keeps the student near its own base, and that must have learned \
something: name a trained one with student.path or student.hub
""",
    "broken YAML": """\
error: recipe.yaml:26: not valid YAML: expected ',' or '}', but got '<stream end>'
""",
    "a model folder that is missing": """\
error: there is no model folder FOLDER/nothing
  -> check the path, or give a hub id with `hub:`
""",
    "a model folder without tokenizer": """\
error: the folder FOLDER/student has no tokenizer.json
  -> load it once with transformers' AutoTokenizer and save_pretrained
""",
    "a model folder with pickle weights alone": (
        "error: FOLDER/student holds pickle weights only (pytorch_model.bin); a pickle can run "
        "any code when it is opened, so it is never loaded\n"
        "  -> take the model's safetensors revision, or convert it where you trust the file: "
        "AutoModelForCausalLM.from_pretrained(folder, use_safetensors=False)"
        ".save_pretrained(new_folder)\n"
    ),
    "a token id beyond the vocabulary": (
        "error: FOLDER/student: the tokenizer's highest id is 262, but the embedding has 200 rows "
        "(ids 0 to 199)\n"
        "  -> tokenizer and weights are of two models, or tokens were added without "
        "resize_token_embeddings: take both from one place\n"
    ),
    "two tokenizers": (
        "error: recipe.yaml:16 train.weights.forward_kl: compares token with token, and teacher "
        "and student read differently (id 261 is 'ab' for the teacher and 'xy' for the student): "
        "one id and one place are other text for each, which a vocabulary cut to length does not "
        "mend; learn class_kl from label.targets: classes, or cross_entropy alone from the "
        "teacher's text, or take a student of the teacher's family\n"
    ),
    "no answer at all": (
        "error: prepare.split.parts need 11 rows with an answer (holdout 3, labelled 8), but 0 "
        "have one\n  -> make those parts smaller; only the part unlabelled takes rows without an "
        "answer; with evaluate.reference: teacher the measured parts do too\n"
    ),
    "Qwen/Qwen2.5-8B-Instruct": (
        f"error: the hub has no model 'Qwen/Qwen2.5-8B-Instruct': {BILLIONS}\n"
        "  -> use Qwen/Qwen3-8B or Qwen/Qwen2.5-7B-Instruct\n"
    ),
    "Qwen/Qwen2.5-4B-Instruct": (
        f"error: the hub has no model 'Qwen/Qwen2.5-4B-Instruct': {BILLIONS}\n"
        "  -> use Qwen/Qwen3-4B-Instruct-2507 or Qwen/Qwen2.5-3B-Instruct\n"
    ),
    "Qwen3-4B-Instruct of unsloth": (
        "error: the hub has no model 'unsloth/Qwen3-4B-Instruct-unsloth-bnb-4bit': the instruct "
        "version of Qwen3-4B carries its date, 2507\n"
        "  -> use unsloth/Qwen3-4B-Instruct-2507-unsloth-bnb-4bit or "
        "unsloth/Qwen3-4B-unsloth-bnb-4bit\n"
    ),
    "a hub id without network": (
        "error: recipe.yaml:5 teacher.hub: needs network: hub, this recipe says network: none\n"
        "recipe.yaml:7 student.hub: needs network: hub, this recipe says network: none\n"
    ),
    "an unknown recipe": (
        "error: no recipe 'quickstrat': neither a file nor a built-in recipe\n"
        '  -> did you mean "quickstart"? built-in recipes: accounting-qa, neurons, '
        "prompt-transform, quickstart, songs, songs-sft\n"
    ),
    "an unknown run": NO_RUN,
    "an unknown run's gate": NO_RUN,
    "an unknown run's report": NO_RUN,
    "targets that are not there": (
        "error: nothing holds no stored targets: it is neither a store (a folder with "
        "header.json), nor an artifact of label, nor a run's folder or name below runs\n"
        "  -> name a run (stillhouse targets show RUN), or the folder that holds the store\n"
    ),
    "an import without its source": """\
error: the folder nothing has no tokenizer.json
  -> load it once with transformers' AutoTokenizer and save_pretrained
""",
    "a run's name with a slash": """\
error: 'a/b' cannot name a run
  -> a plain folder name, such as seed-1
""",
    "an unknown stage after --from": """\
error: --from lable: no such stage in this recipe
  -> stages: collect, prepare, finetune, label, train, evaluate, export, register
""",
    "--set without =": """\
error: --set train.seed: not of the form a.b=c
  -> for example --set train.seed=1
""",
    "--set of an unknown key": """\
error: --set train.sede=1 train.sede: unknown key; did you mean "seed"?
""",
    "an unknown option": """\
Usage: stillhouse run [OPTIONS] {recipe}
Try 'stillhouse run --help' for help.

Error: No such option: --quick
""",
    "an unknown command": """\
Usage: stillhouse [OPTIONS] COMMAND [ARGS]...
Try 'stillhouse --help' for help.

Error: No such command 'distil'.
""",
}
MOST_SECONDS = 1.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bad")


@pytest.fixture(scope="module")
def told(folder):
    """What came of every case, in one process that had no torch at its beginning."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for number, result in enumerate(found.values()):
        result["err"] = result["err"].replace(str(folder / str(number)), "FOLDER")
    return found


@pytest.mark.parametrize("case", SAID)
def test_a_bad_input_is_said_with_its_mend(told, case):
    assert told[case]["err"] == SAID[case]
    assert told[case]["code"] == 2
    assert told[case]["out"] == ""


def test_a_recipe_names_every_key_that_is_not_built(told):
    found = told["a recipe that asks for what is not built"]

    assert found["code"] == 2
    first, *middle, last = found["err"].splitlines()
    lines = [first.removeprefix("error: "), *middle]
    asked = (
        "quickstart train.mode: on_policy: ",
        "quickstart evaluate.metrics: embedding_distance: ",
    )
    assert all(any(line.startswith(one) for line in lines) for one in asked)
    assert all(line.startswith("quickstart ") for line in lines)
    assert len(lines) == len(set(lines))
    assert last == "  -> this version cannot run it yet; the rest of the recipe is valid"
    assert [line.strip() for line in found["out"].splitlines()[1:]] == [
        line.removeprefix("quickstart ") for line in lines
    ]


def test_a_padded_vocabulary_is_accepted(told):
    assert told["a padded vocabulary"]["err"] == ""
    assert told["a padded vocabulary"]["code"] == 0


def test_a_long_prompt_is_counted_in_the_check(told):
    found = told["a prompt beyond the context"]

    assert found["code"] == 0, found["err"]
    assert "\nprompts cut to the context: 1\n" in found["out"]


def made_by_prepare(folder):
    """Summary and examples of the first two stages of a case's recipe."""
    resolved = resolve(*open_recipe(str(folder / "recipe.yaml")))
    out = {}
    for stage, inputs in ((collect, {}), (prepare, {"rows": "collect"})):
        name = stage.__name__.rpartition(".")[2]
        out[name] = folder / name
        out[name].mkdir()
        request = StageRequest(
            stage=name,
            variant="",
            artifact_id=name,
            config=resolved.plan[name].config,
            inputs={key: out[made] for key, made in inputs.items()},
            out=out[name],
            scratch=folder,
            locations=resolved.locations,
        )
        result = stage.run(request, no_progress)
    return result.summary, list(read_examples(out["prepare"] / EXAMPLES))


def test_a_long_prompt_loses_its_beginning_and_never_its_answer(told, folder):
    case = folder / str(list(CASES).index("a prompt beyond the context"))

    summary, examples = made_by_prepare(case)

    (long,) = [example for example in examples if example.answer == "answer"]
    assert summary["cut_prompts"] == 1
    assert long.prompt[-1].content.endswith("word the end")
    assert len(long.prompt[-1].content) < len("word " * 200)


@pytest.mark.parametrize("case", CASES)
def test_no_case_loads_torch_or_takes_long_or_leaves_a_stage_behind(told, case):
    result = told[case]

    assert not result["loaded_torch"]
    assert result["left"] == []
    # assumption: a machine whose cores are shared may take three times as long.
    assert result["seconds"] < 3 * MOST_SECONDS


def test_every_case_has_its_words():
    accepted = {"a padded vocabulary", "a prompt beyond the context"}
    assert CASES.keys() - SAID.keys() - accepted == {"a recipe that asks for what is not built"}


def test_table_of_all_cases(told):
    lines = ["case | exit | line"]
    for case, result in told.items():
        words = result["err"].strip() or "(accepted)"
        lines.append(f"{case} | {result['code']} | " + " // ".join(words.splitlines()))
    print("\n" + "\n".join(lines))
    assert len(lines) == 1 + len(CASES)
