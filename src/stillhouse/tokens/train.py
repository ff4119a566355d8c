"""A byte-level BPE tokenizer learned from texts, written as an ordinary Hugging Face folder.

Source: Sennrich, Haddow & Birch 2016, arXiv:1508.07909, section 3.2; over bytes as in GPT-2.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from stillhouse.core.errors import InputError
from stillhouse.core.files import disk_full_is_clear, write_atomic, write_json
from stillhouse.tokens.tokenizer import TextTokenizer, load_tokenizer

PAD, END = "<|pad|>", "<|end|>"
SPECIALS = (PAD, END, "<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SMALLEST_VOCAB = 256 + len(SPECIALS)


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, folder: Path, context: int | None = None
) -> TextTokenizer:
    """Learn a tokenizer from texts and write it to a folder that `AutoTokenizer` loads.

    Args:
        texts: what its merges are learned from; equal texts give equal files.
        vocab_size: entries at most, the 256 bytes and 5 special tokens included.
        folder: where the files go; made when missing.
        context: longest input of the model in tokens, None when nobody says.

    Returns:
        The tokenizer, as loaded from the folder; every Unicode text has ids.

    Raises:
        InputError: the vocabulary cannot hold the bytes and the special tokens.
    """
    if vocab_size < SMALLEST_VOCAB:
        raise InputError(
            f"vocab_size is {vocab_size}; 256 bytes and {len(SPECIALS)} special tokens need "
            f"at least {SMALLEST_VOCAB}"
        )
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    config: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": PAD,
        "eos_token": END,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
    }
    if context is not None:
        config["model_max_length"] = context
    with disk_full_is_clear(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "tokenizer.json", (backend.to_str(pretty=True) + "\n").encode())
        write_json(folder / "tokenizer_config.json", config)
    return load_tokenizer(folder)
