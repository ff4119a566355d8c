"""An aiohttp server in a thread of its own, with faults that are used up one after the other."""

import asyncio
import threading

from aiohttp import web


class AioServer:
    """`with` it; a subclass answers in `handle`.

    Attributes:
        faults: names; only the first one is next.
        calls: method and path of every request.
    """

    def __init__(self, faults=()):
        self.faults, self.calls = list(faults), []
        self._loop, self._started = asyncio.new_event_loop(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._started.wait(20)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def takes(self, fault):
        """Whether the fault is next; it is used up then."""
        if self.faults and self.faults[0] == fault:
            self.faults.pop(0)
            return True
        return False

    async def handle(self, request):
        raise NotImplementedError

    def _run(self):
        asyncio.set_event_loop(self._loop)
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _handle(self, request):
        self.calls.append((request.method, request.path))
        return await self.handle(request)
