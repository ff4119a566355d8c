"""songs-sft from nothing: verse is collected, joined, annotated, learned, measured and shipped.

Slow: some five processor minutes. Every provider is a server of tests that serves real verse and
fails now and then; the figures are printed, bad ones too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.conftest import SHARED_DATA
from tests.e2e.collected_verse import (
    FAULTS,
    annotator,
    providers,
    real_verse,
    write_files,
    wrong,
)
from tests.e2e.conftest import _InThisProcess as InThisProcess
from tests.faults.killed_runs import COMMAND, ENVIRONMENT

import stillhouse
from stillhouse.core.errors import InputError, StillhouseError, UsageError
from stillhouse.data.shards import read_rows_of, read_shards
from stillhouse.data.storage import read_rows_file
from stillhouse.runner.opening import named_place, open_recipe
from stillhouse.runner.resolve import resolve
from stillhouse.runner.run import execute
from stillhouse.stages import collecting
from stillhouse.stages.corpus import MEASURED_ROWS
from stillhouse.tasks.songs.analyzer import Analyzer

pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("songs-collected"),
    pytest.mark.skipif(
        not (SHARED_DATA / "songs" / "openhymnal_a.jsonl").is_file(),
        reason="the data sets are not here",
    ),
]
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "songs.md"
CONFIDENCE = 0.3
"""A few lines of a hymn have fewer of its words than all of it, of which 0.8 is asked."""
PLAN_A = {
    "name": "verse_a",
    "songs": {"at_least": 240, "at_most": 240},
    "sources": {
        "curated": {"at_least": 40, "at_most": 80},
        "lrclib": {"at_least": 60, "at_most": 100},
        "genius": {"at_least": 60, "at_most": 100},
    },
    "quality": {"artists_at_least": 30, "christian_confidence_at_least": CONFIDENCE},
}
PLAN_B = {
    "name": "verse_b",
    "songs": {"at_least": 1470, "at_most": 2000},
    "labels": {"christian": {"at_least": 200}},
    "quality": {"artists_at_least": 100, "christian_confidence_at_least": CONFIDENCE},
}
KEYS = {
    "GENIUS_TOKEN": "planted-token",
    "MUSIXMATCH_KEY": "planted-token",
    "ANNOTATOR_KEY": "sk-planted-annotator-0123456789",
}
REFERRED = ("prepare.steps", "prepare.reference")
"""What is said otherwise by a run that is measured by scores of the other scale."""
CONCURRENCY = 8
KILLED_AFTER = 400
MEASURED = (
    "agreement.verdict",
    "accuracy.verdict",
    "false_positive_rate.verdict",
    "false_negative_rate.verdict",
    "within.score",
    "micro_f1.themes",
    "micro_f1.scripture_references",
    "hallucination_rate",
    "schema_valid",
    "cross_entropy",
)


@dataclass
class Chain:
    """Everything that stands around one run.

    Attributes:
        verse: what is served.
        folder: of recipe files and runs.
        songs: the providers by name.
        judge: who annotates.
        after: what is done after so many of its calls.
    """

    verse: object
    folder: Path
    songs: dict
    judge: object
    after: object

    @property
    def runs(self):
        return str(self.folder / "runs")

    def call(self, plan, *more):
        """The tiny profile with a collection, annotations and settings for real verse."""
        return stillhouse.Call(
            [*settings(self.folder, self.songs, self.judge, plan), *more], self.runs, profile="tiny"
        )

    def collect(self, plan, monkeypatch):
        """Run a plan up to its collection, at a pace that only tests have."""
        overrides = self.call(plan).overrides
        resolved = resolve(*open_recipe("songs-sft", overrides, profile="tiny"))
        place = named_place(self.runs, plan)
        keys = [one.key for one in resolved.plan.instances]
        artifact = resolved.plan["collect"].artifact_id
        del resolved.plan.instances[keys.index("collect") + 1 :]
        manners = collecting.Manners
        with monkeypatch.context() as patch:
            patch.setattr("stillhouse.runner.run.StageServer", InThisProcess)
            patch.setattr(
                collecting, "Manners", lambda c: replace(manners(c), pause_s=0.0, retry_s=0.01)
            )
            patch.setattr(collecting, "pause_of", lambda source: 0.0)
            execute(resolved, place)
        return [row.fields for row in read_rows_of(place.store.path(artifact))]

    def run_killed(self, plan):
        """Run as a user does, and kill all of it in the midst of the annotations."""
        call = self.call(plan)
        words = [word for one in call.overrides for word in ("--set", one)]
        command = [
            *COMMAND, "run", "songs-sft", "--profile", "tiny", "--runs", call.runs, *words,
        ]  # fmt: skip
        process = subprocess.Popen(
            command,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT | KEYS,
        )
        self.after.do = lambda: os.killpg(process.pid, signal.SIGKILL)
        self.after.calls = KILLED_AFTER
        told = process.communicate()[1]
        assert process.returncode == -signal.SIGKILL, told.decode()[-2000:]


def snippet(number):
    """A YAML block of the page's part on collected songs, as a user copies it."""
    part = PAGE.read_text().partition("## From songs that you collect")[2].partition("\n## ")[0]
    return YAML(typ="safe").load(part.split("```yaml\n")[number + 1].partition("```")[0])


def settings(folder, songs, judge, plan):
    """The page's sections, with the stand-ins' addresses."""
    collect, prepare = snippet(0)["collect"], snippet(1)["prepare"]
    collection = collect["source"]["collection"]
    collection["plan"] = f"{folder / plan}.yaml"
    for name, source in collection["sources"].items():
        if source["kind"] == "file":
            source["file"]["path"] = str(folder / "curated.jsonl")
        elif source["kind"] == "json_api":
            source["api"]["url"] = f"{songs[name].url}/v1/hymns?offset={{offset}}&size={{size}}"
        else:
            source |= {"base_url": songs[name].url, "queries_file": str(folder / f"{name}.csv")}
    join, annotate, *_ = prepare["steps"]
    join["file"] = str(folder / "known.jsonl")
    annotate["engine"]["api"] |= {"base_url": judge.url, "concurrency": CONCURRENCY}
    truth = {
        "name": "join", "file": str(folder / "people.jsonl"), "on": ["title", "artist"],
        "take": {"people": "analysis"},
    }  # fmt: skip
    steps = [*prepare["steps"], truth]
    return [
        f"collect={json.dumps(collect)}",
        f"prepare.steps={json.dumps(steps)}",
        *SHAPE,
    ]


SHAPE = [
    "compute.threads=1",
    "prepare.user='Lyrics:\\n{lyrics}'",  # neither title nor artist: they give the book away
    "prepare.answer=analysis",
    "prepare.reference=people",
    "prepare.split={parts: {teacher: 0.45, labelled: 0.25, validation: 0.05, holdout: rest},"
    " group_by: [artist], stratify_by: genre}",
    "prepare.max_tokens=224",
    "teacher.scratch.tokenizer.vocab_size=1500",
    "label.answer_schema={type: object, additionalProperties: false,"
    " required: [verdict, themes, scripture_references, score], properties: {"
    " verdict: {enum: [RECOMMENDED, ACCEPTABLE]},"
    " themes: {type: array, items: {type: string, maxLength: 60}, maxItems: 2},"
    " scripture_references: {type: array, items: {type: string, maxLength: 60}, maxItems: 2},"
    " score: {type: number, minimum: 0, maximum: 100}}}",
    "evaluate.fields={verdict: {kind: label, classes: [RECOMMENDED, ACCEPTABLE, CONCERNING,"
    " NOT_RECOMMENDED], positive: [RECOMMENDED]}, score: {kind: number, low: 0.0, high: 100.0,"
    " within: 5.0}, themes: {kind: labels}, scripture_references: {kind: labels}}",
    "evaluate.metrics=[cross_entropy, schema_valid, accuracy.verdict, hallucination_rate,"
    " false_positive_rate.verdict, false_negative_rate.verdict, micro_f1.themes]",
    "gate={enforce: false, rules: [{metric: accuracy.verdict, against: four_models, at_least: 0}]}",
    "finetune.length.steps=700",
    "finetune.optimizer={name: adamw, learning_rate: 1.5e-3, warmup_steps: 20}",
    "train.length.steps=350",
    "train.optimizer.learning_rate=1.5e-3",
]


@pytest.fixture(scope="module")
def chain(shared_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("collected")
    verse = real_verse(shared_file)
    with (
        pytest.MonkeyPatch.context() as patch,
        providers(verse) as songs,
        annotator(verse) as (judge, after),
    ):
        for name, key in KEYS.items():
            patch.setenv(name, key)
        write_files(folder, verse, {"plan_a": PLAN_A, "plan_b": PLAN_B})
        yield Chain(verse, folder, songs, judge, after)


@pytest.fixture(scope="module")
def finished(chain):
    """Plan A, plan B, a run that is killed while it annotates, and the run that goes on."""
    patch = pytest.MonkeyPatch()
    with pytest.raises(UsageError, match="comes after"):
        stillhouse.check("songs-sft", chain.call("plan_b"))
    assert not any(server.seen for server in chain.songs.values())
    first = chain.collect("plan_a", patch)
    with pytest.raises(StillhouseError, match="of at least 1,470 songs") as unfilled:
        chain.collect("plan_b", patch)
    assert "run the same command again" in unfilled.value.hint
    rows = chain.collect("plan_b", patch)
    asked = {name: len(server.asked) for name, server in chain.songs.items()}
    chain.run_killed("plan_b")
    before = list(chain.judge.calls)
    status = stillhouse.run("songs-sft", chain.call("plan_b"))
    assert {name: len(server.asked) for name, server in chain.songs.items()} == asked
    print(f"\n  plan A {len(first)} songs, plan B {len(rows)}; requests {asked}")
    print(f"  annotator: {len(before)} calls before the kill, {len(chain.judge.calls)} in all")
    folders = {one.key: Path(chain.runs) / "artifacts" / one.artifact_id for one in status.stages}
    return status, folders, rows, before


def flow_of(chain):
    return stillhouse.read_report("songs-sft-tiny", chain.runs).row_flow


def test_every_song_that_was_offered_is_accounted_for(chain, finished):
    flow = flow_of(chain)
    for one in flow:
        print(f"  {one.step:<20}{one.rows_in:>6}{one.rows_out:>6} {dict(one.dropped)} {one.notes}")
        assert one.rows_in == one.rows_out + sum(one.dropped.values()) + one.merged
    assert [one.rows_in for one in flow[1:]] == [one.rows_out for one in flow[:-1]]
    report = stillhouse.read_report("songs-sft-tiny", chain.runs)
    for name, one in report.collection.sources.items():
        print(f"  {name:<12}offered {one.offered:>5} kept {one.kept:>5} requests {one.requests}")
        assert one.kept > 0
    assert report.collection.sources["lrclib"].requests.get("error", 0) == 0


def test_what_was_known_is_joined_and_the_rest_is_asked_for(chain, finished):
    _, folders, rows, _ = finished
    known = {line["title"].casefold() for line in map(
        json.loads, (chain.folder / "known.jsonl").read_text().splitlines()
    )}  # fmt: skip
    matched = sum(row["title"].casefold() in known for row in rows)
    steps = {one.step: one for one in flow_of(chain)}
    assert steps["annotate"].notes["annotated before"] == matched > 100
    asked = steps["annotate"].rows_in - matched
    assert steps["annotate"].notes["annotated"] + sum(steps["annotate"].dropped.values()) == asked
    told = json.loads((folders["step@join"] / "manifest.json").read_bytes())["summary"]["tables"]
    (table,) = told.values()
    print(f"  {table}")
    assert table["rows with a record"] == matched
    assert table["records of no row"] == len(known) - matched >= 7


def test_faults_were_met_and_survived_and_no_kept_answer_was_asked_for_again(chain, finished):
    _, folders, rows, before = finished
    calls = list(chain.judge.calls)
    met = Counter(call.fault for call in calls)
    print(f"  faults of the line: {dict(met)}")
    assert set(FAULTS) <= set(met)
    answered = Counter(call.question for call in calls if not call.fault)
    again = [question for question, times in answered.items() if times > 1]
    print(f"  answers before the kill: {sum(not one.fault for one in before)}; twice: {len(again)}")
    assert KILLED_AFTER <= len(before) < len(calls)
    assert len(again) <= CONCURRENCY  # those that were on their way when all was killed
    for server in chain.songs.values():
        asked = Counter((one.path, tuple(sorted(one.query.items()))) for one in server.asked)
        assert sum(times - 1 for times in asked.values()) <= 2 * 4  # a fault is tried again
    ((reason, number),) = flow_of_step(chain, "annotate").dropped.items()
    hopeless = {row["title"] for row in rows if wrong(row["title"], 0.01, "hopeless")}
    assert reason == "not annotated: wrong_schema"
    assert 0 < number <= len(hopeless)
    left = {row.fields["title"] for row in read_shards(folders["step@annotate"])}
    assert {row["title"] for row in rows} - left <= hopeless


def flow_of_step(chain, name):
    return next(one for one in flow_of(chain) if one.step == name)


def test_scores_come_onto_the_scale_that_they_are_measured_on(chain, finished):
    _, folders, *_ = finished
    said = {row.fields["analysis"]["score"] for row in read_shards(folders["step@annotate"])}
    learned = {row.fields["analysis"]["score"] for row in read_shards(folders["step@join-2"])}
    assert (said, learned) == ({0.6, 0.9}, {60, 90})
    call = chain.call("plan_b")
    (told,) = (one for one in call.overrides if one.startswith("prepare.steps="))
    steps = [one for one in json.loads(told.partition("=")[2]) if one["name"] != "rescale"]
    kept = [one for one in call.overrides if one.partition("=")[0] not in REFERRED]
    undeclared = [*kept, f"prepare.steps={json.dumps(steps)}", "prepare.reference=analysis"]
    calls, started = len(chain.judge.calls), []
    with pytest.raises(InputError, match=r"score goes from 0 to 100, and no reference is above"):
        stillhouse.run(
            "songs-sft",
            replace(call, overrides=undeclared, name="undeclared"),
            on_event=lambda event: (
                started.append(event.instance) if event.kind == "start" else None
            ),
        )
    assert started[-1] == "prepare"  # before anything is learned
    assert len(chain.judge.calls) == calls


def test_the_table(chain, finished):
    status, folders, *_ = finished
    measured = [row.fields for row in read_rows_file(folders["prepare"] / MEASURED_ROWS)]
    right = sum(one["analysis"]["verdict"] == one["people"]["verdict"] for one in measured)
    print(f"\n  annotator: verdict of people in {right / len(measured):.3f} of {len(measured)}")
    one_layer = "student={layers_of_teacher: [0]}"
    smaller = stillhouse.run("songs-sft", replace(chain.call("plan_b", one_layer), name="one"))
    found = {name: metrics_of(status, name) for name in ("teacher", "student", "four_models")}
    found["one layer"] = metrics_of(smaller, "student")
    for name in MEASURED:
        told = [
            f"{who} {one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
            for who, metrics in found.items()
            if (one := metrics.get(name))
        ]
        print(f"  {name:<30}" + "  ".join(told))
    seconds = sum(one.seconds or 0.0 for one in status.stages)
    print(f"  {seconds:.0f} s of stages on this machine, one thread each")
    for metrics in found.values():
        told = metrics["accuracy.verdict"]
        assert told["low"] < told["high"]
    start, student = (found[who]["cross_entropy"] for who in ("teacher", "student"))
    assert student["value"] < start["value"]
    assert found["student"]["false_negative_rate.verdict"]["high"] < 0.5  # no verdict for all
    assert found["student"]["false_positive_rate.verdict"]["high"] < 0.5


def metrics_of(status, who):
    return next(one.summary for one in status.stages if one.key == f"evaluate@{who}")["metrics"]


def test_what_ships_answers_and_a_second_run_asks_nobody(chain, finished):
    _, folders, *_ = finished
    calls = len(chain.judge.calls)
    heard = []
    stillhouse.run(
        "songs-sft", chain.call("plan_b"), on_event=lambda event: heard.append(event.kind)
    )
    assert not {"started", "finished"} & set(heard)
    assert len(chain.judge.calls) == calls
    analyzer = Analyzer(folders["export"] / "bundle", "cpu")
    told = analyzer.analyze_song("A hymn", "Nobody", chain.verse.songs["archive"][0].lyrics)
    assert told.verdict in ("RECOMMENDED", "ACCEPTABLE")
