"""Whether texts come out the same where a student ships, told before it is trained."""

from __future__ import annotations

from collections.abc import Iterator

from stillhouse.core.errors import RecipeError, UsageError
from stillhouse.export.gguf_vocabulary import vocabulary_of
from stillhouse.export.modelfile import modelfile_text
from stillhouse.recipes.load import Loaded, place_of
from stillhouse.recipes.schema import Recipe
from stillhouse.runner.preview import Preview
from stillhouse.runner.shipping import error_of


def check_texts(recipe: Recipe, seen: Preview, loaded: Loaded) -> None:
    """Refuse a tokenizer that llama.cpp does not have, and a template that Ollama cannot be told.

    Args:
        recipe: as it is run.
        seen: what a look at the rows found: tokenizer, template and prompts.
        loaded: where the recipe says so.

    Raises:
        RecipeError: names the line, what cannot be and what to do instead.
    """
    for key, error in _refused_texts(recipe, seen):
        raise RecipeError(f"{place_of(loaded, key)}: {error.message}", error.hint)


def _refused_texts(recipe: Recipe, seen: Preview) -> Iterator[tuple[str, UsageError]]:
    files, modelfile = recipe.export.gguf_files, recipe.export.modelfile
    tokenizer, template = seen.reader.tokenizer, seen.reader.template
    # The official converter knows tokenizers of its own.
    if files and not files.llama_cpp_dir:
        yield from error_of(
            "export.formats", lambda: vocabulary_of(tokenizer, template, tokenizer.vocab_size)
        )
    if files and modelfile:
        holdout = [one.prompt for one in seen.examples if one.part == "holdout"]
        prompts = holdout[: files.examples]
        yield from error_of(
            "export.modelfile",
            lambda: modelfile_text(modelfile, "student.gguf", template, tokenizer, {}, prompts),
        )
