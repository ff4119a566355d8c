"""By whose words teacher and student read, once their folders are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stillhouse.core.errors import RecipeError
from stillhouse.models.source import ModelFolder, context_tokens, tokenizer_difference
from stillhouse.recipes.load import Loaded, place_of
from stillhouse.recipes.readers import (
    Reader,
    ReaderContent,
    known_difference,
    reader_problems,
    readers_of,
)
from stillhouse.recipes.schema import Recipe
from stillhouse.stages.corpus import TOKENIZER_OF
from stillhouse.tokens.files import digest_tokenizer

Folders = Mapping[str, ModelFolder | None]
"""Of `teacher` and `student`; None for a scratch model and one behind an API."""


@dataclass(frozen=True, slots=True)
class FoundReaders:
    """The readers of a recipe.

    Attributes:
        student: of the student, and of a teacher that reads as it does.
        teacher: of a teacher that reads otherwise; None without one.
        difference: in what they read differently, in words; empty where they do not.
        locations: where the tokenizers lie that are not learned.
    """

    student: ReaderContent
    teacher: ReaderContent | None = None
    difference: str = ""
    locations: dict[str, str] = field(default_factory=dict)


def find_readers(recipe: Recipe, folders: Folders, loaded: Loaded) -> FoundReaders:
    """Whom the examples are written for.

    Args:
        recipe: as it is run.
        folders: of the models.
        loaded: where the recipe says so.

    Returns:
        One reader or two, with what was found of them.

    Raises:
        RecipeError: they read differently, and the recipe asks for what needs one reader; a
            tokenizer has no chat template; or the student holds more than its teacher.
    """
    teacher, student = folders["teacher"], folders["student"]
    difference = known_difference(recipe)
    if not difference and teacher and student:
        difference = tokenizer_difference(teacher, student)
    problems = list(reader_problems(recipe, difference))
    if problems:
        raise RecipeError("\n".join(f"{place_of(loaded, one.key)}: {one.text}" for one in problems))
    _refuse_a_longer_student(recipe, folders, loaded)
    readers = readers_of(recipe, differ=bool(difference))
    own = {"student": readers.student} | ({"teacher": readers.teacher} if readers.teacher else {})
    contexts = {name: _context(recipe, folders, name) for name in folders}
    if len(own) == 1:
        # Whatever one of both cannot hold is read by neither.
        contexts["student"] = min((one for one in contexts.values() if one), default=0)
    found = {
        name: ReaderContent(_digest(reader, folders, recipe, loaded), contexts[name])
        for name, reader in own.items()
    }
    locations = {
        TOKENIZER_OF + name: str(folder.path)
        for name, reader in own.items()
        if (folder := folders[reader.tokenizer_of])
    }
    return FoundReaders(found["student"], found.get("teacher"), difference, locations)


def _digest(reader: Reader, folders: Folders, recipe: Recipe, loaded: Loaded) -> str:
    """Of a reader's tokenizer; empty where it is learned."""
    folder = folders[reader.tokenizer_of]
    if not folder:
        return ""
    is_chat = getattr(recipe, reader.written_by).template == "chat"
    if is_chat and folder.tokenizer.chat_template is None:
        key = f"{reader.written_by}.template"
        raise RecipeError(
            f"{place_of(loaded, key)}: chat takes the tokenizer's own template, and the tokenizer "
            f"of {folder.path} has none",
            f"write {key}: {{user: '{{content}} '}}, or add chat_template.jinja to the folder",
        )
    return digest_tokenizer(folder.path)


def _context(recipe: Recipe, folders: Folders, name: str) -> int:
    """Tokens that teacher or student can hold; 0 where it names no limit."""
    source, folder = getattr(recipe, name), folders[name]
    if source.layers_of_teacher:
        return _context(recipe, folders, "teacher")
    scratch = source.scratch.config if source.scratch else {}
    return context_tokens(folder.config if folder else scratch) or 0


def _refuse_a_longer_student(recipe: Recipe, folders: Folders, loaded: Loaded) -> None:
    """A student that can hold more than its teacher would be cut to it without being asked."""
    of_teacher, of_student = (_context(recipe, folders, name) for name in ("teacher", "student"))
    most = recipe.prepare.max_tokens
    if 0 < of_teacher < of_student and (most is None or most > of_teacher):
        raise RecipeError(
            f"{place_of(loaded, 'prepare.max_tokens')}: the teacher has positions for "
            f"{of_teacher:,} tokens, the student for {of_student:,}: every conversation must fit "
            "the teacher's",
            f"write prepare.max_tokens: {of_teacher}, or take a teacher of a longer context",
        )
