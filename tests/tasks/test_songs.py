"""Answers about songs are read, unsupported claims are found, and the rules show their words."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Example, Message
from stillhouse.core.sampling import Sampling
from stillhouse.evals.answers import score_objects
from stillhouse.evals.error_categories import CATEGORIES, error_columns
from stillhouse.evals.fields import score_fields
from stillhouse.evals.hallucination import KINDS
from stillhouse.evals.judged import Judged
from stillhouse.evals.scores import Scores
from stillhouse.recipes.annotations import FAULTS
from stillhouse.recipes.answers import AnswerKind
from stillhouse.tasks.songs.analysis import has_words, lyrics_of, read_analysis
from stillhouse.tasks.songs.criteria import VERDICTS
from stillhouse.tasks.songs.lexicon import lexicon, plain_text
from stillhouse.tasks.songs.measure import canonical_themes, song_columns
from stillhouse.tasks.songs.probes import edge_cases, probe_examples, probes, score_probes
from stillhouse.tasks.songs.rules import RuleBaseline, judge
from stillhouse.tasks.songs.unsupported import find_unjudged, find_unsupported

ROOT = Path(__file__).resolve().parents[2]
HYMN = "O Lord, your grace has found me\nI lift my voice in praise\nYou washed my sin away"
VERSES = {("John", 3, 16): "For God so loved the world, that he gave his only begotten Son"}


def analysis(**fields):
    return read_analysis(json.dumps({"verdict": "ACCEPTABLE", "score": 50} | fields))


def kinds(lyrics, verses=None, **fields):
    return [found.kind for found in find_unsupported(analysis(**fields), lyrics, verses)]


def test_an_analysis_is_read_under_both_names_of_its_fields():
    one = analysis(themes=["grace"], scripture_references=["Eph 2:8"])
    other = analysis(biblical_themes=["grace"], supporting_scripture=["Eph 2:8"])
    assert one == other
    assert one.themes == ("grace",)


@pytest.mark.parametrize("text", ["", "no json", "[1]", "null", '"RECOMMENDED"'])
def test_what_is_no_object_is_no_analysis(text):
    assert read_analysis(text) is None


def test_values_outside_of_their_lists_and_scales_are_not_read():
    found = analysis(verdict="SPLENDID", score=101, concern_level="very low", themes="joy")
    assert (found.verdict, found.score) == ("", None)
    assert (found.concern_level, found.themes) == ("Very Low", ("joy",))
    assert analysis(score=True).score is None
    assert analysis(score="80").score is None
    assert analysis(verdict="not recommended").verdict == "NOT_RECOMMENDED"


@pytest.mark.parametrize(
    "asked",
    [
        "Analyze the song 'A' by 'B' with the following lyrics:\n\none\ntwo",
        "Title: A\nArtist: B\nGenre: C\nLyrics:\none\ntwo",
        "one\ntwo",
    ],
)
def test_lyrics_are_found_in_a_prompt(asked):
    example = Example("1", "holdout", (Message("user", asked),), None)
    assert lyrics_of(example) == "one\ntwo"


def test_markers_and_syllables_are_no_words():
    for lyrics in ("", "\n ", "[Instrumental]", "(Verse 1)\nLa la la, ooh yeah", "...", "12 34"):
        assert not has_words(lyrics)
    for lyrics in ("Rain", "[Verse 1]\nRain", "夜の駅", "La pluie"):
        assert has_words(lyrics)


def test_scripture_that_does_not_exist_is_found_in_entries_and_in_explanations():
    assert kinds(HYMN, scripture_references=["Eph 2:8", "Psalm 103:12"]) == []
    assert kinds(HYMN, scripture_references=["Eph 2:99"]) == ["scripture"]
    assert kinds(HYMN, scripture_references=["Hezekiah 3:16"]) == ["scripture"]
    assert kinds(HYMN, explanation="It echoes Jude 3:1.") == ["scripture"]


def test_words_that_the_verse_does_not_say_are_found():
    true = 'John 3:16: "For God so loved the world that he gave his only Son"'
    false = 'John 3:16: "Money answers everything and wine makes life merry"'
    assert kinds(HYMN, VERSES, scripture_references=[true]) == []
    assert kinds(HYMN, VERSES, scripture_references=[false]) == ["quote"]
    assert kinds(HYMN, scripture_references=[false]) == []
    assert kinds(HYMN, VERSES, scripture_references=["John 3:16 - that love is a gift"]) == []
    told = 'As John 3:16 says, "{}", grace is a gift.'
    assert kinds(HYMN, VERSES, explanation=told.format("God so loved the world")) == []
    assert kinds(HYMN, VERSES, explanation=told.format("wine makes all life merry")) == ["quote"]


def test_words_of_the_lyrics_are_no_quotation_of_the_verse():
    told = '"You washed my sin away" is what John 3:16 is about.'
    assert kinds(HYMN, VERSES, explanation=told) == []
    assert kinds("The bus was late", VERSES, explanation=told) == ["quote"]


def test_an_entry_that_says_none_is_no_entry():
    assert analysis(scripture_references=["None", "N/A", "-", ""], themes=["none"]) == analysis()


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_judged_and_any_answer_is_looked_through(lyrics, said):
    judged = read_analysis(judge(lyrics).answer())
    assert judged.verdict in VERDICTS
    assert find_unsupported(judged, lyrics) == []
    find_unsupported(analysis(themes=[said], scripture_references=[said], summary=said), lyrics)


def test_a_theme_needs_a_word_in_the_lyrics():
    assert kinds(HYMN, themes=["grace", "Praise", "God's forgiveness", "repentance"]) == []
    assert kinds("The bus was late and so were you", themes=["grace"]) == ["theme"]
    assert kinds("The bus was late and so were you", themes=["God's grace", "atonement"]) == [
        "theme",
        "theme",
    ]
    assert kinds("Die Gnade trägt, das Kreuz steht fest", themes=["grace", "cross"]) == []


def test_unknown_themes_and_titles_of_passages_are_told_but_not_judged():
    said = {"themes": ["ecology", "grace"], "scripture_references": ["The Beatitudes", "Jude"]}
    assert find_unjudged(analysis(**said)) == ["ecology", "The Beatitudes"]
    assert kinds(HYMN, **said) == []


def test_nothing_can_be_claimed_of_lyrics_without_words():
    assert kinds("[Instrumental]") == []
    assert kinds("[Instrumental]", themes=["joy"], scripture_references=["Ps 150:3"]) == [
        "claim",
        "claim",
    ]
    assert kinds("", verdict="RECOMMENDED", score=99) == ["claim", "claim"]


def test_persons_of_the_bible_must_be_in_the_lyrics_unless_they_are_denied():
    lyrics = "You lift me up when the night is long"
    assert kinds(lyrics, explanation="The singer thanks Jesus for help.") == ["biblical"]
    assert kinds(lyrics, explanation="It does not mention Jesus at all.") == []
    assert kinds(HYMN, explanation="The singer thanks Jesus for help.") == []
    assert kinds(lyrics, explanation="Like Noah in the flood") == ["biblical"]


def test_themes_of_two_names_are_one():
    assert canonical_themes(["Thanksgiving", "Ecology!"]) == {"gratitude", "ecology"}


def example(lyrics, **known):
    asked = f"Lyrics:\n{lyrics}"
    answer = json.dumps({"verdict": "ACCEPTABLE", "score": 50} | known)
    return Example(asked, "holdout", (Message("user", asked),), answer)


def test_all_columns_of_songs_come_from_texts():
    # given a right answer, one that overrates and invents, one that cannot be read
    examples = [
        example(HYMN, verdict="RECOMMENDED", score=97, themes=["grace"]),
        example("The bus was late", score=50, verified_christian=False),
        example("The rain was cold", score=50),
    ]
    texts = [
        examples[0].answer,
        json.dumps({"verdict": "RECOMMENDED", "score": 99, "themes": ["grace"]}),
        "I am sorry",
    ]
    # when
    columns = song_columns(examples, texts, baseline=[item.answer for item in examples])
    # then
    assert columns["hallucination"].tolist() == [0, 1, 0]
    assert columns["category:false_positive_christian"].tolist() == [0, 1, 0]
    assert columns["category:unreadable"].tolist() == [0, 0, 1]
    assert columns["christian_right"].tolist() == [1, 0, 0]
    assert columns["worsened"].tolist() == [0, 1, 1]
    Scores(("1", "2", "3"), columns)


def test_a_field_that_is_called_as_a_category_shares_no_column_with_it():
    # given fields named after every category
    kind = AnswerKind(kind="number", low=0.0, high=100.0)
    answers = [json.dumps(dict.fromkeys(CATEGORIES, 50))]
    of_fields = score_fields(dict.fromkeys(CATEGORIES, kind), answers, answers, as_objects=True)
    of_objects = score_objects(answers, answers)
    judged = [Judged(score=50.0)]
    # when
    of_categories = error_columns(judged, judged)
    # then
    assert of_fields.keys().isdisjoint(of_categories)
    assert of_objects.keys().isdisjoint(of_categories)


def test_references_with_scores_of_parts_of_one_are_refused():
    with pytest.raises(InputError, match=r"from 0\.3 to 0\.95"):
        song_columns([example("a", score=0.95), example("b", score=0.3)], ["{}", "{}"])


def test_every_theme_leans_on_themes_that_exist_and_is_called_by_its_own_name():
    themes = lexicon().themes
    for theme in themes.values():
        assert set(theme.near) < set(themes)
        assert theme.name in theme.called
        assert {plain_text(word) for word in theme.called} == theme.called


def test_the_rules_show_the_words_that_they_counted():
    found = judge(HYMN)
    assert found.verdict == "RECOMMENDED"
    assert set(found.devotion) == {"lord", "grace", "praise", "sin"}
    assert found.themes["worship"] == ["praise"]
    assert found.concern_level == "Very Low"
    drunk = judge("Whiskey in the bottle and the bottle in my hand")
    assert drunk.concerns == {"alcohol": ["whiskey", "bottle"]}
    assert drunk.concern_level == "Medium"
    assert drunk.score == 50 - 2 * 6


def test_the_rules_take_back_what_is_denied_and_what_a_love_song_says():
    assert judge("There is no grace for you").devotion == {}
    love = judge("Baby your kiss is holy, I worship your lips")
    assert max(love.devotion.values()) < 3
    assert love.verdict == "ACCEPTABLE"


def test_the_rules_answer_every_example_in_order_as_any_generator():
    # given
    examples = probe_examples(probes())
    # when
    said = list(RuleBaseline().generate(examples, Sampling(512)))
    # then
    assert [one.example_id for one in said] == [item.example_id for item in examples]
    assert all(read_analysis(one.text).verdict in VERDICTS for one in said)
    assert {one.finish for one in said} == {"stop"}
    cut = next(iter(RuleBaseline().generate(examples[:1], Sampling(2))))
    assert (cut.finish, cut.num_tokens) == ("length", 2)


def test_the_rules_withstand_every_edge_case():
    asked = edge_cases()
    said = [one.text for one in RuleBaseline().generate(probe_examples(asked), Sampling(512))]
    columns = score_probes(asked, said)
    assert columns["probe_right:edge_case"].all()


def test_an_edge_case_is_failed_by_claims_and_by_what_cannot_be_read():
    asked = edge_cases()[:3]
    texts = ['{"verdict": "ACCEPTABLE", "score": 50, "themes": ["joy"]}', "sorry", "{}"]
    assert not score_probes(asked, texts)["probe_right:edge_case"].any()


def test_probes_are_many_different_and_within_the_schema():
    lines = [probe.lyrics for probe in probes()]
    assert len(set(lines)) == len(lines) >= 60
    assert len({probe.name for probe in probes()}) == len(lines)
    for probe in probes():
        assert probe.verdicts <= set(VERDICTS)
        assert probe.reading in ("christian", "secular")
        assert probe.sentiment in ("", "positive", "negative")
    german = [probe for probe in probes() if probe.category.startswith("german")]
    assert len(german) >= 10


def test_probes_tell_a_counter_of_words_from_a_reader():
    # given the rules, and somebody who answers as expected
    asked = probes()
    counted = [one.text for one in RuleBaseline().generate(probe_examples(asked), Sampling(512))]
    read = [
        json.dumps(
            {
                "verdict": sorted(probe.verdicts)[0],
                "score": 50,
                "themes": ["faith"] if probe.reading == "christian" else [],
                "sentiment": probe.sentiment,
            }
        )
        for probe in asked
    ]
    # when
    rules, reader = score_probes(asked, counted), score_probes(asked, read)
    # then
    for category in ("drug_metaphor", "negation", "irony", "sentiment"):
        assert reader[f"probe_right:{category}"].sum() == reader[f"probe:{category}"].sum()
        assert rules[f"probe_right:{category}"].sum() < rules[f"probe:{category}"].sum() / 2


def test_hymns_are_told_from_other_verse_by_the_rules(shared_file):
    # given 147 hymns, and 892 lines of other verse
    lines = shared_file("songs/openhymnal_a.jsonl").read_text("utf-8").splitlines()
    hymns = ["\n".join(json.loads(line)["verses"]) for line in lines]
    verse = shared_file("songs/poem_sentiment_train.tsv").read_text("utf-8").splitlines()
    others = [line.split("\t")[1] for line in verse]
    # when
    found, strange = [judge(text) for text in hymns], [judge(text) for text in others]
    recommended = [
        sum(one.verdict == "RECOMMENDED" for one in group) / len(group)
        for group in (found, strange)
    ]
    # then: a low bar, that of a list of words
    print(f"recommended: {recommended[0]:.3f} of hymns, {recommended[1]:.3f} of other lines")
    assert recommended[0] > 0.85
    assert recommended[1] < 0.02
    assert sum(one.score >= 95 for one in found) / len(found) > 0.75
    assert not any(one.score >= 95 for one in strange)


def test_topics_that_people_gave_to_hymns_are_mostly_supported_and_of_other_verse_not(shared_file):
    # given the topics of each hymn, and each of the lexicon's themes claimed of each other line
    lines = shared_file("songs/openhymnal_a.jsonl").read_text("utf-8").splitlines()
    claims = [
        (topic.split(" [")[0], "\n".join(row["verses"]))
        for row in map(json.loads, lines)
        for topic in row["topics"].strip("{}").split("}, {")
    ]
    verse = shared_file("songs/poem_sentiment_train.tsv").read_text("utf-8").splitlines()[::9]
    wrong = [(theme, line.split("\t")[1]) for theme in lexicon().themes for line in verse]
    # when
    false_alarms = [bool(kinds(lyrics, themes=[topic])) for topic, lyrics in claims]
    caught = ["theme" in kinds(lyrics, themes=[theme]) for theme, lyrics in wrong]
    # then
    print(f"{sum(false_alarms)} of {len(claims)} human topics flagged, "
          f"{sum(caught)} of {len(wrong)} claims of other lines")  # fmt: skip
    assert sum(false_alarms) / len(false_alarms) < 0.05
    assert sum(caught) / len(caught) > 0.9


def test_the_page_about_songs_names_every_kind_and_category():
    page = (ROOT / "docs" / "how-to" / "songs.md").read_text("utf-8")
    _, looked_at = page.split("## How answers are looked at")
    cells = re.findall(r"^\| (`.+?`) \|", looked_at, re.M)
    named = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    count = len(KINDS) + len(CATEGORIES)
    assert named[:count] == [*KINDS, *CATEGORIES]
    assert sorted(named[count:]) == sorted(FAULTS)
    categories = {probe.category for probe in probes()}
    assert f"{len(probes())} lines of our own in {len(categories)} categories" in page
    assert f"and {len(edge_cases())} edge cases" in page
