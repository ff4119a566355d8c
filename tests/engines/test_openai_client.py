"""The official client talks to our server, so the server's shapes are OpenAI's."""

import pytest
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import Behaviour

openai = pytest.importorskip("openai", reason="the official client comes with the dev extra")


def client(server, key="sk-new"):
    return openai.OpenAI(api_key=key, base_url=server.url, max_retries=0, timeout=5.0)


def test_the_official_client_reads_an_answer_with_logprobs():
    with FakeOpenAI() as server, client(server) as official:
        found = official.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "hello there"}],
            logprobs=True,
            top_logprobs=2,
            max_completion_tokens=3,
            temperature=0,
        )
    choice = found.choices[0]
    assert choice.finish_reason == "length"
    assert choice.message.content
    assert choice.logprobs.content[0].top_logprobs[1].bytes == [0xE2, 0x82]
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens
    # the strict form: every field has the documented type
    openai.types.chat.ChatCompletion.model_validate(found.model_dump(), strict=True)


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("rate_limited", "RateLimitError", "rate_limit_exceeded"),
        ("quota", "RateLimitError", "credit_balance_exhausted"),
        ("key_refused", "AuthenticationError", "invalid_api_key"),
        ("bad_request", "BadRequestError", "invalid_value"),
        ("server_error", "InternalServerError", "internal"),
    ],
)
def test_the_official_client_knows_our_servers_errors(fault, error, code):
    behaviour = Behaviour(fault_share=1.0, faults=(fault,), retry_after="3")
    with (
        FakeOpenAI(behaviour) as server,
        client(server) as official,
        pytest.raises(getattr(openai, error)) as caught,
    ):
        official.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert caught.value.code == code


def test_our_server_refuses_what_openai_would_refuse():
    with (
        FakeOpenAI() as server,
        client(server) as official,
        pytest.raises(openai.BadRequestError, match="unknown"),
    ):
        official.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "x"}],
            extra_body={"max_new_tokens": 5},
        )
