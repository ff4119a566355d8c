"""Bringing a student out of its run, wherever a call says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stillhouse.core.errors import UsageError
from stillhouse.export.bundle_files import copy_bundle
from stillhouse.export.numbered import NUMBER, copy_numbered
from stillhouse.runner.outgoing import Outgoing, open_outgoing, recipe_of
from stillhouse.runner.run import Place
from stillhouse.runner.to_hub import HubCall, HubShipment, ship_to_hub
from stillhouse.runner.to_ollama import (
    LOCAL,
    OllamaCall,
    OllamaShipment,
    ship_to_ollama,
    weights_for_ollama,
)

_OLLAMA, _HUB = "ollama", "hub:"


@dataclass(frozen=True, slots=True)
class ExportCall:
    """Where a student goes.

    Attributes:
        to: `ollama`, `hub:OWNER/NAME`, or a folder that is not there yet; `{n}` in its name is the
            next free number.
        name: of the model in Ollama; the Modelfile's when empty.
        url: where Ollama listens.
        canaries: prompts that Ollama is asked before the model gets its name.
        is_private: of a repository on the hub.
        is_ungated: let a recipe pass that has no gate at all.
    """

    to: str
    name: str = ""
    url: str = LOCAL
    canaries: int = 3
    is_private: bool = False
    is_ungated: bool = False


@dataclass(frozen=True, slots=True)
class FolderShipment:
    """A copy of a bundle.

    Attributes:
        folder: of it.
        files: in it.
        bytes: of all of them.
        is_new: it was not there before.
        version: of the student in the registry.
    """

    folder: str
    files: int
    bytes: int
    is_new: bool
    version: str

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


Shipment = OllamaShipment | HubShipment | FolderShipment


def export_run(
    place: Place, call: ExportCall, tell: Callable[[str], None] = lambda _: None
) -> Shipment:
    """Bring the student of a run to where it is used.

    Args:
        place: of the run.
        call: where to.
        tell: is told what happens.

    Returns:
        What was made there.

    Raises:
        UsageError: no such run or place, or the bundle has no such form.
        GateRefusedError: no gate has passed it.
        ArtifactError: its bytes are not those that were gated.
        StillhouseError: whoever should get it cannot be reached, or refuses it.
    """
    if call.to == _OLLAMA:
        recipe = recipe_of(place)
        form = weights_for_ollama(recipe.export.modelfile, recipe.export.gguf_files)
        out = open_outgoing(place, form, is_ungated=call.is_ungated)
        return ship_to_ollama(out, OllamaCall(call.url, call.name, call.canaries), tell)
    out = open_outgoing(place, is_ungated=call.is_ungated)
    if call.to.startswith(_HUB):
        return ship_to_hub(out, HubCall(call.to.removeprefix(_HUB), call.is_private), tell)
    return _to_folder(out, call.to)


def _to_folder(out: Outgoing, to: str) -> FolderShipment:
    # Without a sign of a path a slip of the pen would become a folder.
    if not any(sign in to for sign in "/\\"):
        raise UsageError(
            f"--to {to!r} is none of the places that are known",
            f"ollama, hub:OWNER/NAME, or a folder as ./{to or 'my-student'}",
        )
    if NUMBER in to:
        folder, is_new = copy_numbered(out.files, Path(to))
    else:
        folder, is_new = Path(to), copy_bundle(out.files, Path(to))
    size = sum(one.num_bytes for one in out.files)
    shipment = FolderShipment(str(folder), len(out.files), size, is_new, out.version)
    out.tell("folder", files=len(out.files), name=folder.name)
    return shipment
