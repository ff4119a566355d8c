"""Data sets of axolotl: lists of log-probabilities beside conversations, or prepared with ids.

| columns | row r of the lists describes |
|---|---|
| a conversation, `logprobs` with `token: "token_id:7"` | token T - R + r, of R rows and T tokens |
| a conversation, `logprobs` of numbers, `target_token_ids` | likewise |
| `input_ids`, `labels`, `target_logprobs`, `target_token_ids`, `target_mask` | token r + 1, or r |

The first two hold what the teacher said; preparing divides by the mass that is kept, which is
lost. Rows for R trained tokens belong to these, also where the template writes a line break
behind them.

Legend: T tokens, R rows of lists, P trained tokens, E entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Message
from stillhouse.targets.importing.scored import ScoredRow
from stillhouse.targets.importing.sources import Record, column_names, read_records, source_files
from stillhouse.tokens.encode import encode_conversation
from stillhouse.tokens.template import ChatTemplate
from stillhouse.tokens.tokenizer import TextTokenizer

Alignment = Literal["current", "legacy"]
_PREPARED = ("input_ids", "labels", "target_logprobs", "target_token_ids", "target_mask")
_IDS = "target_token_ids"
_NOT_LEARNED = -100
_PADDING = -1e8  # axolotl fills lists with -1e9, and with minus infinity

Entries = list[tuple[int, float]]
"""Token id and log-probability."""


@dataclass(frozen=True, slots=True)
class AxolotlFields:
    """What axolotl's own configuration says of a data set.

    Attributes:
        messages: its `field_messages`.
        logprobs: its `logprobs_field`.
        alignment: its `kd_prepared_targets_alignment`; of prepared columns alone.
    """

    messages: str = "messages"
    logprobs: str = "logprobs"
    alignment: Alignment = "current"


def read_axolotl(
    source: Path, fields: AxolotlFields, tokenizer: TextTokenizer
) -> Iterator[ScoredRow]:
    """The rows of a data set of axolotl.

    Args:
        source: its file or folder.
        fields: the names of its columns.
        tokenizer: that its ids belong to; its chat template writes the conversations.

    Yields:
        Each row that trains a token.

    Raises:
        InputError: other columns, or a row whose lists do not fit its tokens; names it.
        ModelError: the tokenizer has no chat template, and the source holds conversations.
    """
    conversation = (fields.messages, fields.logprobs)
    wanted = (*_PREPARED, *conversation)
    kinds = {path: _kind(column_names(path), conversation, path) for path in source_files(source)}
    template = ChatTemplate.of(tokenizer) if "conversation" in kinds.values() else None
    for record in read_records(source, wanted):
        if fields.logprobs in record and template:
            row = _read_conversation(record, fields, tokenizer, template)
        else:
            row = _read_prepared(record, fields.alignment)
        if row.is_trained.any():
            yield row


def _kind(names: Sequence[str], conversation: Sequence[str], path: Path) -> str:
    if set(conversation) <= set(names):
        return "conversation"
    if set(_PREPARED) <= set(names):
        return "prepared"
    raise InputError(
        f"{path} has neither the columns {' and '.join(conversation)}, nor {', '.join(_PREPARED)}",
        f"it has: {', '.join(names)}; name its own with --messages-field and --logprobs-field",
    )


def _read_prepared(record: Record, alignment: Alignment) -> ScoredRow:
    ids, labels = record.numbers("input_ids"), record.numbers("labels")
    columns = [record.plain(name) for name in ("target_token_ids", "target_logprobs")]
    masks = record.plain("target_mask")
    if any(values is None or len(values) != len(ids) for values in (labels, masks, *columns)):
        raise record.wrong(
            f"{len(ids)} tokens with lists of other lengths; a row of target_token_ids, "
            "target_logprobs and target_mask, and a label, for each token are"
        )
    behind = 1 if alignment == "current" else 0
    is_trained = labels != _NOT_LEARNED
    is_trained[:1] = False
    entries: list[Entries] = []
    for place in np.flatnonzero(is_trained).tolist():
        row = place - behind
        rows = (columns[0][row], columns[1][row], masks[row])
        kept = _unpadded(record, row, *rows)
        if kept:
            entries.append(kept)
        else:
            is_trained[place] = False
    return _scored(record, ids, is_trained, entries)


def _unpadded(
    record: Record, row: int, ids: list[int], logprobs: list[float], mask: list[int]
) -> Entries:
    """The entries of one position that are no padding."""
    if not len(ids) == len(logprobs) == len(mask):
        raise record.wrong(
            f"row {row} of the lists has {len(ids)} ids, {len(logprobs)} log-probabilities and "
            f"{len(mask)} of the mask; as many of each are"
        )
    rows = zip(ids, logprobs, mask, strict=True)
    return [
        (token, logprob)
        for token, logprob, known in rows
        if known and (logprob is None or logprob > _PADDING)
    ]


def _read_conversation(
    record: Record, fields: AxolotlFields, tokenizer: TextTokenizer, template: ChatTemplate
) -> ScoredRow:
    messages = _messages(record, fields.messages)
    encoded = encode_conversation(messages, template, tokenizer)
    ids = encoded.ids.astype(np.int64)
    listed = _lists(record, fields.logprobs)
    is_trained, first = _described(record, encoded.is_trained, len(listed))
    entries = []
    for place in np.flatnonzero(is_trained).tolist():
        entry = listed[place - first]
        if not entry:
            raise InputError(
                f"{record.place}: row {place - first} of {fields.logprobs} is empty, but the "
                "token that it describes is trained",
                "leave the row out, or score it again",
            )
        entries.append(entry)
    return _scored(record, ids, is_trained, entries)


def _messages(record: Record, name: str) -> list[Message]:
    value = record.plain(name)
    try:
        return [Message(str(turn["role"]), str(turn["content"])) for turn in value]
    except (TypeError, KeyError):
        raise record.wrong(f"{name} is no list of turns; role and content in each are") from None


def _lists(record: Record, name: str) -> list[Entries]:
    """The entries of each row of the lists, of either form."""
    rows = record.plain(name) or []
    ids = record.plain(_IDS) if _IDS in record else None
    if ids is None:
        return [_named(record, name, number, row) for number, row in enumerate(rows)]
    if len(ids) != len(rows):
        raise record.wrong(f"{len(rows)} rows of {name} and {len(ids)} of {_IDS}; as many are")
    for number, (row, tokens) in enumerate(zip(rows, ids, strict=True)):
        if len(row or ()) != len(tokens or ()):
            raise record.wrong(
                f"row {number} has {len(row or ())} {name} and {len(tokens or ())} {_IDS}; as "
                "many are"
            )
    pairs = zip(rows, ids, strict=True)
    return [list(zip(tokens or (), row or (), strict=True)) for row, tokens in pairs]


def _named(record: Record, name: str, number: int, row: Any) -> Entries:
    """Entries of the form `{"token": "token_id:7", "logprob": -0.1}`."""
    try:
        return [
            (int(entry["token"].removeprefix("token_id:")), float(entry["logprob"]))
            for entry in row or ()
        ]
    except (TypeError, KeyError, ValueError, AttributeError):
        raise record.wrong(
            f'row {number} of {name} is {str(row)[:60]}; a list of {{"token": "token_id:7", '
            f'"logprob": -0.1}}, or numbers beside a column {_IDS}, is'
        ) from None


def _described(
    record: Record, is_trained: NDArray[np.bool_], num_rows: int
) -> tuple[NDArray[np.bool_], int]:
    """The trained tokens that the lists describe, (T,), and the token of their first row."""
    places = np.flatnonzero(is_trained)
    breaks = np.flatnonzero(np.diff(places) > 1)
    start = int(places[breaks[-1] + 1 if len(breaks) else 0])
    answer = int(places[-1]) + 1 - start
    first = start if num_rows == answer else len(is_trained) - num_rows
    if not num_rows or first < 0 or first > start:
        raise InputError(
            f"{record.place}: {num_rows} rows of log-probabilities; the last answer has {answer} "
            f"tokens by this tokenizer and its chat template, the conversation {len(is_trained)}",
            "give the tokenizer that the teacher answered with; its chat template must write the "
            "conversation as the teacher saw it",
        )
    found = is_trained.copy()
    found[:first] = False
    found[:1] = False
    return found, first


def _scored(
    record: Record, ids: NDArray[np.int64], is_trained: NDArray[np.bool_], entries: list[Entries]
) -> ScoredRow:
    """The row, with as many entries a position as the shortest has; the likeliest are kept."""
    if any(None in entry for row in entries for entry in row):
        raise record.wrong("a token id or log-probability is null; numbers are")
    width = min(map(len, entries), default=0)
    kept = [sorted(row, key=lambda entry: -entry[1])[:width] for row in entries]
    table = np.array(kept, np.float64).reshape(len(entries), width, 2)
    return ScoredRow(record.place, ids, is_trained, table[:, :, 0].astype(np.int64), table[:, :, 1])
