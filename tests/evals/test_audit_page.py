"""The page about audits shows programs that work, and the figures of public data are as told."""

import csv
import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.conftest import SHARED_DATA
from tests.evals.judges import examples

from stillhouse.evals.audit import audit, compare_audits
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.probe_file import load_probes, own_probes
from stillhouse.recipes.gating import Gate

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "diversity-audit.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
QUICK = Resampling(draws=100)


def test_the_probes_of_the_page_are_those_of_the_file_beside_it():
    beside = PAGE.with_suffix(".yaml").read_text(encoding="utf-8")
    yaml = YAML(typ="safe", pure=True)
    assert yaml.load(BLOCKS[0]) == yaml.load(beside)


def test_the_gate_of_the_page_is_one():
    given = YAML(typ="safe", pure=True).load(BLOCKS[1])["gate"]
    assert len(Gate.model_validate_json(json.dumps(given)).rules) == 2


def test_the_audit_of_the_page_runs(tmp_path, monkeypatch, capsys):
    # given
    for name, who in (("base.csv", ("man", "woman")), ("student.csv", ("man", "man"))):
        with (tmp_path / name).open("w", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(["prompt", "answer"])
            table.writerows([f"p{n}", f"a {who[n % 2]} at work"] for n in range(40))
    (tmp_path / "diversity-audit.yaml").write_bytes(PAGE.with_suffix(".yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    # when
    exec(compile(PROGRAMS[0], str(PAGE), "exec"), {})
    # then
    shown = capsys.readouterr().out
    assert "gender.classes_top_share: 0.500 to 1.000, change +" in shown
    assert "words.entropy:" in shown


def test_the_judge_of_the_page_is_no_evidence(capsys):
    given = {
        "examples": examples(4),
        "student_answers": [f"long {number}" for number in range(4)],
        "base_answers": ["short"] * 4,
    }
    exec(compile(PROGRAMS[1], str(PAGE), "exec"), given)
    assert "decision='no evidence'" in capsys.readouterr().out


@pytest.fixture(scope="module")
def public():
    if not (SHARED_DATA / "culture").is_dir():
        pytest.skip("no shared test data here")
    path = ROOT / "benchmarks" / "diversity_audit.py"
    spec = importlib.util.spec_from_file_location("diversity_audit", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def figures(rows, probes):
    return {
        f"{one.probe.name}.{one.metric.name}": one.estimate for one in audit(rows, probes, QUICK)
    }


def test_the_european_default_of_a_public_prompt_vocabulary_is_strong(public):
    probes = {probe.name: probe for probe in load_probes(public.OWN).probes}
    found = figures(public.artist_files(SHARED_DATA), [probes["artists.files"]])
    top = found["artists.files.classes_top_share"]
    assert top.value == pytest.approx(175 / 184)
    assert top.low > 0.9
    assert found["artists.files.classes_entropy"].high < 0.5


def test_public_prompts_name_few_traditions_and_few_styles(public):
    probes = [*load_probes(own_probes()).probes, *load_probes(public.OWN).probes]
    wanted = {probe.name: probe for probe in probes}
    rows = public.partiprompts(SHARED_DATA)
    found = figures(rows, [wanted["traditions"], wanted["partiprompts.styles"]])
    assert found["traditions.traditions_covered"].value == 2
    assert found["partiprompts.styles.style_reference_rate"].value == pytest.approx(20 / 816)


def test_what_was_made_even_is_even_and_a_rule_with_a_default_is_found(public):
    probes = {probe.name: probe for probe in load_probes(public.OWN).probes}
    even = figures(public.factbook(SHARED_DATA), [probes["factbook.regions"]])
    assert even["factbook.regions.classes_entropy"].value == pytest.approx(1.0)
    shifts = compare_audits(*public.stand_ins(SHARED_DATA), [probes["occupations.gender"]], QUICK)
    (top,) = [shift for shift in shifts if shift.metric.name == "classes_top_share"]
    assert top.difference.low > 0.2


def test_every_data_set_can_be_read_and_names_its_probes(public):
    names = {probe.name for probe in load_probes(public.OWN).probes}
    texts = {probe.name for probe in load_probes(own_probes()).probes}
    for one in public.SETS:
        assert one.rows(SHARED_DATA), one.title
        assert set(one.own) <= names
        assert set(one.texts) <= texts
    assert len(public.answers_by_country(SHARED_DATA, QUICK)) == 8
