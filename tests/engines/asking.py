"""An engine against the fake server, ready for a test; run as a script it is a process to kill."""

import itertools
import json
import os
import signal
import sys
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from stillhouse.core.protocols import no_progress
from stillhouse.core.rows import Example, Message
from stillhouse.core.sampling import Sampling
from stillhouse.engines.batch_settings import BatchSettings
from stillhouse.engines.catalog import REMOTE
from stillhouse.engines.gateway import GatewaySettings
from stillhouse.engines.http import Http
from stillhouse.engines.keys import Key, Secret
from stillhouse.engines.prices import Price
from stillhouse.engines.retry import RetryPolicy
from stillhouse.engines.wire import Endpoint
from stillhouse.store.account import open_account
from stillhouse.store.journal import Journal
from stillhouse.store.ledger import Budget
from stillhouse.store.slots import Limit

PRICE = Price(150_000_000, 600_000_000, 75_000_000, batch=Decimal("0.5"))
"""As `INPUT_NANO` and `OUTPUT_NANO` of the server."""
SAMPLING = Sampling(max_new_tokens=16)
QUICK = RetryPolicy(tries=6, first_s=0.002, longest_s=0.02, patience_s=5.0)
PATIENT = BatchSettings(first_poll_s=0.01, longest_poll_s=0.05, patience_s=10.0, quiet_s=0.03)
PLANTED = "sk-planted-0123456789abcdef"


def examples(count, start=0):
    return [
        Example(f"e{number}", "unlabelled", (Message("user", f"question {number}"),), None)
        for number in range(start, start + count)
    ]


def keys(*texts):
    return [Key(f"KEY_{number}", Secret(text)) for number, text in enumerate(texts or (PLANTED,))]


@contextmanager
def engine(
    folder, url, budget=None, settings=None, key_list=None, kind="openai", progress=no_progress,
    **endpoint,
):  # fmt: skip
    given = {"model": "fake-1", "base_url": url, "price": PRICE} | endpoint
    with open_account(folder, budget or Budget("test"), "run", "label") as account:
        yield REMOTE[kind](
            Endpoint(**given),
            account,
            key_list or keys(),
            settings or GatewaySettings(64, 2.0, retry=QUICK, batch=PATIENT),
            progress,
        )


def die_at(what, number, when):
    """Kill this process -9 before or after its n-th request (`send`) or awaited write (`write`)."""
    owner, name = {"send": (Http, "_send"), "write": (Journal, "write")}[what]
    real, numbers = getattr(owner, name), itertools.count(1)

    async def armed(self, *given):
        is_it = next(numbers) == number
        if is_it and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        found = await real(self, *given)
        if is_it:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(owner, name, armed)


def main():
    order = json.loads(sys.argv[1])
    if "die_at" in order:
        die_at(*order["die_at"])
    limits = tuple(Limit(*one) for one in order.get("limits", ()))
    settings = GatewaySettings(
        order["concurrency"], order.get("timeout_s", 5.0), limits, QUICK, batch=PATIENT
    )
    budget = Budget("test", order.get("cap_nano_usd"))
    asked = examples(order["count"], order.get("start", 0))
    batch = order.get("batch", False)
    with engine(Path(order["folder"]), order["url"], budget, settings, batch=batch) as teacher:
        for found in teacher.generate(asked, SAMPLING):
            print(
                json.dumps([found.example_id, found.text, found.finish, found.reason]), flush=True
            )


if __name__ == "__main__":
    main()
