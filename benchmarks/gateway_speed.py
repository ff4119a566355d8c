"""How close the gateway comes to the ideal rate: 50 ms latency, 64 requests at a time.

    ideal rate = concurrency / latency = 1,280 calls a second

The server runs in a process of its own on this machine. A bare loop over the same connections,
without reservations, settling or keeping, is timed beside it: it is the most that this machine
can do now. Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.engines.asking import PRICE, SAMPLING, examples, keys

from stillhouse.engines.gateway import GatewaySettings
from stillhouse.engines.http import Http
from stillhouse.engines.openai_api import OpenAIEngine
from stillhouse.engines.wire import Endpoint
from stillhouse.store.account import open_account
from stillhouse.store.ledger import Budget

LATENCY_S, CONCURRENCY, CALLS, ROUNDS = 0.05, 64, 6400, 3
GOAL = 0.9


def bare(url: str) -> None:
    """Ask and forget."""
    body = json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": "question 1"}]}
    ).encode()

    async def ask_all() -> None:
        left = iter(range(CALLS))
        async with Http(CONCURRENCY, 10.0) as http:

            async def worker() -> None:
                for _ in left:
                    await http.post(f"{url}/chat/completions", {}, body)

            await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))

    asyncio.run(ask_all())


def through_the_gateway(url: str) -> None:
    """Ask, with everything that the gateway does."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_account(Path(folder), Budget("speed", 10**12), "run", "label") as account,
    ):
        settings = GatewaySettings(concurrency=CONCURRENCY, timeout_s=10.0)
        engine = OpenAIEngine(Endpoint("m", base_url=url, price=PRICE), account, keys(), settings)
        answered = sum(one.finish == "stop" for one in engine.generate(examples(CALLS), SAMPLING))
        assert answered == CALLS


def timed(work: Callable[[str], None], url: str) -> tuple[float, float]:
    """Calls a second, and CPU seconds of this process a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work(url)
    return CALLS / (time.perf_counter() - wall), (time.process_time() - cpu) / CALLS


def main() -> None:
    """Print the figures."""
    command = [sys.executable, "-m", "tests.engines.fakes.openai_server", str(LATENCY_S)]
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as server:
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
            timed(bare, url)
            bares = [timed(bare, url) for _ in range(ROUNDS)]
            gateways = [timed(through_the_gateway, url) for _ in range(ROUNDS)]
        finally:
            server.kill()
    ideal = CONCURRENCY / LATENCY_S
    best, best_bare = max(gateways), max(bares)
    figures = {
        "ideal_per_s": ideal,
        "gateway_per_s": round(best[0], 1),
        "bare_per_s": round(best_bare[0], 1),
        "share_of_ideal": round(best[0] / ideal, 3),
        "share_of_bare": round(best[0] / best_bare[0], 3),
        "cpu_us_a_call": round(best[1] * 1e6),
        "cpu_us_a_bare_call": round(best_bare[1] * 1e6),
        "all_per_s": [round(rate, 1) for rate, _ in gateways],
    }
    report = {
        "benchmark": "gateway_speed",
        "figures": figures,
        "goal": f"share_of_ideal >= {GOAL}",
        "holds": best[0] / ideal >= GOAL,
        "versions": {
            "python": platform.python_version(),
            "aiohttp": version("aiohttp"),
            "stillhouse": version("stillhouse"),
        },
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
