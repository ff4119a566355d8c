"""A million rows cleaned and near-deduplicated: time and memory, beside datatrove on the same rows.

Rows are generated, seeded: most are new texts, some say the same as an earlier one again, some the
same but for a word, some hold damaged characters. Ours reads one file by the stages `collect` and
`step`; datatrove reads the same rows in as many files as it has workers, repairs them with ftfy as
well, and runs its four steps of MinHash with the same word groups and bands. Its texts are cut into
words at blanks, which is faster than its own tokenizers. Memory is that of all processes together,
shared pages counted once.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from measure import Goal, child_spec, has, parser, print_line

BANDS, BAND_ROWS, GROUP_WORDS = 32, 4, 2
KINDS = ("new", "again", "near", "damaged")
SHARES = (0.7, 0.1, 0.1, 0.1)
NUM_WORDS = 20_000
SEED = 0


def main() -> None:
    """Generate the rows once, then let each way work on them."""
    options = parser(__doc__, repeats=1)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--workers", type=int, default=2)
    told = options.parse_args()
    rows = 20_000 if told.quick else told.rows
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        made = write_rows(folder, rows, told.workers)
        ways = ["ours", *(["datatrove"] if has("datatrove") else [])]
        found = {way: measured(way, folder, told.workers) for way in ways}
        idle = measured("idle", folder, told.workers)["times"][told.clock]
    ours, peer = found["ours"], found.get("datatrove")
    figures = {
        "rows": made,
        "workers": told.workers,
        "clock": told.clock,
        "idle_step_of_10000_rows_s": idle,
        "ways": found,
        "datatrove": "installed" if peer else "missing",
    }
    goals = {
        "peak memory of all processes, GiB": Goal(ours["peak_gib"], at_most=8.0),
        "time over datatrove's": Goal(
            ours[told.clock] / peer[told.clock] if peer else None, at_most=1.0
        ),
        "a step that does nothing to 10,000 rows, s": Goal(idle, at_most=1.0),
        "copies of an earlier text found": Goal(ours["ended"] / made["copies"], at_least=0.99),
    }
    print_line("rows_at_scale", figures, goals, told.quick)


# Rows -----------------------------------------------------------------------------------------


def write_rows(folder: Path, rows: int, files: int) -> dict[str, int]:
    """The rows in one file for us and in several for the peer; counts by kind."""
    counts = dict.fromkeys(KINDS, 0)
    parts = folder / "parts"
    parts.mkdir()
    streams = [(parts / f"{number}.jsonl").open("w") for number in range(files)]
    with (folder / "rows.jsonl").open("w") as whole:
        for place, (kind, text) in enumerate(_texts(rows)):
            counts[kind] += 1
            line = json.dumps({"id": f"r{place}", "text": text}, ensure_ascii=False) + "\n"
            whole.write(line)
            streams[place * files // rows].write(line)
    for stream in streams:
        stream.close()
    return {"rows": rows, **counts, "copies": counts["again"] + counts["near"]}


def _texts(rows: int) -> Iterator[tuple[str, str]]:
    """Kind and text of each row; a copy is of one of the last thousand new texts."""
    draw = np.random.default_rng(SEED)
    letters = np.array(list("etaoinshrdlcumwfgypbvk"))
    words = ["".join(draw.choice(letters, draw.integers(3, 10))) for _ in range(NUM_WORDS)]
    recent: list[list[str]] = []
    for kind in draw.choice(KINDS, rows, p=SHARES):
        if kind in ("again", "near") and recent:
            chosen = list(recent[int(draw.integers(len(recent)))])
            if kind == "near":
                chosen[int(draw.integers(len(chosen)))] = words[int(draw.integers(NUM_WORDS))]
            yield kind, " ".join(chosen)
            continue
        # Some words are common, as in any language.
        places = (NUM_WORDS * draw.random(int(draw.integers(25, 60))) ** 3).astype(int)
        chosen = [words[place] for place in places]
        if kind == "damaged":
            yield kind, f"{' '.join(chosen)}  it\u00e2\u20ac\u2122s caf\u00c3\u00a9 "
            continue
        recent = [*recent[-999:], chosen]
        yield "new", " ".join(chosen)


# Ways -----------------------------------------------------------------------------------------


def measured(way: str, folder: Path, workers: int) -> dict[str, Any]:
    """What one way took, in a process tree of its own."""
    spec = json.dumps({"way": way, "folder": str(folder), "workers": workers})
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as log:
        child = subprocess.Popen(
            [sys.executable, "-W", "ignore", sys.argv[0], "--child", spec],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )
        peak = 0
        while child.poll() is None:
            peak = max(peak, _tree_bytes(child.pid))
            time.sleep(0.2)
        assert child.stdout is not None
        said = child.stdout.read()
        if child.returncode:
            log.seek(0)
            raise RuntimeError(f"{way} ended with {child.returncode}: {log.read()[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall = time.perf_counter() - began
    taken = {"wall": round(wall, 1), "cpu": round(cpu, 1), "peak_gib": round(peak / 2**30, 2)}
    return {**taken, **json.loads(said.splitlines()[-1])}


def _tree_bytes(root: int) -> int:
    """Memory of a process and all below it, pages that they share counted once."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, parent = int(path.parent.name), path.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        parents[pid] = int(parent)
    inside = {root}
    while more := {pid for pid, parent in parents.items() if parent in inside} - inside:
        inside |= more
    return sum(map(_own_bytes, inside))


def _own_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def child(spec: dict[str, Any]) -> None:
    """Do it one way, and say what came out."""
    folder = Path(spec["folder"])
    way = {"ours": ours, "datatrove": datatrove, "idle": idle}[spec["way"]]
    # What libraries print must not stand before the answer.
    out = os.dup(1)
    os.dup2(2, 1)
    said = way(folder, spec["workers"])
    os.write(out, (json.dumps(said) + "\n").encode())


def ours(folder: Path, workers: int) -> dict[str, Any]:
    """The stages `collect`, `step@clean` and `step@merge_near_duplicates`."""
    from stillhouse.core.hashing import digest_file
    from stillhouse.recipes.data_steps import MergeNearDuplicates
    from stillhouse.recipes.rows import Clean, Collect, Source
    from stillhouse.stages import collect, step

    rows = Collect(source=Source(file="rows.jsonl"))
    plain = rows.model_dump(mode="json", by_alias=True)
    digest = digest_file(folder / "rows.jsonl")
    locations = {"base": str(folder), "source": "rows.jsonl"}
    merge = MergeNearDuplicates(on="text", group_words=GROUP_WORDS)
    work = [
        Work("collect", {"collect": plain, "content": digest}, collect.run),
        Work("clean", {"clean": Clean().model_dump(mode="json")}, step.run),
        Work("merge", {"step": merge.model_dump(mode="json")}, step.run),
    ]
    locations |= {"rows_by": "processes", "rows_workers": str(workers)}
    seconds, ended, last = {}, 0, folder
    for one in work:
        began = time.perf_counter()
        summary = one.run(folder / "ours", last, locations)
        seconds[one.name] = round(time.perf_counter() - began, 1)
        last = folder / "ours" / one.name
        ended += sum(count["merged"] for count in summary.get("flow", ()))
    return {"ended": ended, "seconds": seconds}


@dataclass(frozen=True, slots=True)
class Work:
    """One stage with its configuration."""

    name: str
    config: dict[str, Any]
    stage: Any

    def run(self, folder: Path, rows: Path, locations: dict[str, str]) -> dict[str, Any]:
        """Its summary; the rows that go on lie in a folder of its name."""
        from stillhouse.core.protocols import no_progress
        from stillhouse.stages.contract import StageRequest

        out, scratch = folder / self.name, folder / f"{self.name}.scratch"
        out.mkdir(parents=True)
        scratch.mkdir()
        request = StageRequest(
            "", "", "", self.config, {"rows": rows}, out, scratch, locations=locations
        )
        summary: dict[str, Any] = self.stage(request, no_progress).summary
        return summary


def idle(folder: Path, workers: int) -> dict[str, Any]:
    """The stage `step` with a step that keeps every row as it is; imports are not counted."""
    from stillhouse.data.readers import build_rows
    from stillhouse.data.storage import write_rows
    from stillhouse.recipes.data_steps import DropWhere
    from stillhouse.stages import step

    source = folder / "few"
    source.mkdir()
    made = ((f"few:{place}", {"id": place, "text": f"row {place}"}) for place in range(10_000))
    write_rows(source / "rows.parquet", build_rows(made))
    nothing = DropWhere(field="verdict", equals="no").model_dump(mode="json")
    wall, cpu = time.perf_counter(), time.process_time()
    work = Work("idle", {"step": nothing}, step.run)
    summary = work.run(folder / "ours", source, {"rows_workers": str(workers)})
    assert summary["rows"] == 10_000
    taken = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return {"times": {name: round(value, 3) for name, value in taken.items()}}


def datatrove(folder: Path, workers: int) -> dict[str, Any]:
    """Its formatter ftfy, then MinHash in four steps."""
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.dedup import minhash
    from datatrove.pipeline.formatters import FTFYFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    config = minhash.MinhashConfig(
        n_grams=GROUP_WORDS, num_buckets=BANDS, hashes_per_bucket=BAND_ROWS
    )
    at = {
        name: str(folder / "theirs" / name) for name in ("clean", "sigs", "buckets", "ids", "out")
    }
    minhash.load_word_tokenizer = lambda _: AtBlanks()
    signature = minhash.MinhashDedupSignature(at["sigs"], config)
    pipelines: Sequence[tuple[str, list[Any], int]] = (
        (
            "clean",
            [
                JsonlReader(str(folder / "parts")),
                FTFYFormatter(normalization="NFC"),
                JsonlWriter(at["clean"], compression=None),
            ],
            workers,
        ),
        ("sketch", [JsonlReader(at["clean"]), signature], workers),
        (
            "bands",
            [minhash.MinhashDedupBuckets(at["sigs"], at["buckets"], config=config)],
            BANDS,
        ),
        (
            "cluster",
            [minhash.MinhashDedupCluster(at["buckets"], at["ids"], config=config)],
            1,
        ),
        (
            "filter",
            [
                JsonlReader(at["clean"]),
                minhash.MinhashDedupFilter(at["ids"]),
                JsonlWriter(at["out"], compression=None),
            ],
            workers,
        ),
    )
    seconds = {}
    for name, pipeline, tasks in pipelines:
        began = time.perf_counter()
        logs = str(folder / "theirs" / "logs" / name)
        # Forked workers start at once, and their processor time is counted with their parent's.
        LocalPipelineExecutor(
            pipeline, tasks, min(workers, tasks), logging_dir=logs, start_method="fork"
        ).run()
        seconds[name] = round(time.perf_counter() - began, 1)
    kept = sum(_lines(path) for path in (folder / "theirs" / "out").glob("*.jsonl"))
    return {"ended": _lines(folder / "rows.jsonl") - kept, "seconds": seconds}


class AtBlanks:
    """Words as datatrove's tokenizers give them, cut at blanks."""

    def word_tokenize(self, text: str) -> list[str]:
        """The words."""
        return text.split()


def _lines(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(1 for _ in stream)


if __name__ == "__main__":
    spec = child_spec()
    if spec is None:
        main()
    else:
        child(spec)
