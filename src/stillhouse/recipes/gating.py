"""The `gate` section: rules on metrics, and the named sets of them that come with Stillhouse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from stillhouse.recipes.gate_sets import read_gate_set
from stillhouse.recipes.metric_names import misfit_of
from stillhouse.recipes.section import Count, Section


class Rule(Section):
    """One demand on one metric.

    Attributes:
        metric: a metric's name, such as `kl_to_teacher` or `exact_match`.
        against: what it is compared with: `absolute` for the limit alone, `teacher`, `baseline` for
            the twin, `production` for the version in use, or the name of one of
            `evaluate.baselines`. While no version is in production that rule is not asked.
        relation: with another model: candidate minus other, or candidate over other.
        at_least: the lower limit, which keeps the rule; give exactly one limit.
        at_most: the upper limit, which keeps the rule.
        decide_by: `confidence` compares the interval's bound, `point` the estimate.
        min_n: with fewer of what the metric counts, there is not enough data.
        slice: asked of one part of the holdout alone, such as `{genre: gospel}`.
        each_slice: asked of every part by itself, such as `genre`.
    """

    metric: str
    against: str = "absolute"
    relation: Literal["difference", "ratio"] = "difference"
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    decide_by: Literal["confidence", "point"] = "confidence"
    min_n: Count = 1
    slice: dict[str, str] | None = None
    each_slice: str | None = None

    @model_validator(mode="after")
    def _is_one_demand(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give exactly one of at_least and at_most")
        if self.slice is not None and len(self.slice) != 1:
            raise ValueError("slice names one part, such as {genre: gospel}")
        if self.slice is not None and self.each_slice is not None:
            raise ValueError("give slice or each_slice, not both")
        misfit = misfit_of(self.metric, self.limit, self.bound, self.compared_as)
        if misfit:
            raise ValueError(misfit)
        return self

    @property
    def bound(self) -> Literal["at_least", "at_most"]:
        """Which limit it has."""
        return "at_most" if self.at_least is None else "at_least"

    @property
    def limit(self) -> float:
        """The limit."""
        given = self.at_most if self.at_least is None else self.at_least
        return given if given is not None else 0.0

    @property
    def compared_as(self) -> Literal["value", "difference", "ratio"]:
        """What the limit is a limit of."""
        return "value" if self.against == "absolute" else self.relation

    @property
    def where(self) -> str:
        """The part of the holdout it is asked of, in words; empty for all of it."""
        if self.slice:
            kind, name = next(iter(self.slice.items()))
            return f"where {kind} is {name}"
        return f"for each {self.each_slice}" if self.each_slice else ""

    def of_slice(self, kind: str, name: str) -> Rule:
        """The same demand of one part."""
        return self.model_copy(update={"slice": {kind: name}, "each_slice": None})


def _meet(one: Rule, other: Rule) -> bool:
    """Whether both speak of the same number."""
    if (one.metric, one.against, one.relation) != (other.metric, other.against, other.relation):
        return False
    kinds = [
        {each.each_slice} if each.each_slice else set(each.slice or ()) for each in (one, other)
    ]
    if one.each_slice or other.each_slice:
        return kinds[0] == kinds[1]
    return one.slice == other.slice


def find_clashes(rules: Sequence[Rule]) -> Iterator[str]:
    """Pairs of rules that no number can keep, in words.

    Args:
        rules: of one gate.

    Yields:
        One line a pair.
    """
    lower = [rule for rule in rules if rule.bound == "at_least"]
    upper = [rule for rule in rules if rule.bound == "at_most"]
    for low in lower:
        for high in upper:
            if _meet(low, high) and low.limit > high.limit:
                where = f" {low.where}" if low.where else ""
                yield (
                    f"{low.metric}{where} must be at least {low.limit:g} and at most "
                    f"{high.limit:g}, which no number is: change one of the two rules"
                )


class Gate(Section):
    """All rules must pass; what to use instead is named for the day one does not.

    Attributes:
        set: a named set of rules, which stand behind the gate's own: `songs`, `songs-sft`, `qa`,
            `prompts` or `neurons`.
        strict: the set's rules are decided by the interval's bound, not by the estimate.
        rules: the demands; at least one, or a set.
        fallback: what to use instead; the set's when absent.
        enforce: a refused student is neither exported nor registered; without it the verdict is
            only reported.
    """

    set: str | None = None
    strict: bool = False
    rules: tuple[Rule, ...] = ()
    fallback: str = "teacher"
    enforce: bool = True

    @model_validator(mode="before")
    @classmethod
    def _with_the_set(cls, data: Any) -> Any:
        """The rules in place of the set's name, so that a recipe shown in full shows them."""
        own = (data.get("rules") or ()) if isinstance(data, dict) else None
        if not isinstance(own, list | tuple) or not isinstance(data.get("set"), str | None):
            return data
        # A tuple, because JSON's lists are taken for tuples only where no code has looked at them.
        plain = data | {"rules": tuple(own)}
        if data.get("set") is None:
            if data.get("strict"):
                raise ValueError(
                    "strict is a mode of a set; a rule of your own says decide_by: confidence"
                )
            return plain
        named = read_gate_set(data["set"])
        rules = (*own, *named.rules(strict=data.get("strict") is True))
        said = {"fallback": named.fallback} | plain | {"set": None, "rules": rules}
        return said | ({"strict": False} if said.get("strict") is True else {})

    @model_validator(mode="after")
    def _can_be_kept(self) -> Self:
        if not self.rules:
            raise ValueError("a gate without rules refuses nothing: give rules, or name a set")
        clashes = list(find_clashes(self.rules))
        if clashes:
            raise ValueError("; ".join(clashes))
        return self
