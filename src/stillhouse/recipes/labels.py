"""The `label` section: what the teacher is asked, and what is kept of its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from stillhouse.core.errors import RecipeError
from stillhouse.recipes.section import Count, NotNegative, Positive, Section, Seed

MOST_DRAWS = 10_000
"""assumption: one looks at a block of 128 logits, so that more cost more than the product."""

MOST_IN_FULL = 4096
"""assumption: a shard of 512 answers of 100 tokens then takes 1.7 GB of memory while it is packed;
beyond, top_k with its tail is as good and far smaller."""


@dataclass(frozen=True, slots=True)
class TokenStore:
    """What a store of targets holds for each token.

    Attributes:
        codec: of its header.
        top_k: kept entries.
        num_draws: tokens drawn beside them.
    """

    codec: Literal["full", "top_k", "sampled", "top_k_sampled"]
    top_k: int
    num_draws: int

    @property
    def memory_bytes(self) -> int:
        """Of one token, unpacked: ids with log-probabilities or counts, and its own numbers."""
        return 8 * (self.top_k + self.num_draws) + 28


class Label(Section):
    """How the teacher is asked.

    Attributes:
        completions: whose answer is learned where gold text exists: `gold` keeps it, `teacher`
            replaces it by the teacher's greedy completion.
        targets: what is stored of the teacher at each token: `top_k` its likeliest entries,
            `sampled` tokens drawn from it, `top_k_sampled` the likeliest and draws of the rest,
            `full` the whole vocabulary; `none` stores text alone, `classes` probabilities of
            named answers.
        classes: the named answers, for targets `classes`.
        class_field: the field of a JSON answer that names the class; the whole answer when absent.
        reject: patterns; a teacher's completion in which one is found is dropped, upper and lower
            case alike.
        top_k: kept entries a token; a smaller vocabulary is kept whole.
        num_draws: tokens drawn a token, with replacement, outside the kept entries.
        seed: of the draws.
        kd_temperatures: the tail's mass is exact at these; draws are made at the only one.
        parts: which parts are labelled.
        max_new_tokens: of a completion; one that reaches it was cut and is left out of training.
        temperature: of sampling; 0 is greedy.
        samples: completions of each prompt.
        batch_size: examples side by side.
        shard_examples: examples a stored shard; work lost by a crash is at most one shard.
    """

    completions: Literal["gold", "teacher"] = "gold"
    targets: Literal["none", "full", "top_k", "sampled", "top_k_sampled", "classes"] = "top_k"
    classes: tuple[str, ...] = ()
    class_field: str | None = None
    reject: tuple[str, ...] = ()
    top_k: Count = 64
    num_draws: int = Field(default=50, ge=1, le=MOST_DRAWS)
    seed: Seed = 0
    kd_temperatures: tuple[Positive, ...] = Field(default=(1.0,), min_length=1)
    parts: tuple[str, ...] = Field(default=("labelled", "unlabelled"), min_length=1)
    max_new_tokens: Count = 128
    temperature: NotNegative = 0.0
    samples: Count = 1
    batch_size: Count = 64
    shard_examples: Count = 512

    @property
    def stores_tokens(self) -> bool:
        """Whether something is stored of the teacher at each token."""
        return self.targets not in ("none", "classes")

    @property
    def is_drawn(self) -> bool:
        """Whether some of that is drawn, so that only objectives linear in the teacher fit."""
        return self.targets in ("sampled", "top_k_sampled")

    def token_store(self, vocab_size: int) -> TokenStore | None:
        """What is stored for each token of a teacher.

        Args:
            vocab_size: of the teacher.

        Returns:
            Codec and sizes; None where nothing is stored.

        Raises:
            RecipeError: the vocabulary is too large to be kept in full.
        """
        if self.targets == "none" or self.targets == "classes":
            return None
        if self.targets == "full" and vocab_size > MOST_IN_FULL:
            raise RecipeError(
                f"label.targets: full keeps vocabularies of at most {MOST_IN_FULL:,} tokens, the "
                f"teacher's has {vocab_size:,}: a shard would not fit into memory",
                "store top_k, whose tail is exact, or top_k_sampled",
            )
        kept = {"full": vocab_size, "sampled": 0}.get(self.targets, min(self.top_k, vocab_size))
        return TokenStore(self.targets, kept, self.num_draws if self.is_drawn else 0)
