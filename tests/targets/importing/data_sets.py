"""Whole small data sets of other tools, for tests that only need one to be there."""

from tests.targets.importing.packers import (
    DISTILLKIT,
    likeliest,
    named_entries,
    pack_row,
    teacher_says,
    write_rows,
)

from stillhouse.core.rows import Message
from stillhouse.tokens.encode import encode_conversation
from stillhouse.tokens.template import ChatTemplate


def write_captured(folder, tokenizer, k=8):
    """A data set of DistillKit's capture: three rows, and its compression config."""
    vocab = tokenizer.vocab_size
    config = {"d": vocab, "k": k, "exact_k": k, "exact_dtype": "float32", "residual_bins": []}
    rows = []
    for number in range(3):
        teacher = teacher_says(30, vocab, seed=number)
        tokens = [5, *teacher.argmax(axis=1)[:-1].tolist()]
        rows.append(pack_row(tokens, *likeliest(teacher, k), config))
    write_rows(folder / "data_0.parquet", rows, DISTILLKIT)
    lines = [f"{name}: {value}" for name, value in config.items()]
    (folder / "compression_config.yaml").write_text("\n".join(lines))
    return folder


def write_conversations(folder, tokenizer, k=6):
    """A data set of axolotl: two conversations with what vLLM's server said of their answers."""
    rows = []
    for number, answer in enumerate(("the quick brown fox", "a lazy dog runs home again")):
        turns = [Message("user", f"question {number}"), Message("assistant", answer)]
        encoded = encode_conversation(turns, ChatTemplate.of(tokenizer), tokenizer)
        teacher = teacher_says(len(encoded.ids), tokenizer.vocab_size, seed=number)
        listed = named_entries(teacher[encoded.is_trained], k)
        plain = [{"role": turn.role, "content": turn.content} for turn in turns]
        rows.append({"messages_combined": plain, "llm_text_generation_vllm_logprobs": listed})
    return write_rows(folder / "train-00000-of-00001.parquet", rows)
