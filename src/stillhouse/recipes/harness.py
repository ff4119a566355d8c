"""The `evaluate.harness`: tasks of lm-evaluation-harness, asked of every candidate in memory."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from stillhouse.recipes.section import Count, Section

METRICS = "harness."
"""What names of its metrics begin with: `harness.TASK.METRIC`."""


class Harness(Section):
    """Public tasks, asked as the harness asks them: plain text, without a chat template.

    Attributes:
        tasks: names of tasks, groups or tags, as `lm-eval ls tasks` lists them or `include` adds.
        include: a folder with task files of your own, from where paths in them are read; keep
            their data in it, because a change of what lies there is noticed.
        num_fewshot: worked examples before each question; each task's own number when absent.
        limit: the first so many examples of each task; all of them when absent.
        batch_size: requests side by side.
    """

    tasks: tuple[str, ...] = Field(min_length=1)
    include: str | None = None
    num_fewshot: int | None = Field(default=None, ge=0)
    limit: Count | None = None
    batch_size: Count = 16

    @model_validator(mode="after")
    def _names_each_task_once(self) -> Self:
        twice = next((name for name in self.tasks if self.tasks.count(name) > 1), None)
        if twice:
            raise ValueError(f"tasks: {twice!r} stands there twice")
        return self
