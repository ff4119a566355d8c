"""An engine that may fail, as a measurement asks it: every answer is there, bare of its fence.

What could not be asked is no wrong answer, and five answers that never came are not equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from stillhouse.core.protocols import Generator
from stillhouse.core.rows import Completion, Example
from stillhouse.core.sampling import Sampling
from stillhouse.data.answers import without_fence
from stillhouse.stages.endpoint import refuse_deferred


@dataclass(frozen=True, slots=True)
class WholeAnswers:
    """A `Generator` that gives all answers or none.

    Attributes:
        engine: who is asked.
        key: of it, in the recipe.
        has_schema: answers are held to a schema, to which a fence of Markdown is no flaw.
    """

    engine: Generator
    key: str
    has_schema: bool

    def generate(self, examples: Sequence[Example], sampling: Sampling) -> Iterator[Completion]:
        """One completion per example, in their order.

        Args:
            examples: their prompts are completed.
            sampling: of the answers.

        Yields:
            The answers, once all are there.

        Raises:
            StillhouseError: one was not given; a second run asks for it alone.
        """
        said = list(self.engine.generate(examples, sampling))
        refuse_deferred(said, len(said), 0.0, self.key)
        for one in said:
            is_bare = not self.has_schema or one.finish != "stop"
            yield one if is_bare else replace(one, text=without_fence(one.text))
