"""The models that a recipe's steps compare texts with: found, checked, known by their content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stillhouse.models.encode import ENCODER_FILES, digest_encoder, require_encoder
from stillhouse.models.hub import Hub, fetch_model
from stillhouse.recipes.compute import Host, ResolvedCompute
from stillhouse.recipes.encoders import Encoder
from stillhouse.recipes.schema import Recipe


@dataclass(frozen=True, slots=True)
class FoundEncoder:
    """A model on this machine.

    Attributes:
        folder: where it lies.
        content: what names it in a plan: a digest, or the commit of a hub id.
    """

    folder: Path
    content: str


def find_encoders(recipe: Recipe, base: Path, *, with_weights: bool) -> tuple[FoundEncoder, ...]:
    """The model of each step that names one.

    Args:
        recipe: the effective recipe.
        base: what a relative path starts from.
        with_weights: also download a hub model's weights.

    Returns:
        In the order of the steps.

    Raises:
        ModelError: one cannot be found, fetched or used.
    """
    wanted = [step.encoder for step in recipe.prepare.steps]
    hub = Hub(network=recipe.network != "none")
    return tuple(_find(one, base, hub, with_weights) for one in wanted if one)


def _find(encoder: Encoder, base: Path, hub: Hub, with_weights: bool) -> FoundEncoder:
    if encoder.path:
        folder = (base / encoder.path).resolve()
        require_encoder(folder)
        return FoundEncoder(folder, digest_encoder(folder))
    assert encoder.hub is not None
    fetched = fetch_model(
        encoder.hub, encoder.revision or "", weights=with_weights, hub=hub, more=ENCODER_FILES
    )
    require_encoder(fetched.folder, with_weights=with_weights)
    return FoundEncoder(fetched.folder, f"{encoder.hub}@{fetched.commit}")


def dtype_of_encoders(recipe: Recipe, compute: ResolvedCompute, host: Host) -> str:
    """The numbers that vectors are made with.

    bfloat16 where the processor multiplies it, unless the recipe says float32. measured: 2.5 times
    the texts a second with AVX-512 BF16, at cosines of 0.9998 or more with those of float32.

    Args:
        recipe: the effective recipe.
        compute: resolved.
        host: the machine.

    Returns:
        `float32` or `bfloat16`.
    """
    gains = compute.device == "cpu" and host.has_bfloat16 and recipe.compute.dtype == "auto"
    return "bfloat16" if gains else compute.dtype
