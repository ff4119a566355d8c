"""What `label` stored by class, as examples that a student learns whole answers from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stillhouse.core.rows import Example
from stillhouse.data.storage import read_completions
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.label_files import CLASSES, COMPLETIONS
from stillhouse.stages.named_answers import NamedAnswers
from stillhouse.students.class_examples import NO_LABEL, ClassExample
from stillhouse.targets.class_store import ClassReader
from stillhouse.tokens.answer_trees import grow_tree


class ClassLessons:
    """The class targets of a labelling, which must belong to these classes and this very text.

    Args:
        folder: of the `label` artifact.
        corpus: of the student.
        named: the classes, as the recipe names them.

    Raises:
        ArtifactError: the store is of other classes, another tokenizer or template; each is named.
    """

    def __init__(self, folder: Path, corpus: Corpus, named: NamedAnswers) -> None:
        self._corpus = corpus
        self._named = named
        # What is stored was said of the text as the teacher reads it.
        self._taught = corpus.read_by("teacher")
        self._store = open_classes(folder / CLASSES, self._taught, named)
        self._texts = {one.example_id: one.text for one in read_completions(folder / COMPLETIONS)}

    def encode(self, examples: Sequence[Example]) -> list[ClassExample]:
        """Those with class targets; the hard label is the class whose text `label` kept."""
        return [self._encode(example) for example in examples if example.example_id in self._store]

    def _encode(self, example: Example) -> ClassExample:
        name = example.example_id
        answer = self._store.answer_of(name)
        answers = self._named.answers(answer)
        record = self._store.get(name, self._taught.view_digest(example, answers[0]))
        family = self._named.encode(self._corpus, example, answer)
        text = self._texts.get(name)
        hard = NO_LABEL if text is None else answers.index(text)
        return ClassExample(grow_tree(family), record.probs.astype(np.float32), hard)


def open_classes(folder: Path, corpus: Corpus, named: NamedAnswers) -> ClassReader:
    """A store of class targets that belongs to these classes, tokenizer and template.

    Args:
        folder: the store.
        corpus: of the teacher, whose tokenizer and template it must be of.
        named: the classes that it must hold.

    Returns:
        The store.

    Raises:
        ArtifactError: it belongs to something else; each difference is named.
    """
    return ClassReader(
        folder,
        {
            "tokenizer_digest": corpus.tokenizer.digest,
            "template_digest": corpus.template.digest,
            "classes": named.names,
            "class_field": named.field,
        },
    )
