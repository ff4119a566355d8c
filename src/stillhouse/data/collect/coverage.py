"""What a collection holds, as a table, and what its plan's rules say of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stillhouse.data.collect.selection import Selection
from stillhouse.recipes.collection_plans import GENRES

_SAMPLE = 100
"""How many Christian songs a curator looks at."""


def coverage_of(selection: Selection) -> dict[str, Any]:
    """Counts by source, genre and label, and the verdict; JSON values, equal for equal replies."""
    plan, kept = selection.plan, selection.kept
    rules = list(_rules(selection))
    return {
        "plan": plan.name,
        "songs": len(kept),
        "artists": len(selection.artists),
        "sources": {
            name: {
                "offered": tally.offered,
                "kept": tally.kept,
                "quality": _share(tally.good, tally.good + tally.poor),
                "reasons": dict(sorted(tally.reasons.items())),
                "requests": dict(sorted(tally.requests.items())),
                "stopped": tally.stopped,
            }
            for name, tally in selection.tallies.items()
        },
        **{
            kind: dict(sorted(selection.counts[kind].items(), key=lambda one: (-one[1], one[0])))
            for kind in ("genres", "labels")
        },
        "verdict": {
            "passed": all(rule["passed"] for rule in rules),
            "rules": rules,
        },
    }


def _rules(selection: Selection) -> Iterator[dict[str, Any]]:
    plan, quality = selection.plan, selection.plan.quality
    yield _rule("songs", len(selection.kept), plan.songs.at_least)
    for kind, quotas in (
        ("sources", plan.sources),
        ("genres", plan.genres),
        ("labels", plan.labels),
    ):
        for name, quota in quotas.items():
            yield _rule(f"{kind}.{name}", selection.counts[kind][name], quota.at_least)
    for name, tally in selection.tallies.items():
        if tally.good + tally.poor:
            share = _share(tally.good, tally.good + tally.poor)
            yield _rule(f"quality.{name}", share, quality.share_at_least)
    yield from _genre_rules(selection)
    if quality.artists_at_least:
        yield _rule("artists", len(selection.artists), quality.artists_at_least)
    christian = [one for one in selection.kept if one.song.kind == "christian"][:_SAMPLE]
    if christian:
        least = min(one.confidence for one in christian)
        yield _rule("christian_confidence", least, quality.christian_confidence_at_least)
        yield _rule("christian_with_a_theme", _share(sum(map(_has, christian)), len(christian)), 1)


def _genre_rules(selection: Selection) -> Iterator[dict[str, Any]]:
    quality, counts = selection.plan.quality, selection.counts["genres"]
    total = max(1, len(selection.kept))
    for genre, least in quality.genre_shares_at_least.items():
        yield _rule(f"genre_share.{genre}", _share(counts[genre], total), least)
    if quality.genres_at_least:
        present = [
            genre for genre in GENRES if counts[genre] / total >= quality.genre_share_at_least
        ]
        yield _rule("genres", len(present), quality.genres_at_least)


def _has(one: Any) -> bool:
    return bool(one.themes)


def _rule(name: str, value: float, at_least: float) -> dict[str, Any]:
    return {"rule": name, "value": value, "at_least": at_least, "passed": value >= at_least}


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def why_refused(verdict: dict[str, Any]) -> str:
    """The rules that a verdict did not pass, in words."""
    return "; ".join(
        f"{rule['rule']} is {rule['value']:g}, at least {rule['at_least']:g} is asked for"
        for rule in verdict["rules"]
        if not rule["passed"]
    )
