"""A bundle whose student has random weights: all it says is held to the schema."""

from tests.models.tiny_models import save

from stillhouse.export.prompt_file import PromptFile, write_prompt_file

FIELDS = ("score", "verdict", "concern_level")
"""Short answers, so that a model that never learned to end is cut by the schema."""


def write_bundle(family, tokenizer, tokenizer_folder, folder, **changes):
    """A bundle of a family, asked about songs in a plain template."""
    save(family, tokenizer, tokenizer_folder, folder / "merged", max_position_embeddings=512)
    prompt = {
        "system": "",
        "user": "{title}|{artist}|{genre}|{lyrics}|",
        "cut_field": "lyrics",
        "max_tokens": 320,
        "room_for_answer": 120,
        "template": {"user": "{content}", "assistant": "{content}"},
        "answer_fields": FIELDS,
    } | changes
    write_prompt_file(PromptFile(**prompt), folder)
    return folder
