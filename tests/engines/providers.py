"""Every remote engine with the server that speaks its provider's format."""

from contextlib import contextmanager

from tests.engines.asking import engine
from tests.engines.fakes.anthropic_server import FakeAnthropic
from tests.engines.fakes.bedrock_server import FakeBedrock
from tests.engines.fakes.gemini_server import FakeGemini
from tests.engines.fakes.ollama_server import FakeOllama
from tests.engines.fakes.openai_server import FakeOpenAI

SERVERS = {
    "openai": FakeOpenAI,
    "anthropic": FakeAnthropic,
    "bedrock": FakeBedrock,
    "gemini": FakeGemini,
    "ollama": FakeOllama,
}
ENDPOINTS = {
    "anthropic": {"dialect": "2023-06-01"},  # takes a temperature
    "ollama": {"context_tokens": 4096},
}
WITH_LOGPROBS = ("openai", "gemini", "ollama")


@contextmanager
def provider(kind, folder, behaviour=None, settings=None, **more):
    """A server that runs, and an engine that asks it."""
    given = ENDPOINTS.get(kind, {}) | more
    with SERVERS[kind](behaviour) as server:
        url = given.pop("base_url", server.url)
        with engine(folder, url, settings=settings, kind=kind, **given) as teacher:
            yield server, teacher
