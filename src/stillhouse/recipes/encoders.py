"""Who makes a vector of each text, for the steps that compare texts by their meaning."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from stillhouse.recipes.section import Section


class Encoder(Section):
    """A model of sentence-transformers that makes a vector of each text; needs the extra `embed`.

    Attributes:
        path: a folder that sentence-transformers saved, with safetensors; a relative one starts at
            the recipe's folder.
        hub: `owner/name` on the Hugging Face hub.
        revision: branch, tag or commit of the hub id.
    """

    path: str | None = None
    hub: str | None = None
    revision: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.path) == bool(self.hub):
            raise ValueError("give either path or hub of a model of sentence-transformers")
        if self.revision and not self.hub:
            raise ValueError("revision belongs to hub; a folder has none")
        return self


MadeBy = Literal["tfidf"] | Encoder
"""`tfidf` counts pieces of words, needs no model, and knows nothing of what words mean."""
