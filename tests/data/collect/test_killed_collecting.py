"""A collection that is killed goes on where it was: the same songs, and nothing is asked twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from tests.data.collect.servers import SongServer
from tests.data.collect.songs_on_trial import make_songs

CHILD = """
import json, sys
from pathlib import Path
from tests.data.collect.collecting import GENRE_QUERIES, gather, genius, hymns, lrclib
from tests.data.collect.collecting import musixmatch, paced, plan_of
from stillhouse.data.collect.song_rows import fields_of
from stillhouse.recipes.collection import Query
from stillhouse.recipes.collection_plans import Range

url, folder, pause_s = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
sources = {
    "lrclib": lrclib(url, *GENRE_QUERIES, Query(words="christian", label="christian")),
    "genius": genius(url, Query(words="blues", genre="blues"), Query(words="folk", genre="folk")),
    "mxm": musixmatch(url, Query(words="metal")),
    "hymns": hymns(url),
}
quotas = {
    "lrclib": Range(at_least=40, at_most=40),
    "genius": Range(at_least=30, at_most=30),
    "mxm": Range(at_least=20, at_most=20),
    "hymns": Range(at_least=30, at_most=30),
}
labels = {"christian": Range(at_least=15, at_most=15), "secular": Range(at_least=105, at_most=105)}
plan = plan_of(120, sources=quotas, labels=labels)
selection, sent = gather(folder, plan, sources, manners=paced(pause_s))
kept = [fields_of(one) | {"fetched_at": ""} for one in selection.kept]
told = {"kept": kept, "counts": selection.counts, "missing": selection.missing()}
(folder / "result.json").write_text(json.dumps(told))
"""


def child(url, folder, pause_s):
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(["src", "."])}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, url, str(folder), str(pause_s)], env=environment
    )


def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.long
def test_ten_kills_change_no_song_and_cost_one_request_each_at_most(tmp_path):
    draw = random.Random(7)
    with SongServer(make_songs(680)) as server:
        assert child(server.url, tmp_path / "whole", 0.0).wait(120) == 0
        undisturbed = len(server.seen)
        server.seen.clear()
        kills = 0
        while kills < 10:
            process = child(server.url, tmp_path / "killed", 0.03)
            before = len(server.seen)
            wanted = before + draw.randint(1, 8)
            while len(server.seen) < wanted and process.poll() is None:
                time.sleep(0.002)
            assert process.poll() is None, "the collection was done before the tenth kill"
            time.sleep(draw.uniform(0.0, 0.05))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
        assert child(server.url, tmp_path / "killed", 0.0).wait(120) == 0
        asked = Counter((one.path, tuple(one.query.items())) for one in server.seen)

    whole, killed = result(tmp_path / "whole"), result(tmp_path / "killed")
    print(
        f"\n{undisturbed} requests undisturbed, {sum(asked.values())} with {kills} kills; "
        f"{len(killed['kept'])} songs, quotas {killed['counts']['sources']}"
    )
    assert killed == whole
    assert killed["missing"] == []
    assert killed["counts"]["labels"] == {"secular": 105, "christian": 15}
    assert sum(asked.values()) <= undisturbed + kills
