"""A sound reply of each format, from which fuzzers start."""

import json

NOTICE = "******* This Lyrics is NOT for Commercial use *******"
LOGPROBS = [
    {
        "token": "a",
        "logprob": -0.1,
        "bytes": [97],
        "top_logprobs": [{"token": "a", "logprob": -0.1}],
    }
]
OPENAI = {
    "id": "c",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {
                "role": "assistant",
                "content": "<think>why</think>yes",
                "reasoning": "why",
                "refusal": None,
                "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
            },
            "logprobs": {"content": LOGPROBS},
        }
    ],
    "usage": {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 1},
    },
}
ANTHROPIC = {
    "type": "message",
    "content": [
        {"type": "thinking", "thinking": "why"},
        {"type": "text", "text": "yes"},
        {"type": "tool_use", "name": "f", "input": {}},
    ],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 1},
}
GEMINI = {
    "candidates": [
        {
            "content": {
                "parts": [
                    {"text": "why", "thought": True},
                    {"text": "yes"},
                    {"functionCall": {"name": "f", "args": {}}},
                ]
            },
            "finishReason": "STOP",
            "logprobsResult": {
                "topCandidates": [{"candidates": [{"token": "a", "logProbability": -0.1}]}],
                "chosenCandidates": [{"token": "a", "logProbability": -0.1}],
            },
        }
    ],
    "promptFeedback": {"blockReason": ""},
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 1},
}
OLLAMA = {
    "done": True,
    "done_reason": "stop",
    "message": {
        "content": "yes",
        "thinking": "why",
        "tool_calls": [{"function": {"name": "f", "arguments": {}}}],
    },
    "logprobs": LOGPROBS,
    "prompt_eval_count": 3,
    "eval_count": 2,
}
BEDROCK = {
    "output": {
        "message": {
            "content": [
                {"text": "yes"},
                {"reasoningContent": {"reasoningText": {"text": "why"}}},
                {"toolUse": {"name": "f", "input": {}}},
            ]
        }
    },
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 2, "cacheReadInputTokens": 1},
}
ERROR = {
    "error": {
        "code": 429,
        "type": "rate_limited",
        "status": "RESOURCE_EXHAUSTED",
        "details": [{"reason": "API_KEY_INVALID", "retryDelay": "3s"}],
    }
}
BATCH = {
    "id": "b1",
    "status": "completed",
    "request_counts": {"completed": 1, "failed": 1},
    "errors": {"data": [{"code": "x", "line": 1}]},
    "output_file_id": "f1",
    "metadata": {"stillhouse": "t"},
}
BATCH_LINE = {"custom_id": "q1", "response": {"status_code": 200, "body": OPENAI}, "error": None}
LRCLIB = [
    {
        "id": 1,
        "name": "T",
        "trackName": "T",
        "artistName": "A",
        "albumName": "B",
        "duration": 180.5,
        "instrumental": False,
        "plainLyrics": "la la\nla",
        "syncedLyrics": "[ar: A]\n[00:01.00] la la\n[00:02.50] la",
    }
]
NOT_FOUND = {"code": 404, "name": "TrackNotFound", "message": "Failed to find specified track"}
GENIUS = {
    "meta": {"status": 200},
    "response": {
        "hits": [
            {
                "type": "song",
                "result": {
                    "id": 1,
                    "title": "T",
                    "url": "https://genius.com/1",
                    "language": "en",
                    "primary_artist": {"name": "A"},
                },
            }
        ]
    },
}
MUSIXMATCH = {
    "message": {
        "header": {"status_code": 200},
        "body": {
            "track_list": [
                {
                    "track": {
                        "track_id": 1,
                        "track_name": "T",
                        "artist_name": "A",
                        "track_length": 180,
                        "instrumental": 0,
                        "restricted": 0,
                        "primary_genres": {
                            "music_genre_list": [{"music_genre": {"music_genre_name": "Pop"}}]
                        },
                    }
                }
            ],
            "lyrics": {
                "lyrics_body": f"la la\n...\n\n{NOTICE}",
                "restricted": 0,
                "instrumental": 0,
                "lyrics_language": "en",
            },
        },
    }
}
JSON_API = {
    "data": {"hymns": [{"no": 1, "name": "T", "by": {"name": "A"}, "verses": ["la", "la"]}]},
    "next": "c2",
}
ROBOTS = b"User-agent: *\nDisallow: /a*b$\nAllow: /\nCrawl-delay: 1.5\n\nUser-agent: x\nDisallow: /"


def as_bytes(value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()
