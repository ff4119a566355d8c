"""The contract of the command line: words, exit codes, and which stream says what."""

import json
import re
import shutil
import subprocess
import sys
import time

import pytest
from tests.faults.killed_runs import COMMAND, ENVIRONMENT, contents, differing, instances, run

from stillhouse.cli.show import show_verdict
from stillhouse.evals.gates import RuleVerdict, Verdict

pytestmark = pytest.mark.xdist_group("e2e")

COMMANDS = [
    ["run"],
    ["check"],
    ["status"],
    ["gate"],
    ["report"],
    ["leaderboard"],
    ["explain"],
    ["chat"],
    ["mask"],
    ["doctor"],
    ["init"],
    ["recipe"],
    ["recipe", "list"],
    ["recipe", "show"],
    ["recipe", "copy"],
    ["targets"],
    ["targets", "show"],
    ["targets", "verify"],
    ["targets", "forecast"],
    ["targets", "import"],
]


@pytest.fixture
def copied(tmp_path, tiny_run):
    """A finished run that a test may change."""
    shutil.copytree(tiny_run.root, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help(called, words):
    code, out, err = called(*words, "--help")

    assert code == 0
    assert err == ""
    usage, _, purpose = out.splitlines()[:3]
    assert usage.startswith(f"Usage: stillhouse {' '.join(words)} ")
    assert purpose.strip().endswith(".")
    described = [line for line in out.splitlines() if line.startswith("  --")]
    assert all(len(line.split("  ")) > 2 for line in described), described


def test_help_is_there_in_half_a_second_without_heavy_imports():
    code = (
        "import sys; sys.argv = ['stillhouse', '--help']\n"
        "from stillhouse.cli.main import main\n"
        "try: main()\n"
        "finally: print({'torch', 'pyarrow', 'transformers', 'numpy'} & set(sys.modules))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True)
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([*COMMAND, "--help"], env=ENVIRONMENT, capture_output=True, check=True)
        taken.append(time.perf_counter() - started)

    assert said.stdout.endswith(b"set()\n")
    print(f"stillhouse --help: best of three {min(taken):.2f} s")
    assert min(taken) < 0.5


@pytest.mark.parametrize(
    "words",
    [
        ["status", "tiny"],
        ["gate", "tiny"],
        ["gate", "tiny", "--candidate", "twin"],
        ["report", "tiny"],
        ["leaderboard"],
    ],
    ids=" ".join,
)
def test_a_command_on_a_run_prints_json_and_nothing_else(called, copied, words):
    code, out, err = called(*words, "--runs", copied, "--json")

    assert (code, err) == (0, "")
    assert isinstance(json.loads(out), dict)
    plain = called(*words, "--runs", copied)
    assert plain[0] == 0
    assert plain[1] != out


def test_status_json_holds_every_stage_with_its_cost(called, tiny_run):
    status = json.loads(called("status", "tiny", "--runs", tiny_run.root, "--json")[1])

    assert status["state"] == "passed"
    assert [stage["key"] for stage in status["stages"]] == [k for k, _ in instances(tiny_run.root)]
    assert all(stage["is_done"] and stage["seconds"] > 0 for stage in status["stages"])


def test_what_waits_for_services_is_told_and_decides_nothing(called, copied):
    record = copied / "tiny" / "run.json"
    run = json.loads(record.read_text())
    run["recipe"]["serve"] = {"share": 0.1}
    record.write_text(json.dumps(run))
    (gate,) = (one["artifact_id"] for one in run["instances"] if one["key"] == "gate")
    manifest = copied / "artifacts" / gate / "manifest.json"
    told = json.loads(manifest.read_text())
    rule = {"metric": "exact_match", "against": "production", "at_least": 0.0}
    told["config"]["gate"]["rules"].append(rule)
    manifest.write_text(json.dumps(told))

    code, out, _ = called("gate", "tiny", "--runs", copied)
    asked = len(told["config"]["gate"]["rules"])
    assert code == 0
    assert f"gate: student passed; 1 of {asked} rules not asked" in out
    assert "not asked       exact_match minus the production's at least 0: no version in" in out
    status = json.loads(called("status", "tiny", "--runs", copied, "--json")[1])
    assert [line.partition(":")[0] for line in status["waiting"]] == ["serve.share"]


def test_check_prints_a_plan_as_json_and_writes_nothing(called, tiny_recipe, tmp_path):
    code, out, err = called("check", tiny_recipe, "--runs", tmp_path / "runs", "--json")

    assert (code, err) == (0, "")
    plan = json.loads(out)
    assert len(plan["instances"]) == 14
    assert not any(item["is_done"] for item in plan["instances"])
    assert plan["parts"]["holdout"] == 20
    assert not (tmp_path / "runs").exists()


def test_mask_shows_that_the_answer_alone_is_trained_on(called, tiny_recipe):
    code, out, err = called("mask", tiny_recipe, "--part", "labelled", "--json")

    assert (code, err) == (0, "")
    shown = json.loads(out)
    trained = [token["is_trained"] for token in shown["tokens"]]
    first = trained.index(True)
    assert shown["part"] == "labelled"
    assert not any(trained[:first])
    assert "".join(token["text"] for token in shown["tokens"][first:]).startswith("{")
    assert called("mask", tiny_recipe, "--example", "999")[0] == 2


@pytest.mark.parametrize("colour", ["", "1"])
def test_mask_is_read_in_plain_text_and_in_colour(called, tiny_recipe, monkeypatch, colour):
    monkeypatch.setenv("FORCE_COLOR", colour)

    code, out, _ = called("mask", tiny_recipe, "--part", "labelled")

    plain = re.sub("\x1b\\[[0-9;]*m", "", out)
    assert code == 0
    assert (plain != out) == bool(colour)
    assert re.search(r"^ +0  # +\d+ +'<\|user\|>'$", plain, re.MULTILINE)
    assert re.search(r"^ +\d+ +\d+  user +'", plain, re.MULTILINE)
    assert re.search(r"^ +\d+ \*  +\d+  assistant +'\{", plain, re.MULTILINE)
    assert re.search(r"^ +\d+ \*# +\d+  assistant +'<\|end\|>'$", plain, re.MULTILINE)


def test_the_second_run_says_so_and_does_nothing(tiny_recipe, copied):
    before = contents(copied)

    done = run("run", tiny_recipe, "--runs", copied, "--json")

    assert done.returncode == 0
    assert json.loads(done.stdout)["state"] == "passed"
    assert done.stderr.splitlines() == [f"{key:<18} already done" for key, _ in instances(copied)]
    assert contents(copied) == before


def test_from_makes_a_stage_and_its_dependants_again_with_the_same_bytes(
    tiny_recipe, tiny_run, copied
):
    done = run("run", tiny_recipe, "--runs", copied, "--from", "label")

    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    kept = {line.split()[0] for line in lines if line.endswith("already done")}
    again = {line.split()[0] for line in lines if line.endswith(" started")}
    measured = {"evaluate@teacher", "evaluate@twin"}
    assert kept == {"collect", "prepare", "finetune", "train@twin"} | measured
    released = {"gate", "export", "evaluate@exported", "gate@exported", "register"}
    assert again == {"label", "train@student", "evaluate@student"} | released
    assert differing(copied, contents(tiny_run.root)) == []


def test_progress_is_plain_lines_where_standard_error_is_no_terminal(tiny_recipe, tmp_path):
    folder = tmp_path / "L\u00e4ufe \u6f22 \U0001f600"
    words = ["run", tiny_recipe, "--runs", folder, "--smoke", "2", "--name", "Versuch \u00fc"]

    done = run(*words)

    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr + done.stdout
    assert "\r" not in done.stderr
    lines = done.stderr.splitlines()
    assert any(line.startswith("collect ") and line.endswith(" started") for line in lines)
    assert any(line.startswith("register ") and " done in " in line for line in lines)
    assert "started" not in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last == f"report: {folder}/Versuch \u00fc/report.html"
    assert (folder / "Versuch \u00fc" / "report.html").is_file()
    status = run("status", "Versuch \u00fc", "--runs", folder, "--json")
    assert json.loads(status.stdout)["name"] == "Versuch \u00fc"


def test_the_gate_ends_a_run_with_3_and_exports_nothing(tiny_recipe, copied):
    refused = "gate.rules=[{metric: kl_to_teacher, at_most: 0.0001}]"

    done = run("run", tiny_recipe, "--runs", copied, "--name", "strict", "--set", refused)

    assert done.returncode == 3
    assert "error: the gate refused the student:\n" in done.stderr
    assert "gate: student refused\n" in done.stdout
    asked = run("gate", "strict", "--runs", copied, "--candidate", "twin", "--json")
    assert asked.returncode == 3
    assert json.loads(asked.stdout)["passed"] is False
    assert asked.stderr == "error: the gate refuses twin; use teacher instead\n"
    status = json.loads(run("status", "strict", "--runs", copied, "--json").stdout)
    assert status["state"] == "refused"
    done = {stage["key"]: stage["is_done"] for stage in status["stages"]}
    assert (done["gate"], done["export"], done["register"]) == (True, False, False)


def test_the_teacher_passes_its_own_gate(called, tiny_run):
    code, out, err = called("gate", "tiny", "--candidate", "teacher", "--runs", tiny_run.root)

    assert (code, err) == (0, "")
    assert out.startswith("gate: teacher passed\n")


def test_an_unknown_candidate_is_refused_with_those_there_are(called, tiny_run):
    code, out, err = called("gate", "tiny", "--candidate", "twn", "--runs", tiny_run.root)

    assert (code, out) == (2, "")
    assert "twin" in err


def test_recipes_are_listed_shown_and_copied_once(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    listed = json.loads(called("recipe", "list", "--json")[1])
    assert {"quickstart", "songs"} <= {item["name"] for item in listed}
    assert all(item["description"] for item in listed)
    plain = called("recipe", "list")[1]
    assert all(item["name"] in plain for item in listed)

    code, text, _ = called("recipe", "show", "quickstart")
    full = called("recipe", "show", "quickstart", "--full")[1]
    as_json = json.loads(called("recipe", "show", "quickstart", "--json")[1])
    assert code == 0
    assert "dtype" in full
    assert as_json["name"] == "quickstart"

    code, out, err = called("recipe", "copy", "quickstart")
    assert (code, out, err) == (0, "quickstart.yaml\n", "")
    assert (tmp_path / "quickstart.yaml").read_text() == text
    code, out, err = called("recipe", "copy", "quickstart")
    assert (code, out) == (2, "")
    assert err == ("error: quickstart.yaml exists\n  -> choose another name; nothing was written\n")
    assert called("recipe", "copy", "quickstart", tmp_path / "no" / "a.yaml")[0] == 2


def test_a_shown_recipe_with_every_default_is_a_recipe(called, tmp_path):
    path = tmp_path / "full.yaml"
    path.write_text(called("recipe", "show", "quickstart", "--full")[1])

    shown = json.loads(called("recipe", "show", path, "--json")[1])

    assert shown == json.loads(called("recipe", "show", "quickstart", "--json")[1])


def test_nothing_after_the_program_prints_its_help(called):
    code, out, err = called()

    assert code == 2
    assert "Usage: stillhouse" in out + err


def test_a_gate_set_is_shown_as_its_rules_and_loads_as_them_again(called, tmp_path):
    path = tmp_path / "shown.yaml"
    path.write_text(called("recipe", "show", "songs", "--full")[1])

    shown = json.loads(called("recipe", "show", path, "--json")[1])

    assert shown["gate"]["rules"][0]["metric"] == "score_verdict_agreement"
    assert shown == json.loads(called("recipe", "show", "songs", "--json")[1])


def test_a_refusal_names_what_to_use_instead(capsys):
    rule = RuleVerdict(text="a at least 1", metric="a", value=0.5, low=0.4, high=0.6, n=9,
                       limit=1.0, decision="fail", reason="0.5")  # fmt: skip
    verdict = Verdict(candidate="student", passed=False, rules=(rule,), fallback="teacher")

    show_verdict(verdict, as_json=False)
    show_verdict(verdict.model_copy(update={"passed": True}), as_json=False)

    assert capsys.readouterr().out.count("use instead: teacher") == 1
