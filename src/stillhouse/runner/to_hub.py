"""A student onto the hub: its bundle as a repository, once its licences were asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from stillhouse.core.errors import UsageError
from stillhouse.core.hashing import digest_text
from stillhouse.engines.keys import find_token
from stillhouse.export.hub_layout import hub_card, hub_files
from stillhouse.export.model_card import README
from stillhouse.models.hub_push import Repository, Upload, push_files
from stillhouse.runner.licensing import refuse_unlicensed
from stillhouse.runner.outgoing import Outgoing

_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


@dataclass(frozen=True, slots=True)
class HubCall:
    """Where to.

    Attributes:
        repo_id: `owner/name`.
        is_private: only into a private repository; one that is made anew is private.
    """

    repo_id: str
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class HubShipment:
    """What is there.

    Attributes:
        repository: its address.
        commit: that holds all files.
        files: in it.
        deleted: files of an earlier version that were taken out.
        version: of the student in the registry.
    """

    repository: str
    commit: str
    files: tuple[str, ...]
    deleted: tuple[str, ...]
    version: str

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def ship_to_hub(
    out: Outgoing, call: HubCall, tell: Callable[[str], None] = lambda _: None
) -> HubShipment:
    """Make a repository of the hub hold a bundle and nothing else.

    Args:
        out: a bundle that may leave.
        call: where to.
        tell: is told what happens.

    Returns:
        What is there.

    Raises:
        UsageError: it is no id, a licence stands in the way, or there is no right to write there.
        StillhouseError: the hub cannot be reached, or refuses; a second call goes on.
    """
    if not _ID.fullmatch(call.repo_id) or ".." in call.repo_id:
        raise UsageError(f"{call.repo_id!r} is no id of the hub", "write --to hub:OWNER/NAME")
    collected = out.manifest("collect")
    refuse_unlicensed(out.recipe, collected.summary if collected else {}, call.repo_id)
    files = hub_files(out.files)
    readme = next(one.path for one in out.files if one.name == README)
    card = hub_card(readme.read_text(encoding="utf-8"), files, call.repo_id)
    told = {name: Upload(one.path, one.sha256) for name, one in files.items()}
    told[README] = Upload(card.encode(), digest_text(card))
    token = find_token("HF_TOKEN")
    tell(f"sending {len(told)} files to {call.repo_id}")
    repository = Repository(call.repo_id, call.is_private, token.reveal() if token else None)
    done = push_files(repository, told, _message(out))
    shipment = HubShipment(done.url, done.commit, tuple(sorted(told)), done.deleted, out.version)
    out.tell(f"hub {call.repo_id}", commit=done.commit)
    return shipment


def _message(out: Outgoing) -> str:
    return f"{out.recipe.name} {out.version or out.export.artifact_id}"
