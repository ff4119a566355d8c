"""Analyzers over students of random weights: what holds whatever a student has learned."""

import json
from dataclasses import replace
from time import process_time

import pytest
from tests.tasks.songs.random_bundle import write_bundle

from stillhouse.core.errors import ArtifactError, CapacityError, InputError
from stillhouse.registry.versions import Registry
from stillhouse.tasks.songs.analyzer import (
    Analyzer,
    FineTunedGPTOSSAnalyzer,
    GPTOSSChristianAnalyzer,
)
from stillhouse.tasks.songs.criteria import CONCERN_LEVELS, VERDICTS
from stillhouse.tasks.songs.rows import generate_rows

SONGS = [row.fields for row in generate_rows(6, 5, 0.0)]


@pytest.fixture(scope="module", params=["qwen3", "gpt_oss"])
def bundle(request, tmp_path_factory, tokenizer, tokenizer_folder):
    folder = tmp_path_factory.mktemp(request.param)
    return write_bundle(request.param, tokenizer, tokenizer_folder, folder)


@pytest.fixture(scope="module")
def analyzer(bundle):
    return GPTOSSChristianAnalyzer(bundle, device="cpu")


def told(analysis):
    """All but the confidence, which rounds otherwise beside other songs."""
    return replace(analysis, confidence=0.0, review_reasons=())


def test_every_answer_has_a_score_a_verdict_and_a_level_and_says_whether_to_look(analyzer):
    for analysis in analyzer.analyze_songs_batch(SONGS):
        assert 0 <= analysis.score <= 100
        assert analysis.verdict in VERDICTS
        assert analysis.concern_level in CONCERN_LEVELS
        assert 0.0 <= analysis.confidence <= 1.0
        # It gives no rationale, so somebody has to look.
        assert "no rationale is given" in analysis.review_reasons
        assert analysis.needs_review
        assert json.loads(json.dumps(analysis.as_dict()))["criteria"] == "one Protestant reading"


def test_a_batch_is_the_same_as_one_song_after_another(analyzer):
    batch = analyzer.analyze_songs_batch(SONGS)

    single = [analyzer.analyze_song(song) for song in SONGS]

    assert list(map(told, batch)) == list(map(told, single))
    for one, other in zip(batch, single, strict=True):
        assert one.confidence == pytest.approx(other.confidence, abs=1e-3)
    assert analyzer.analyze_songs_batch([]) == []


@pytest.mark.long
def test_a_batch_of_fifty_takes_no_longer_than_one_song_after_another(bundle):
    songs = [row.fields for row in generate_rows(50, 6, 0.0)]
    since = process_time()
    analyzer = FineTunedGPTOSSAnalyzer(bundle, device="cpu")
    analyzer.analyze_song(songs[0])
    loaded = process_time() - since

    since = process_time()
    batch = analyzer.analyze_songs_batch(songs)
    together = process_time() - since
    since = process_time()
    single = [analyzer.analyze_song(song) for song in songs]
    apart = process_time() - since

    print(f"\n  loaded {loaded:.1f} s, 50 together {together:.1f} s, apart {apart:.1f} s")
    assert len(batch) == len(songs)
    assert [one.score for one in batch] == [one.score for one in single]
    assert together <= 1.2 * apart
    assert loaded < 30


def test_three_texts_a_mapping_and_a_tuple_mean_the_same_song(analyzer):
    song = {name: SONGS[0][name] for name in ("title", "artist", "lyrics")}

    found = [
        analyzer.analyze_song(*song.values()),
        analyzer.analyze_song(song),
        analyzer.analyze_songs_batch([tuple(song.values())])[0],
    ]

    assert found[0] == found[1] == found[2]
    # A genre stands in the prompt, so it may change the answer; unknown it is written so.
    assert found[0] == analyzer.analyze_song({**song, "genre": "unknown"})


@pytest.mark.parametrize("lyrics", ["", "  \n", "[Instrumental]", "La la la " * 10_000])
def test_a_song_without_words_is_neither_praised_nor_blamed(analyzer, lyrics):
    analysis = analyzer.analyze_song("Title", "Artist", lyrics)

    assert (analysis.score, analysis.verdict, analysis.themes) == (50.0, "ACCEPTABLE", ())
    assert analysis.scripture_references == ()
    assert analysis.review_reasons == ("there are no words to judge",)


def test_thirty_thousand_words_get_an_answer_that_says_what_was_not_read(analyzer):
    analysis = analyzer.analyze_song("Title", "Artist", "the river runs " * 10_000)

    assert analysis.verdict in VERDICTS
    assert any("characters of the lyrics were not read" in one for one in analysis.review_reasons)


@pytest.mark.parametrize("texts", [("a", "b", None), ("a", None, "c"), (None, "b", "c"), ("a",)])
def test_what_is_no_text_is_a_type_error(analyzer, texts):
    with pytest.raises(TypeError, match="NoneType, not text"):
        analyzer.analyze_song(*texts)


def test_the_song_that_cannot_be_asked_about_is_named(analyzer):
    with pytest.raises(InputError, match="song 1 has no 'lyrics'"):
        analyzer.analyze_songs_batch([SONGS[0], {"title": "a", "artist": "b"}])
    with pytest.raises(TypeError, match="song 0 is str, not a mapping"):
        analyzer.analyze_songs_batch(["Amazing Grace"])


def test_a_copy_of_the_criteria_changes_verdict_and_level_of_a_score(bundle, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "name: mine\ncriteria: []\nverdicts: {0: ACCEPTABLE}\nconcern_levels: {0: Low}\n"
        "review: {confidence_below: 0.0}\n"
    )

    analysis = Analyzer(bundle, "cpu", criteria=mine).analyze_song("a", "b", "")

    assert (analysis.criteria, analysis.verdict, analysis.concern_level) == (
        "mine", "ACCEPTABLE", "Low",
    )  # fmt: skip


def test_a_registered_version_answers_as_its_bundle_does(analyzer, bundle, tmp_path):
    registry = Registry(tmp_path / "registry")
    facts = {"numbers": {}, "verdict": {}, "made_by": {}}
    version = registry.publish("songs", bundle, **facts)

    found = FineTunedGPTOSSAnalyzer.of_version("songs", runs=tmp_path, device="cpu")

    assert told(found.analyze_song(SONGS[0])) == told(analyzer.analyze_song(SONGS[0]))
    named = Analyzer.of_version("songs", version.version_id, tmp_path, device="cpu")
    assert isinstance(named, Analyzer)
    with pytest.raises(ArtifactError, match="no version of 'hymns'"):
        Analyzer.of_version("hymns", runs=tmp_path)


def test_what_is_no_bundle_or_no_device_is_said(bundle, tmp_path):
    assert Analyzer(bundle / "merged", "cpu").device == "cpu"
    with pytest.raises(ArtifactError, match="holds none of merged, int8, adapter"):
        Analyzer(tmp_path)
    (tmp_path / "merged").mkdir()
    with pytest.raises(ArtifactError, match=r"has no prompt\.json"):
        Analyzer(tmp_path)
    with pytest.raises(CapacityError, match='there is no device "tpu" here'):
        Analyzer(bundle, "tpu")
