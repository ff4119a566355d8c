"""Every remote engine by the name that a recipe gives it."""

from __future__ import annotations

from stillhouse.engines.anthropic import AnthropicEngine
from stillhouse.engines.bedrock import BedrockEngine
from stillhouse.engines.gemini import GeminiEngine
from stillhouse.engines.ollama import OllamaEngine
from stillhouse.engines.openai_api import OpenAIEngine
from stillhouse.engines.remote import RemoteEngine

REMOTE: dict[str, type[RemoteEngine]] = {
    "openai_api": OpenAIEngine,
    "anthropic": AnthropicEngine,
    "bedrock": BedrockEngine,
    "gemini": GeminiEngine,
    "ollama": OllamaEngine,
}
"""How many log-probabilities each gives, and what else it can, its `capabilities` say."""
