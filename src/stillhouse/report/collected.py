"""What a collection of songs holds, for a page."""

from __future__ import annotations

from pydantic import Field

from stillhouse.report.record import Content, Number, Text


class CollectedSource(Content):
    """What one source brought.

    Attributes:
        offered: songs.
        kept: of them.
        quality: share of those with lyrics that were good enough.
        reasons: why the others were not kept.
        requests: by outcome: `ok`, `no_lyrics`, `not_found`, `blocked`, `error`.
        stopped: why it was asked no more; empty where it was not stopped.
    """

    offered: int
    kept: int
    quality: Number
    reasons: dict[Text, int] = Field(default_factory=dict)
    requests: dict[Text, int] = Field(default_factory=dict)
    stopped: Text = ""


class CollectionRule(Content):
    """One rule of the plan, and what the collection is."""

    rule: Text
    value: Number
    at_least: Number
    passed: bool


class CollectionVerdict(Content):
    """Whether the next plan may start."""

    passed: bool
    rules: tuple[CollectionRule, ...]


class CollectionView(Content):
    """A collection up to its plan.

    Attributes:
        songs: that were kept.
        artists: different ones.
        sources: by the recipe's name.
        genres: songs of each.
        labels: likewise.
        verdict: what the plan's rules say.
    """

    plan: Text
    songs: int
    artists: int
    sources: dict[Text, CollectedSource]
    genres: dict[Text, int] = Field(default_factory=dict)
    labels: dict[Text, int] = Field(default_factory=dict)
    verdict: CollectionVerdict
