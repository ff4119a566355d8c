"""Conversations to score, and the naive way of scoring one."""

import numpy as np
import torch

from stillhouse.core.rows import Message
from stillhouse.tokens.encode import encode_conversation

ANSWERS = [
    "yes",
    "the quick brown fox jumps",
    "no: it has a reason, and another",
    "0",
    "home again",
]


def encode_texts(template, tokenizer):
    turns = [
        (Message("user", "a question " * (number + 1)), Message("assistant", answer))
        for number, answer in enumerate(ANSWERS)
    ]
    turns.append((*turns[0], *turns[1]))  # two answers in one conversation
    encoded = [encode_conversation(messages, template, tokenizer) for messages in turns]
    return [(f"example-{number}", one) for number, one in enumerate(encoded)]


def dense_logprobs(model, conversation, vocab_size):
    """All logits of one conversation, the rows before its trained tokens."""
    ids = torch.from_numpy(conversation.ids).long()[None]
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, :, :vocab_size].double()
    rows = np.flatnonzero(conversation.is_trained) - 1
    return logits[rows].log_softmax(-1)
