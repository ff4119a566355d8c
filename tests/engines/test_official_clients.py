"""The official clients talk to our servers, so the servers' shapes are the providers'."""

import json
from contextlib import closing

import pytest
from tests.engines.fakes.anthropic_server import FakeAnthropic
from tests.engines.fakes.bedrock_server import FakeBedrock
from tests.engines.fakes.gemini_server import FakeGemini
from tests.engines.fakes.ollama_server import FakeOllama
from tests.engines.fakes.server import Behaviour

REASON = "the official clients come with the clients extra"
HI = [{"role": "user", "content": "hello there"}]


def failing(fault):
    return Behaviour(fault_share=1.0, faults=(fault,), retry_after="3")


class TestAnthropic:
    def client(self, server):
        anthropic = pytest.importorskip("anthropic", reason=REASON)
        return anthropic.Anthropic(
            api_key="sk-new", base_url=server.url, max_retries=0, timeout=5.0
        )

    def test_it_reads_an_answer(self):
        with FakeAnthropic() as server, self.client(server) as official:
            found = official.messages.create(
                model="m",
                max_tokens=3,
                messages=HI,
                system="Be brief.",
                thinking={"type": "disabled"},
            )
        assert found.stop_reason == "max_tokens"
        assert found.content[0].text.startswith("answer")
        assert found.usage.output_tokens == 3
        type(found).model_validate(found.model_dump(), strict=True)
        (call,) = server.calls
        assert (call.key, call.headers["anthropic-version"]) == ("sk-new", "2026-10-21")

    def test_it_reads_thoughts_and_a_tool_call(self):
        tool = {"name": "look", "input_schema": {"type": "object"}}
        with FakeAnthropic() as server, self.client(server) as official:
            thought = official.messages.create(
                model="m", max_tokens=9, messages=HI, thinking={"type": "adaptive"}
            )
            called = official.messages.create(model="m", max_tokens=9, messages=HI, tools=[tool])
        assert [one.type for one in thought.content] == ["thinking", "text"]
        assert (called.stop_reason, called.content[0].input) == ("tool_use", {"a": 1})

    @pytest.mark.parametrize(
        ("fault", "error", "kind"),
        [
            ("rate_limited", "RateLimitError", "rate_limit_error"),
            ("key_refused", "AuthenticationError", "authentication_error"),
            ("bad_request", "BadRequestError", "invalid_request_error"),
            ("overloaded", "OverloadedError", "overloaded_error"),
            ("server_error", "InternalServerError", "api_error"),
        ],
    )
    def test_it_knows_our_servers_errors(self, fault, error, kind):
        anthropic = pytest.importorskip("anthropic", reason=REASON)

        with (
            FakeAnthropic(failing(fault)) as server,
            self.client(server) as official,
            pytest.raises(anthropic.APIStatusError) as caught,
        ):
            official.messages.create(model="m", max_tokens=3, messages=HI)
        assert type(caught.value).__name__ == error
        assert caught.value.body["error"]["type"] == kind

    def test_our_server_refuses_a_temperature_where_anthropic_would(self):
        anthropic = pytest.importorskip("anthropic", reason=REASON)

        with (
            FakeAnthropic() as server,
            self.client(server) as official,
            pytest.raises(anthropic.BadRequestError, match="Extra inputs"),
        ):
            official.messages.create(
                model="m", max_tokens=3, messages=HI, extra_body={"temperature": 0.5}
            )


class TestOllama:
    def client(self, server):
        ollama = pytest.importorskip("ollama", reason=REASON)
        return ollama.Client(host=server.url)

    def test_it_reads_an_answer_with_logprobs_and_durations(self):
        with FakeOllama() as server, self.client(server) as official:
            found = official.chat(
                "m", HI, options={"num_predict": 3}, logprobs=True, top_logprobs=2, think=True
            )
        assert (found.done, found.done_reason, found.eval_count) == (True, "length", 3)
        assert found.message.thinking == "Let me see."
        assert found.logprobs[0].top_logprobs[0].logprob == -0.25
        assert found.total_duration > found.eval_duration > 0

    def test_it_reads_the_form_without_turns_and_a_tool_call(self):
        tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
        with FakeOllama() as server, self.client(server) as official:
            assert official.generate("m", "hello", system="Be brief.").response.startswith("answer")
            called = official.chat("m", HI, tools=[tool])
        assert called.message.tool_calls[0].function.arguments == {"a": 1}

    def test_it_shows_a_model_and_makes_one(self):
        with FakeOllama() as server, self.client(server) as official:
            assert official.create("mine", from_="base", system="Be brief.").status == "success"
            assert official.show("mine").capabilities == ["completion"]

    def test_it_knows_our_servers_errors(self):
        ollama = pytest.importorskip("ollama", reason=REASON)
        with (
            FakeOllama(failing("overloaded")) as server,
            self.client(server) as official,
            pytest.raises(ollama.ResponseError) as caught,
        ):
            official.chat("m", HI)
        assert caught.value.status_code == 503


class TestGemini:
    def client(self, server):
        genai = pytest.importorskip("google.genai", reason=REASON)
        options = genai.types.HttpOptions(
            base_url=server.url.removesuffix("/v1beta"), api_version="v1beta", timeout=5000
        )
        return genai.Client(api_key="sk-new", http_options=options)

    def ask(self, server, **config):
        types = pytest.importorskip("google.genai.types", reason=REASON)

        with self.client(server) as official:
            return official.models.generate_content(
                model="m", contents="hello there", config=types.GenerateContentConfig(**config)
            )

    def test_it_reads_an_answer_with_logprobs_and_thoughts(self):
        with FakeGemini() as server:
            found = self.ask(
                server,
                system_instruction="Be brief.",
                max_output_tokens=3,
                response_logprobs=True,
                logprobs=2,
                thinking_config={"include_thoughts": True, "thinking_level": "high"},
            )
        candidate = found.candidates[0]
        assert candidate.finish_reason.name == "MAX_TOKENS"
        assert found.text.startswith("answer")
        assert candidate.content.parts[0].thought
        top = candidate.logprobs_result.top_candidates[0].candidates
        assert [one.log_probability for one in top] == [-0.25, -2.5]
        assert found.usage_metadata.thoughts_token_count == 3
        assert server.calls[0].key == "sk-new"

    def test_it_reads_a_blocked_prompt_and_a_blocked_answer(self):
        with FakeGemini(Behaviour(say=lambda *_: "forbidden")) as server:
            found = self.ask(server)
        assert found.prompt_feedback.block_reason.name == "SAFETY"
        with FakeGemini(failing("refusal")) as server:
            assert self.ask(server).candidates[0].finish_reason.name == "SAFETY"

    @pytest.mark.parametrize(("fault", "status"), [("rate_limited", 429), ("key_refused", 400)])
    def test_it_knows_our_servers_errors(self, fault, status):
        errors = pytest.importorskip("google.genai.errors", reason=REASON)

        with FakeGemini(failing(fault)) as server, pytest.raises(errors.ClientError) as caught:
            self.ask(server)
        assert caught.value.code == status


class TestBedrock:
    def client(self, server):
        boto3 = pytest.importorskip("boto3", reason=REASON)
        from botocore.config import Config

        # it sends a bearer key over TLS only, so it signs
        return closing(
            boto3.client(
                "bedrock-runtime",
                region_name="us-east-1",
                endpoint_url=server.url,
                aws_access_key_id="AKIDEXAMPLE",
                aws_secret_access_key="wJalrXUtnFEMI",
                config=Config(retries={"total_max_attempts": 1}),
            )
        )

    def asked(self):
        return {"modelId": "meta.llama3:0", "messages": [
            {"role": "user", "content": [{"text": "hello there"}]}
        ]}  # fmt: skip

    def test_it_reads_an_answer_and_thoughts(self):
        with FakeBedrock() as server, self.client(server) as official:
            found = official.converse(
                **self.asked(),
                system=[{"text": "Be brief."}],
                inferenceConfig={"maxTokens": 3, "temperature": 0.0, "topP": 1.0},
                additionalModelRequestFields={"thinking": {"type": "adaptive"}},
            )
        thought, answer = found["output"]["message"]["content"]
        assert found["stopReason"] == "max_tokens"
        assert thought["reasoningContent"]["reasoningText"]["text"] == "Let me see."
        assert answer["text"].startswith("answer")
        assert found["usage"]["outputTokens"] == 3
        assert server.calls[0].key.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            ("rate_limited", "ThrottlingException"),
            ("key_refused", "AccessDeniedException"),
            ("bad_request", "ValidationException"),
        ],
    )
    def test_it_knows_our_servers_errors(self, fault, code):
        pytest.importorskip("boto3", reason=REASON)
        from botocore.exceptions import ClientError

        with (
            FakeBedrock(failing(fault)) as server,
            self.client(server) as official,
            pytest.raises(ClientError) as caught,
        ):
            official.converse(**self.asked())
        assert caught.value.response["Error"]["Code"] == code

    def test_the_schema_of_an_answer_goes_where_the_client_puts_it(self):
        schema = json.dumps({"type": "object", "additionalProperties": False})
        form = {"type": "json_schema", "structure": {"jsonSchema": {"schema": schema, "name": "v"}}}
        with FakeBedrock() as server, self.client(server) as official:
            official.converse(**self.asked(), outputConfig={"textFormat": form})
        assert server.calls[0].body["outputConfig"]["textFormat"] == form
