"""Google's generateContent, as its reference documents it."""

import json

from tests.engines.fakes.server import PLANTED_MESSAGE, FakeServer, Speech, digest_of, spoken

RPC = "type.googleapis.com/google.rpc."
AGAIN = {"@type": RPC + "RetryInfo", "retryDelay": "0.01s"}
BAD_KEY = {"@type": RPC + "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
ERRORS = {
    "error_in_body": (200, "INTERNAL", []),
    "server_error": (500, "INTERNAL", []),
    "overloaded": (503, "UNAVAILABLE", []),
    "rate_limited": (429, "RESOURCE_EXHAUSTED", []),
    "rate_limited_soon": (429, "RESOURCE_EXHAUSTED", [AGAIN]),
    "quota": (402, "FAILED_PRECONDITION", []),
    "key_refused": (400, "INVALID_ARGUMENT", [BAD_KEY]),
    "bad_request": (400, "INVALID_ARGUMENT", []),
}
KNOWN = {"contents", "systemInstruction", "generationConfig", "safetySettings", "tools"}
CONFIG = {
    "candidateCount", "maxOutputTokens", "temperature", "topP", "topK", "seed", "presencePenalty",
    "frequencyPenalty", "stopSequences", "responseLogprobs", "logprobs", "responseMimeType",
    "responseJsonSchema", "responseSchema", "thinkingConfig",
}  # fmt: skip


class GeminiSpeech(Speech):
    prefix = "/v1beta"

    def takes(self, path):
        return path.startswith("/v1beta/models/") and path.endswith(":generateContent")

    def key_of(self, headers):
        return headers.get("x-goog-api-key", "")

    def problem_of(self, body, headers):
        config = body.get("generationConfig", {})
        unknown = (set(body) - KNOWN) | (set(config) - CONFIG)
        if unknown:
            return f"Unknown name {unknown}: Cannot find field."
        if any(one.get("role") not in ("user", "model", None) for one in body["contents"]):
            return "Please use a valid role: user, model."
        if "logprobs" in config and not config.get("responseLogprobs"):
            return "Logprobs needs responseLogprobs."
        if {"thinkingLevel", "thinkingBudget"} <= set(config.get("thinkingConfig", {})):
            return "You can only set one of thinking budget and thinking level."
        return None

    def question_of(self, body):
        seed = body.get("generationConfig", {}).get("seed")
        return digest_of([body["contents"], body.get("systemInstruction"), seed])

    def reply(self, body, fault, say, number):
        config = body.get("generationConfig", {})
        text = say(body, number) if say else f"answer {self.question_of(body)} to all"
        words, is_cut = spoken(text, config.get("maxOutputTokens", 10**9))
        prompt = sum(len(one["parts"][0]["text"].split()) + 4 for one in body["contents"])
        used = {"promptTokenCount": prompt, "totalTokenCount": prompt}
        if "forbidden" in text:
            return {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": used}
        parts = [{"text": " ".join(words)}]
        thought = 0
        # names in snake case are taken too, as in every JSON form of a protocol buffer
        told = config.get("thinkingConfig", {})
        is_shown = told.get("includeThoughts") or told.get("include_thoughts")
        if is_shown or fault == "thoughts":
            parts, thought = [{"text": "Let me see.", "thought": True}, *parts], 3
        if "tools" in body:
            parts = [{"functionCall": {"name": "look", "args": {"a": 1}}}]
        candidate = {
            "content": {"parts": parts, "role": "model"},
            "finishReason": "MAX_TOKENS" if is_cut else "STOP",
            "index": 0,
        }
        if fault == "refusal":
            candidate = {"finishReason": "SAFETY", "index": 0}
        if fault == "empty_answer":
            del candidate["content"]["parts"]
        if fault == "no_finish_reason":
            candidate["finishReason"] = "FINISH_REASON_UNSPECIFIED"
        if config.get("responseLogprobs") and fault != "no_logprobs":
            candidate["logprobsResult"] = logprobs_of(words, config.get("logprobs", 0))
        used |= {
            "candidatesTokenCount": len(words),
            "thoughtsTokenCount": thought,
            "totalTokenCount": prompt + len(words) + thought,
        }
        reply = {"candidates": [candidate], "usageMetadata": used, "modelVersion": "fake-1"}
        if fault == "no_usage":
            del reply["usageMetadata"]
        return reply

    def tokens(self, reply):
        used = reply["usageMetadata"]
        written = used.get("candidatesTokenCount", 0) + used.get("thoughtsTokenCount", 0)
        return used["promptTokenCount"], written

    def error(self, fault, message=PLANTED_MESSAGE):
        status, word, details = ERRORS[fault]
        error = {"code": status, "message": message, "status": word, "details": details}
        return status, json.dumps({"error": error}).encode(), []


class FakeGemini(FakeServer):
    speech = GeminiSpeech()


def logprobs_of(words, top):
    own = [{"token": word, "tokenId": 7, "logProbability": -0.25} for word in words]
    more = [[one, {"token": "x", "tokenId": 8, "logProbability": -2.5}][:top] for one in own]
    return {
        "chosenCandidates": own,
        "topCandidates": [{"candidates": each} for each in more],
        "logProbabilitySum": -0.25 * len(words),
    }
