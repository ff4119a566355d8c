"""Judges that follow a rule, asked through the engine for tests."""

import json

from stillhouse.core.rows import Example, Message
from stillhouse.engines.fake import FakeEngine
from stillhouse.evals.judge import Judge, own_prompt


def examples(count):
    return [
        Example(
            f"e{number}",
            "holdout",
            (Message("system", "Describe how it is seen."), Message("user", f"a tree {number}")),
            None,
        )
        for number in range(count)
    ]


def parts_of(messages):
    """What a judge was shown."""
    return json.loads(messages[-1].content)


def judging(key, value_of):
    """What an engine says: the value for the parts that it was shown."""

    def say(messages, index):
        return json.dumps({"reason": "So it seems.", key: value_of(parts_of(messages))})

    return say


def longer(parts):
    one, two = len(parts["Answer A"]), len(parts["Answer B"])
    return "tie" if one == two else "A" if one > two else "B"


def judge_of(say, faults=None, prompt="preference", model="judge-1"):
    return Judge(FakeEngine(say, faults), model, own_prompt(prompt))
