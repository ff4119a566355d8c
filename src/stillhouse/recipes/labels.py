"""The `label` section: what the teacher is asked, and what is kept of its answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, field_validator

from stillhouse.core.errors import RecipeError
from stillhouse.recipes.answer_schema import refuse_schema
from stillhouse.recipes.answers import Class, name_class
from stillhouse.recipes.endpoints import ApiEndpoint
from stillhouse.recipes.section import Count, Fraction, NotNegative, Positive, Section, Seed
from stillhouse.recipes.training import Train

Targets = Literal["auto", "none", "full", "top_k", "sampled", "top_k_sampled", "classes", "votes"]
_OF_TOKENS = frozenset({"full", "top_k", "sampled", "top_k_sampled"})

STYLE_REFERENCES = "style references"
"""In `label.reject`, in the place of a pattern."""

MOST_DRAWS = 10_000
"""assumption: one looks at a block of 128 logits, so that more cost more than the product."""

_KEPT, _KEPT_BESIDE_DRAWS = 64, 12
"""measured: docs/performance.md, quality per byte."""

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


class Consistency(Section):
    """Ask each prompt several times, and learn the answer that most of the answers are.

    Attributes:
        repeats: answers to each prompt.
        at_least: the share of them that must agree; a prompt below it stays without an answer.
    """

    repeats: int = Field(ge=2, le=100)
    at_least: float = Field(default=0.5, gt=0.0, le=1.0)


class Judge(Section):
    """A model that is asked of each answer whether it keeps a rule; what fails is not learned.

    Attributes:
        name: such as `safety`; the reason beside an answer that it turns down.
        rule: in words, such as "fit for readers of any age".
        api: who judges; its budget is its own.
        temperature: of its answers; some providers take none but 1.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    rule: str = Field(min_length=1)
    api: ApiEndpoint
    temperature: NotNegative = 0.0


class Label(Section):
    """How the teacher is asked.

    Attributes:
        completions: whose answer is the hard label, the text that is learned: `gold` the rows'
            alone, `teacher` the teacher's alone, `mix` the rows' where there is one, else the
            teacher's.
        targets: what is stored of the teacher at each token: `top_k` its likeliest entries,
            `sampled` tokens drawn from it, `top_k_sampled` the likeliest and draws of the rest,
            `full` the whole vocabulary; `none` stores text alone; `classes` the
            teacher's probabilities of named answers, `votes` those of people, as `prepare.votes`
            tells. `auto` takes what the loss terms learn most from a byte of:
            `top_k_sampled` for forward_kl, `top_k` for the other divergences and for several
            kd_temperatures, `classes` for class_kl, `none` for cross_entropy alone.
        classes: the named answers, for targets `classes` and `votes`, at least two.
        class_field: the field of a JSON answer that names the class, the rest of the answer as it
            is; the whole answer when absent.
        prompt: a file with the teacher's own prompt, where it is asked otherwise than the student.
        reject: patterns; a teacher's completion in which one is found is not used, upper and lower
            case alike. `style references` stands for "in the style of" and its kin, as the step
            drop_style_references finds them.
        answer_schema: a JSON Schema that each completion must fit; a teacher in memory can write
            nothing else, as compact JSON. One behind an API is told it, and is asked once to mend
            an answer that does not fit.
        consistency: ask several times and learn what most answers agree on.
        judges: models that turn answers down; a judge that fails to answer never passes one.
        top_k: kept entries a token, 64 or, beside draws, 12 when absent; a smaller vocabulary is
            kept whole.
        num_draws: tokens drawn a token, with replacement, outside the kept entries.
        seed: of the draws.
        kd_temperatures: the tail's mass is exact at these; draws are made at the only one. That of
            `train` when absent.
        parts: which parts are labelled.
        max_new_tokens: of a completion; one that reaches it was cut and is left out of training.
        temperature: of sampling; 0 is greedy.
        samples: completions of each prompt that are learned.
        attempts: the most completions that are asked for to get them; as `samples` when absent.
        deferred_at_most: the share of prompts that a teacher behind an API may leave without an
            answer because a budget ended, it could not be reached or it refused the question;
            beyond, the stage fails, and the next run asks these alone. `--from label` asks again
            for what was left within the share.
        cut_at_most: share of the teacher's answers that may be cut at `max_new_tokens`; none of
            them is learned, and above this share the stage refuses.
        batch_size: examples side by side.
        shard_examples: examples a stored shard; work lost by a crash is at most one shard.
    """

    completions: Literal["gold", "teacher", "mix"] = "mix"
    targets: Targets = "auto"
    classes: tuple[Class, ...] = ()
    class_field: str | None = None
    prompt: str | None = None
    reject: tuple[str, ...] = ()
    answer_schema: dict[str, Any] | None = None
    consistency: Consistency | None = None
    judges: tuple[Judge, ...] = ()
    top_k: Count | None = None
    num_draws: int = Field(default=50, ge=1, le=MOST_DRAWS)
    seed: Seed = 0
    kd_temperatures: tuple[Positive, ...] | None = Field(default=None, min_length=1)
    parts: tuple[str, ...] = Field(default=("labelled", "unlabelled"), min_length=1)
    max_new_tokens: Count = 128
    temperature: NotNegative = 0.0
    samples: Count = 1
    attempts: Count | None = None
    deferred_at_most: Fraction = 0.0
    cut_at_most: Fraction = 0.5
    batch_size: Count = 64
    shard_examples: Count = 512

    @field_validator("reject")
    @classmethod
    def _patterns_can_be_read(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return patterns

    @field_validator("classes")
    @classmethod
    def _classes_are_apart(cls, classes: tuple[Class, ...]) -> tuple[Class, ...]:
        names = [name_class(one) for one in classes]
        if len(names) == 1:
            raise ValueError(f"{names[0]!r} is the only class; name at least two")
        if not all(names):
            raise ValueError("a class without a name is no answer")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} is named twice")
        return classes

    @field_validator("judges")
    @classmethod
    def _names_differ(cls, judges: tuple[Judge, ...]) -> tuple[Judge, ...]:
        names = [judge.name for judge in judges]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two judges are called {twice!r}")
        return judges

    @field_validator("answer_schema")
    @classmethod
    def _schema_can_be_read(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        if schema is not None:
            refuse_schema(schema)
        return schema

    def settled(self, train: Train) -> Label:
        """The same with every choice made that the recipe leaves open.

        Args:
            train: what is learned from the targets.

        Returns:
            `targets`, `top_k` and `kd_temperatures` as they are used and hashed.
        """
        temperatures = self.kd_temperatures or (train.kd_temperature,)
        targets = self.targets
        if targets == "auto":
            weights = train.weights
            if weights.class_kl:
                targets = "classes"
            elif not weights.needs_teacher or train.mode != "cached":
                targets = "none"
            elif weights.not_linear or len(temperatures) > 1:
                targets = "top_k"
            else:
                targets = "top_k_sampled"
        top_k = self.top_k or (_KEPT_BESIDE_DRAWS if targets == "top_k_sampled" else _KEPT)
        chosen: dict[str, Any] = {"targets": targets}
        settled = self.model_copy(update=chosen)
        if settled.stores_tokens:
            # Else a temperature of the loss would name the teacher's answers anew.
            chosen |= {"top_k": top_k, "kd_temperatures": temperatures}
        return self.model_copy(update=chosen)

    @property
    def temperatures(self) -> tuple[float, ...]:
        """The kd_temperatures at which something is stored."""
        return self.kd_temperatures or (1.0,)

    @property
    def most_samples(self) -> int:
        """The most completions that are asked for one prompt."""
        if self.consistency:
            return self.consistency.repeats
        return max(self.samples, self.attempts or 0)

    @property
    def stores_tokens(self) -> bool:
        """Whether something is stored of the teacher at each token."""
        return self.targets in _OF_TOKENS

    @property
    def stores_classes(self) -> bool:
        """Whether probabilities of named answers are stored."""
        return self.targets in ("classes", "votes")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes as text."""
        return tuple(map(name_class, self.classes))

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
        if (
            self.targets == "none"
            or self.targets == "classes"
            or self.targets == "votes"
            or self.targets == "auto"
        ):
            return None
        if self.targets == "full" and vocab_size > MOST_IN_FULL:
            raise RecipeError(
                f"label.targets: full keeps vocabularies of at most {MOST_IN_FULL:,} tokens, the "
                f"teacher's has {vocab_size:,}: a shard would not fit into memory",
                "store top_k, whose tail is exact, or top_k_sampled",
            )
        kept = {"full": vocab_size, "sampled": 0}.get(
            self.targets, min(self.top_k or _KEPT, vocab_size)
        )
        return TokenStore(self.targets, kept, self.num_draws if self.is_drawn else 0)
