"""A collection: all sources take a step at once, and their songs are decided about in one order.

What is kept follows from the replies alone, not from when they came. Replies are kept on disk, so
a run that was killed goes through the same rounds again without a request, and on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from stillhouse.core.protocols import Progress
from stillhouse.data.collect.feeds import Feed, Step
from stillhouse.data.collect.selection import Selection


async def collect(feeds: Sequence[Feed], selection: Selection, progress: Progress) -> None:
    """Fill a selection from its sources.

    Args:
        feeds: in the order in which they are preferred.
        selection: is filled.
        progress: hears of songs that are kept.
    """
    running: dict[str, AsyncIterator[Step]] = {feed.name: feed.steps(selection) for feed in feeds}
    while running and not selection.is_full:
        names = list(running)
        steps = await asyncio.gather(*(_next(running[name]) for name in names))
        for name, step in zip(names, steps, strict=True):
            if step is None:
                del running[name]
                continue
            _take(name, step, selection)
            if step.stopped:
                del running[name]
        progress(len(selection.kept), selection.plan.most_songs, "songs")


async def _next(steps: AsyncIterator[Step]) -> Step | None:
    return await anext(steps, None)


def _take(name: str, step: Step, selection: Selection) -> None:
    tally = selection.tallies[name]
    if step.outcome:
        tally.requests[step.outcome] += 1
    selection.count_odd(name, step.num_odd)
    for song in step.songs:
        selection.offer(replace(song, source=name))
    for song, reason in step.refused:
        selection.refuse(replace(song, source=name), reason)
    if step.stopped:
        tally.stopped, tally.rest_s = step.stopped, step.rest_s
