"""What `stillhouse targets` prints, for people or as JSON."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

from stillhouse.cli.tables import in_bytes, in_count, table
from stillhouse.runner.stores import StoredExample, StoreView, TargetView, VerifiedStore

if TYPE_CHECKING:
    from stillhouse.runner.forecast import Forecast, ForecastLine
    from stillhouse.targets.importing.store import ImportedStore

_ENTRIES = 5
"""Kept entries, and drawn tokens, of a token that fit a line."""
_SHORT_DIGEST = 12


def _put(text: str) -> None:
    sys.stdout.write(text + "\n")


def _put_json(value: Any) -> None:
    _put(json.dumps(value, indent=1, ensure_ascii=False))


def show_store(view: StoreView, *, as_json: bool) -> None:
    """What a store holds."""
    if as_json:
        _put_json(view.as_json())
        return
    header = view.header
    rows = [
        ("store", view.folder),
        ("scored by", f"{header['engine']}, in {header['dtype']}"),
        ("teacher's weights", _short(header["weights_digest"])),
        ("tokenizer", _short(header["tokenizer_digest"])),
        ("template", _short(header["template_digest"])),
        ("vocabulary", in_count(header["vocab_size"])),
        ("codec", f"{header['codec']}: {_in_words(header)}"),
        ("kd_temperatures", ", ".join(f"{value:g}" for value in header["kd_temperatures"])),
        ("examples", in_count(view.examples)),
        ("answer tokens", in_count(view.tokens)),
        ("files", f"{in_count(view.shards)}, format {header['format_version']}"),
        ("on disk", f"{in_bytes(view.num_bytes)}, {view.bytes_per_token:.1f} bytes a token"),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        _put(f"{name:<{width}}  {value}")


def _in_words(header: dict[str, Any]) -> str:
    kept = f"the {header['top_k']} likeliest tokens" if header["top_k"] else ""
    drawn = f"{header['num_draws']} draws" if header.get("num_draws") else ""
    if header["top_k"] == header["vocab_size"]:
        kept = "every token"
    return " and ".join(part for part in (kept, drawn) if part)


def _short(digest: str) -> str:
    return digest[:_SHORT_DIGEST] or "not known"


def show_example(found: StoredExample, *, as_json: bool) -> None:
    """What the teacher said about the tokens of one example."""
    if as_json:
        _put_json(found.as_json())
        return
    _put(f"example {found.example_id}, {in_count(found.num_tokens)} answer tokens")
    for position, token in enumerate(found.tokens):
        _put(
            f"{position:>5}  {_name(token.token_id, token.text)}  logprob {token.logprob:.4f}, "
            f"tail {token.tail:.2e}"
        )
        _put_entries(token)
    left = found.num_tokens - len(found.tokens)
    if left:
        _put(f"and {in_count(left)} more tokens (--tokens 0 prints all of them)")


def _put_entries(token: TargetView) -> None:
    kept = [f"{_name(item.token_id, item.text)} {item.logprob:.4f}" for item in token.kept]
    drawn = [f"{_name(item.token_id, item.text)} x{item.count}" for item in token.drawn]
    for title, entries in (("kept", kept), ("drawn", drawn)):
        if entries:
            more = f", {len(entries) - _ENTRIES} more" if len(entries) > _ENTRIES else ""
            _put(f"       {title:<5} {', '.join(entries[:_ENTRIES])}{more}")


def _name(token_id: int, text: str) -> str:
    return f"{token_id} {text!r}" if text else str(token_id)


def show_verified(verified: VerifiedStore, *, as_json: bool) -> None:
    """How much of a store was compared."""
    if as_json:
        _put_json(verified.as_json())
        return
    _put(
        f"{verified.folder}: whole; {in_count(verified.examples)} examples in "
        f"{in_count(verified.shards)} files ({in_bytes(verified.num_bytes)}) have the checksums "
        "that were written with them"
    )


def show_imported(imported: ImportedStore, *, as_json: bool) -> None:
    """What was brought in."""
    if as_json:
        _put_json(dataclasses.asdict(imported))
        return
    _put(
        f"{imported.folder}: {in_count(imported.examples)} examples, "
        f"{in_count(imported.tokens)} trained tokens, engine {imported.engine}"
    )
    _put(
        f"{imported.top_k} entries a token hold {imported.kept_mass:.4f} of the probability; "
        "kd_temperature 1 alone"
    )


def _range(line: ForecastLine) -> str:
    low, high = round(line.low_bytes_per_token), round(line.high_bytes_per_token)
    return in_count(low) if low == high else f"{in_count(low)} to {in_count(high)}"


def show_forecast(found: Forecast, *, as_json: bool) -> None:
    """How large a recipe's targets will be."""
    if as_json:
        _put_json(found.as_json())
        return
    _put(
        f"{found.name}: {in_count(found.examples)} examples, {in_count(found.tokens)} answer "
        f"tokens (estimate), vocabulary {in_count(found.vocab_size)}"
    )
    rows = [
        (
            f"{line.words}{' (the recipe)' if line.is_chosen else ''}",
            _range(line),
            in_bytes(line.num_bytes),
        )
        for line in found.lines
    ]
    _put(table(("codec", "bytes a token", "in all"), rows))
    _put(
        "codecs are entropy-coded, so that the text decides: ranges are estimates, sums their "
        "middle"
    )
    _put(f"free where the run's files go: {in_bytes(found.free_disk_bytes)}")
