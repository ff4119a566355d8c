"""An engine against the fake server, ready for a test; run as a script it is a process to kill."""

import json
import sys
from contextlib import contextmanager
from pathlib import Path

from stillhouse.core.rows import Example, Message
from stillhouse.core.sampling import Sampling
from stillhouse.engines.catalog import REMOTE
from stillhouse.engines.gateway import GatewaySettings
from stillhouse.engines.keys import Key, Secret
from stillhouse.engines.prices import Price
from stillhouse.engines.retry import RetryPolicy
from stillhouse.engines.wire import Endpoint
from stillhouse.store.account import open_account
from stillhouse.store.ledger import Budget
from stillhouse.store.slots import Limit

PRICE = Price(150_000_000, 600_000_000, 75_000_000)
"""As `INPUT_NANO` and `OUTPUT_NANO` of the server."""
SAMPLING = Sampling(max_new_tokens=16)
QUICK = RetryPolicy(tries=6, first_s=0.002, longest_s=0.02, patience_s=5.0)
PLANTED = "sk-planted-0123456789abcdef"


def examples(count, start=0):
    return [
        Example(f"e{number}", "unlabelled", (Message("user", f"question {number}"),), None)
        for number in range(start, start + count)
    ]


def keys(*texts):
    return [Key(f"KEY_{number}", Secret(text)) for number, text in enumerate(texts or (PLANTED,))]


@contextmanager
def engine(folder, url, budget=None, settings=None, key_list=None, kind="openai", **endpoint):
    given = {"model": "fake-1", "base_url": url, "price": PRICE} | endpoint
    with open_account(folder, budget or Budget("test"), "run", "label") as account:
        yield REMOTE[kind](
            Endpoint(**given),
            account,
            key_list or keys(),
            settings or GatewaySettings(concurrency=64, timeout_s=2.0, retry=QUICK),
        )


def main():
    order = json.loads(sys.argv[1])
    limits = tuple(Limit(*one) for one in order.get("limits", ()))
    settings = GatewaySettings(order["concurrency"], order.get("timeout_s", 5.0), limits, QUICK)
    budget = Budget("test", order.get("cap_nano_usd"))
    asked = examples(order["count"], order.get("start", 0))
    with engine(Path(order["folder"]), order["url"], budget, settings) as teacher:
        for found in teacher.generate(asked, SAMPLING):
            print(
                json.dumps([found.example_id, found.text, found.finish, found.reason]), flush=True
            )


if __name__ == "__main__":
    main()
