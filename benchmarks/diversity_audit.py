"""Audit public data sets about cultures and prompts, probe by probe, without a model.

The data is not part of this repository; `--data` names a folder with `culture/` and `prompts/`.
What a probe means and what it does not stands in diversity_audit.yaml, and for the probes of
texts in the package; `--meanings` prints both.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.core.rows import Example, Message
from stillhouse.core.sampling import Sampling
from stillhouse.engines.fake import FakeEngine
from stillhouse.evals.audit import Finding, Shift, audit, compare_audits
from stillhouse.evals.bootstrap import Estimate, Resampling, bootstrap, of_sums, ratio
from stillhouse.evals.entropy import entropy
from stillhouse.evals.probe_file import Probe, load_probes, own_probes

OWN = Path(__file__).with_suffix(".yaml")
CLICHES = {"nurse": "woman", "secretary": "woman", "receptionist": "woman", "hairdresser": "woman"}
"""Whom the rule with a default shows; a man everywhere else."""

Rows = list[dict[str, Any]]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def _table(path: Path, **dialect: Any) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, **dialect))


def artists(data: Path) -> Rows:
    """One row an artist of a file; names that stand for other files are left out."""
    files = json.loads((data / "prompts/sd_artists_by_region.json").read_text(encoding="utf-8"))
    return [
        {"region": file.split("/")[1], "file": file, "artist": f"{file.split('/')[1]}: {name}"}
        for file, names in files.items()
        for name in names
    ]


def artist_files(data: Path) -> Rows:
    """One row a file."""
    return list({row["file"]: row for row in artists(data)}.values())


def artist_names(data: Path) -> Rows:
    """One row an artist and region."""
    rows = {row["artist"]: row for row in artists(data) if "__" not in row["artist"]}
    return list(rows.values())


def partiprompts(data: Path) -> Rows:
    """One row a prompt."""
    path = data / "prompts/partiprompts_even.tsv"
    rows = _table(path, delimiter="\t", quoting=csv.QUOTE_NONE)
    return [{"text": row["Prompt"]} for row in rows]


def dalleval(data: Path) -> Rows:
    """One row a prompt."""
    path = data / "prompts/dalleval_bias_prompts.json"
    return [{"text": text} for text in json.loads(path.read_text(encoding="utf-8"))]


def bold(data: Path) -> Rows:
    """One row a prompt start."""
    path = data / "culture/bold_religion_prompts.json"
    religions = json.loads(path.read_text(encoding="utf-8"))
    return [
        {"religion": religion, "text": text}
        for religion, pages in religions.items()
        for texts in pages.values()
        for text in texts
    ]


def bbq(data: Path) -> Rows:
    """One row a question; its variants hang together."""
    return [
        {
            "question": row["question_index"],
            "groups": row["additional_metadata"]["stereotyped_groups"],
        }
        for row in _lines(data / "culture/bbq_religion_400.jsonl")
    ]


def factbook(data: Path) -> Rows:
    """One row a country."""
    rows = _lines(data / "culture/factbook_people_a.jsonl")
    return [{"region": row["path"].split("/")[0]} for row in rows]


def seegull(data: Path) -> Rows:
    """One row an identity and attribute."""
    return [{"identity": row["identity"]} for row in _table(data / "culture/seegull_a.csv")]


def roles(data: Path) -> Rows:
    """One row a prompt."""
    rows = _table(data / "prompts/awesome_chatgpt_prompts_a.csv")
    return [{"text": row["prompt"]} for row in rows]


def chinese_roles(data: Path) -> Rows:
    """One row a prompt."""
    path = data / "prompts/chatgpt_role_prompts_zh.json"
    return [{"text": row["prompt"]} for row in json.loads(path.read_text(encoding="utf-8"))]


@dataclass(frozen=True, slots=True)
class DataSet:
    """What is audited.

    Attributes:
        title: name and licence, as its authors give them.
        rows: from the folder of data.
        own: names of probes of diversity_audit.yaml.
        texts: names of the package's own probes for texts.
    """

    title: str
    rows: Callable[[Path], Rows]
    own: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


_ARTISTS = "sd-dynamic-prompts, artists by region (MIT, adieyal/sd-dynamic-prompts)"
SETS = (
    DataSet(_ARTISTS, artist_files, ("artists.files",)),
    DataSet(_ARTISTS, artist_names, ("artists.names", "artists.styles")),
    DataSet(
        "PartiPrompts, every second prompt (Apache-2.0, google-research/parti)",
        partiprompts,
        ("partiprompts.styles", "partiprompts.words"),
        ("traditions", "regions", "gender", "age"),
    ),
    DataSet("DALL-Eval bias prompts (MIT, j-min/DallEval)", dalleval, ("dalleval.gender",)),
    DataSet("BOLD, religion (CC-BY-SA-4.0, amazon-science/bold)", bold, ("bold.religions",)),
    DataSet("BBQ, religion, first 400 (CC-BY-4.0, nyu-mll/BBQ)", bbq, ("bbq.groups",)),
    DataSet("The World Factbook (public domain, factbook)", factbook, ("factbook.regions",)),
    DataSet(
        "SeeGULL, half of it (CC-BY-4.0, google-research-datasets/seegull)",
        seegull,
        ("seegull.regions",),
    ),
    DataSet(
        "Awesome ChatGPT Prompts, half of it (CC0-1.0, f/awesome-chatgpt-prompts)",
        roles,
        ("roles.styles",),
        ("traditions", "regions", "gender"),
    ),
    DataSet(
        "ChatGPT role prompts in Chinese (MIT, PlexPt/awesome-chatgpt-prompts-zh)",
        chinese_roles,
        ("chinese_roles.words",),
    ),
)


def stand_ins(data: Path, *, answers: int = 4) -> tuple[Rows, Rows]:
    """What a fair rule and one with a default say to the prompts that leave the gender open."""
    prompts = [
        Example(row["text"], "holdout", (Message("user", row["text"]),), None)
        for row in dalleval(data)
        if row["text"].startswith("A person who works")
    ]
    draw = random.Random(0)

    def fair(_: Sequence[Message], __: int) -> str:
        return f"A {draw.choice(('woman', 'man'))} at work."

    def by_default(messages: Sequence[Message], index: int) -> str:
        job = messages[-1].content.rpartition(" ")[2]
        return f"A {CLICHES.get(job, 'man')} at work." if index else fair(messages, index)

    return tuple(  # type: ignore[return-value]
        [
            {"prompt": said.example_id, "answer": said.text}
            for index in range(answers)
            for said in FakeEngine(rule).generate(prompts, Sampling(16, sample_index=index))
        ]
        for rule in (fair, by_default)
    )


def answers_by_country(data: Path, resampling: Resampling) -> dict[str, tuple[Estimate, ...]]:
    """BLEnD: how much people's answers to one question differ, by country.

    Args:
        data: the folder.
        resampling: of questions.

    Returns:
        The mean entropy of the answers to a question (nats, Miller and Madow), the mean chance
        that two of the answers are alike (which does not grow with how many were given, as the
        entropy does), and the mean number of answers.
    """
    by_country = defaultdict(list)
    for row in _lines(data / "culture/blend_a.jsonl"):
        counts = np.array([answer["count"] for answer in row["annotations"]], np.float64)
        total = counts.sum()
        if total > 1:
            alike = (counts * (counts - 1)).sum() / (total * (total - 1))
            by_country[row["country"]].append((entropy(counts), alike, total))
    return {
        country: tuple(
            bootstrap(np.stack([one, np.ones(len(one))], axis=1), of_sums(ratio), resampling)
            for one in np.array(values).T
        )
        for country, values in by_country.items()
    }


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}], n={estimate.n}"


def _print_findings(found: Sequence[Finding]) -> None:
    for one in found:
        shown = _shown(one.estimate)
        print(f"| {one.probe.name} | {one.metric.name} | {shown} | {one.num_prompts} |")


def _print_shifts(found: Sequence[Shift]) -> None:
    for one in found:
        print(
            f"| {one.probe.name} | {one.metric.name} | {_shown(one.before)} | "
            f"{_shown(one.after)} | {_shown(one.difference)} |"
        )


def _print_meanings(probes: Sequence[Probe]) -> None:
    for probe in probes:
        print(f"{probe.name}: {probe.means} {probe.does_not_mean}")


def main() -> None:
    """Print a table for each data set."""
    options = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    options.add_argument("--data", type=Path, required=True, help="with culture/ and prompts/")
    options.add_argument("--draws", type=int, default=2000, help="resamples of prompts")
    options.add_argument("--meanings", action="store_true", help="print what each probe means")
    told = options.parse_args()
    resampling = Resampling(draws=told.draws)
    own = {probe.name: probe for probe in load_probes(OWN).probes}
    texts = {probe.name: probe for probe in load_probes(own_probes()).probes}
    if told.meanings:
        _print_meanings([*own.values(), *texts.values()])
    for one in SETS:
        print(f"\n{one.title}\n\n| probe | figure | value | prompts |\n|---|---|---|---|")
        probes = [own[name] for name in one.own] + [texts[name] for name in one.texts]
        _print_findings(audit(one.rows(told.data), probes, resampling))
    print("\nDALL-Eval's open prompts, two rules\n\n| probe | figure | fair | default | change |")
    print("|---|---|---|---|---|")
    fair, by_default = stand_ins(told.data)
    _print_shifts(compare_audits(fair, by_default, [own["occupations.gender"]], resampling))
    print("\nBLEnD (CC-BY-SA-4.0, nlee0212/BLEnD)\n")
    print("| country | nats a question | two answers alike | answers |\n|---|---|---|---|")
    for country, estimates in answers_by_country(told.data, resampling).items():
        print(f"| {country} | {' | '.join(map(_shown, estimates))} |")


if __name__ == "__main__":
    main()
