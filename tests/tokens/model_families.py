"""Model families as tests see them: our own writing of each chat template, with its special tokens.

`python -m tests.tokens.model_families` writes the golden files anew; read their difference.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from stillhouse.core.errors import StillhouseError
from stillhouse.core.rows import Message, ToolCall
from stillhouse.tokens.encode import encode_conversation
from stillhouse.tokens.silence import silence
from stillhouse.tokens.template import ChatTemplate, PlainTemplate, Template
from stillhouse.tokens.tokenizer import TextTokenizer

FOLDER = Path(__file__).parent / "families"
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHATML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
THINK = (
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
)
LLAMA = ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>",
         "<|python_tag|>", "<|end_of_text|>")  # fmt: skip
MISTRAL = ("<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
           "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]")  # fmt: skip
GEMMA = ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")
PHI = ("<s>", "<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>")
DEEPSEEK = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>")
DEEPSEEK_WORDS = (
    "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>", "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>",
    "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>", "<｜tool▁output▁begin｜>",
    "<｜tool▁output▁end｜>",
)  # fmt: skip
HARMONY = ("<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>",
           "<|start|>", "<|end|>", "<|message|>", "<|call|>")  # fmt: skip


@dataclass(frozen=True)
class Family:
    """One way in which models of a family write a conversation.

    Attributes:
        name: of its files.
        bos: opens a text; empty where the family has none.
        eos: the tokenizer's end-of-text token.
        ends: the tokens that end an assistant turn.
        specials: its special tokens.
        words: added tokens that are ordinary text.
        thinks: `never`, `switch` or `always`.
        template: the file that it reads; empty for the plain form.
        is_silent: thinking is switched off.
    """

    name: str
    bos: str
    eos: str
    ends: tuple[str, ...]
    specials: tuple[str, ...]
    words: tuple[str, ...] = ()
    thinks: str = "never"
    template: str = ""
    is_silent: bool = False

    @property
    def source(self) -> str:
        return (FOLDER / f"{self.template or self.name}.jinja").read_text(encoding="utf-8")


FAMILIES = (
    Family("qwen2.5", "", "<|im_end|>", ("<|im_end|>",), CHATML, THINK[2:4]),
    Family("qwen3", "", "<|im_end|>", ("<|im_end|>",), CHATML, THINK, "switch"),
    Family("qwen3-off", "", "<|im_end|>", ("<|im_end|>",), CHATML, THINK, template="qwen3",
           is_silent=True),
    Family("qwen3-instruct-2507", "", "<|im_end|>", ("<|im_end|>",), CHATML, THINK),
    Family("llama3", LLAMA[0], "<|eot_id|>", ("<|eot_id|>",), LLAMA),
    Family("llama3.1", LLAMA[0], "<|eot_id|>", ("<|eot_id|>",), LLAMA),
    Family("llama3.2", LLAMA[0], "<|eot_id|>", ("<|eot_id|>",), LLAMA),
    Family("mistral-v0.2", "<s>", "</s>", ("</s>",), MISTRAL[:2]),
    Family("mistral-v0.3", "<s>", "</s>", ("</s>",), MISTRAL[:7]),
    Family("mistral-tekken", "<s>", "</s>", ("</s>",), MISTRAL),
    Family("gemma", "<bos>", "<eos>", ("<end_of_turn>",), GEMMA),
    Family("gemma3", "<bos>", "<eos>", ("<end_of_turn>",), GEMMA),
    Family("phi3", "<s>", "<|endoftext|>", ("<|end|>",), PHI),
    Family("phi3.5", "<s>", "<|endoftext|>", ("<|end|>",), PHI),
    Family("phi4", "<|endoftext|>", "<|im_end|>", ("<|im_end|>",), (*CHATML, "<|im_sep|>")),
    Family("deepseek-v3", *DEEPSEEK, DEEPSEEK[1:], DEEPSEEK, DEEPSEEK_WORDS),
    Family("deepseek-r1", *DEEPSEEK, DEEPSEEK[1:], DEEPSEEK, DEEPSEEK_WORDS, "always"),
    Family("deepseek-v3.1", *DEEPSEEK, DEEPSEEK[1:], DEEPSEEK, DEEPSEEK_WORDS, "switch"),
    Family("gpt-oss", "<|startoftext|>", "<|return|>", ("<|return|>", "<|call|>"), HARMONY, (),
           "always"),
    Family("gpt2", "", "<|endoftext|>", ("<|endoftext|>",), ("<|endoftext|>",)),
)  # fmt: skip

_ASK, _SAY = Message("user", "What colour is the sky?"), Message("assistant", "It is blue.")
_MORE, _LAST = Message("user", "And at night?"), Message("assistant", "Then it is black.")
_SYSTEM = Message("system", "Answer in one sentence.")
_CALL = Message("assistant", "", (ToolCall("get_weather", '{"city": "Ōsaka", "days": 2}'),))
CONVERSATIONS: dict[str, tuple[Message, ...]] = {
    "single turn": (_ASK, _SAY),
    "single turn with a system turn": (_SYSTEM, _ASK, _SAY),
    "several turns": (_ASK, _SAY, _MORE, _LAST),
    "several turns with a system turn": (_SYSTEM, _ASK, _SAY, _MORE, _LAST),
    "call of a tool and its result": (
        Message("user", "How is the weather in Ōsaka?"), _CALL,
        Message("tool", '{"sky": "clear"}'), Message("assistant", "It is clear.")),
    "answer with a thought": (
        _ASK, Message("assistant", "<think>\nThe air scatters blue.\n</think>\n\nIt is blue.")),
    "several answers with thoughts": (
        _ASK, Message("assistant", "<think>\nThe air scatters blue.\n</think>\n\nIt is blue."),
        _MORE, Message("assistant", "<think>\nNo sun.\n</think>\n\nThen it is black.")),
    "accents that combine, emoji of several parts, other scripts": (
        Message("user", "cafe\u0301 👩‍👩‍👧?"),
        Message("assistant", "नमस्ते 🇯🇵 e\u0301 日本語 🧑🏽‍🚀")),
    "empty answer": (_ASK, Message("assistant", "")),
    "answer in white space": (_ASK, Message("assistant", "\n  It is blue. \n\n")),
}  # fmt: skip


@cache
def base() -> str:
    """The tokenizer below every family: byte-level, so that any text has tokens."""
    from tests.tokens.conftest import CORPUS

    backend = Tokenizer(models.BPE())
    # Words as Qwen, Llama 3 and GPT-4 part them, so that line breaks meet as they do there.
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    return str(backend.to_str())


@cache
def open_family(family: Family) -> tuple[TextTokenizer, Template]:
    """Tokenizer and template of a family."""
    backend = Tokenizer.from_str(base())
    backend.add_special_tokens([AddedToken(text, special=True) for text in family.specials])
    backend.add_tokens([AddedToken(text, special=False) for text in family.words])
    specials = {"eos_token": family.eos} | ({"bos_token": family.bos} if family.bos else {})
    if family.name == "gpt2":
        plain = PlainTemplate(family.eos, user="Q: {content}\n", assistant="A: {content}")
        return TextTokenizer(backend, specials, None), plain
    tokenizer = TextTokenizer(backend, specials, family.source)
    tokenizer = silence(tokenizer) if family.is_silent else tokenizer
    return tokenizer, ChatTemplate.of(tokenizer)


def marked(family: Family, messages: tuple[Message, ...]) -> str:
    """A conversation with what is learned between ⟦ and ⟧, or why it is refused."""
    tokenizer, template = open_family(family)
    try:
        encoded = encode_conversation(messages, template, tokenizer)
    except StillhouseError as error:
        return f"refused: {error.message}"
    data, text = encoded.text.encode(), b""
    spans = zip(encoded.byte_offsets.tolist(), encoded.is_trained.tolist(), strict=True)
    inside = False
    for (start, end), is_trained in spans:
        text += (
            "⟦" if is_trained and not inside else "⟧" if inside and not is_trained else ""
        ).encode()
        text += data[start:end]
        inside = is_trained
    text += ("⟧" if inside else "").encode()
    notes = [f"left out: turn {one.turn}: {one.why}" for one in encoded.left_out]
    if encoded.inserted:
        notes.append(f"{encoded.inserted} characters before the answer are not in its prompt")
    notes += [f"cut at byte {at}, over which a token reached" for at in encoded.seams]
    return "\n".join([text.decode().replace("\n", "⏎\n"), *(f"-- {note}" for note in notes)])


def golden(family: Family) -> str:
    """The golden file of a family."""
    parts = [f"== {name}\n{marked(family, turns)}" for name, turns in CONVERSATIONS.items()]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    for one in FAMILIES:
        (FOLDER / f"{one.name}.txt").write_text(golden(one), encoding="utf-8")
