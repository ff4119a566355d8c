"""What was spent on models behind an API, by all runs of a root or by one of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.runner.run import Place
from stillhouse.store.account import JOURNAL
from stillhouse.store.spending import (
    BudgetSpending,
    StageSpending,
    spending_by_budget,
    spending_by_stage,
)


@dataclass(frozen=True, slots=True)
class LedgerView:
    """The account of a runs root.

    Attributes:
        stages: of each run, in the order of their first call.
        budgets: one a run, by name.
    """

    stages: tuple[StageSpending, ...]
    budgets: tuple[BudgetSpending, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values; money is text, because a float cannot hold it."""
        stages = [
            asdict(one) | {"spent_usd": one.spent_usd, "usd_per_accepted": one.usd_per_accepted}
            for one in self.stages
        ]
        budgets = [asdict(one) | {"left_usd": one.left_usd} for one in self.budgets]
        return {"stages": _plain(stages), "budgets": _plain(budgets)}


def read_ledger(place: Place) -> LedgerView:
    """The account of a place; of all its runs where the place names none.

    Args:
        place: root and name; an empty name means all runs.

    Returns:
        What was spent.

    Raises:
        InputError: nothing was ever asked there, or not by that run.
    """
    path = place.account / JOURNAL
    stages = [one for one in spending_by_stage(path) if place.name in ("", one.run)]
    budgets = [
        one
        for one in spending_by_budget(path)
        if place.name in ("", one.name) or one.name.startswith(f"{place.name} judge ")
    ]
    if place.name and not budgets:
        runs = dict.fromkeys(one.run for one in spending_by_stage(path))
        raise InputError(
            f"the run {place.name!r} asked no model behind an API",
            f"runs that did: {', '.join(runs)}",
        )
    return LedgerView(tuple(stages), tuple(budgets))


def _plain(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: str(value) if isinstance(value, Decimal) else value for name, value in one.items()}
        for one in records
    ]
