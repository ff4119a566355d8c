"""An exported student as a Python object that analyses songs; no service, no network.

`Analyzer("bundle").analyze_song("Title", "Artist", "lyrics")` is all that a caller needs. Answers
are held to the schema of the task, so they can always be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from stillhouse.core.errors import ArtifactError
from stillhouse.core.sampling import Sampling
from stillhouse.export.prompt_file import PROMPT_FILE, read_prompt_file
from stillhouse.registry.versions import Registry
from stillhouse.tasks.songs.analysis import Analysis, has_words, read_analysis
from stillhouse.tasks.songs.asked_songs import Questions, SongLike, asked_song
from stillhouse.tasks.songs.confidence import decision_confidence
from stillhouse.tasks.songs.criteria import criteria as own_criteria
from stillhouse.tasks.songs.criteria import read_criteria
from stillhouse.tasks.songs.song_analysis import SongAnalysis, with_reasons, without_words
from stillhouse.tasks.songs.song_schema import FIELDS, answer_schema
from stillhouse.tokens.template import build_template
from stillhouse.tokens.tokenizer import load_tokenizer

_FORMS = ("merged", "int8", "adapter")
"""Of a bundle, the first that is there is taken."""
_NOTHING = Analysis("", None, (), ())


class Analyzer:
    """Analyses songs with a student of the task.

    Args:
        model_path: the folder `bundle` of an export, or one of the models in it.
        device: `cpu`, `cuda`, `mps`, or `auto` for the fastest that is there.
        criteria: a changed copy of `criteria.yaml`; those of the package when absent.
        batch_size: songs that are asked side by side.

    Raises:
        ArtifactError: the folder is no bundle, or holds no model that can be loaded here.
        ModelError: the model cannot be loaded.
        CapacityError: it does not fit, or the device is not there.
    """

    def __init__(
        self,
        model_path: str | Path,
        device: str = "auto",
        *,
        criteria: str | Path | None = None,
        batch_size: int = 16,
    ) -> None:
        # Costs seconds, and is of no use to whoever only imports the task.
        from stillhouse.engines.transformers import TransformersEngine
        from stillhouse.models.device import find_device
        from stillhouse.models.load import load_model

        bundle, folder = _model_of(Path(model_path))
        prompt = read_prompt_file(bundle)
        self.criteria = read_criteria(Path(criteria)) if criteria else own_criteria()
        self.device, dtype = find_device(device)
        tokenizer = load_tokenizer(folder)
        template = build_template(prompt.template, tokenizer)
        self._questions = Questions(prompt, template, tokenizer)
        self._engine = TransformersEngine(
            load_model(folder, device=self.device, dtype=dtype),
            tokenizer,
            template,
            answer_schema=answer_schema(prompt.answer_fields or FIELDS),
        )
        self._engine.with_logprobs = True
        self._sampling = Sampling(prompt.room_for_answer, batch_size=batch_size)
        self._one_at_a_time = Lock()

    @classmethod
    def of_version(
        cls, name: str, version_id: str = "", runs: str | Path = "runs", **options: Any
    ) -> Analyzer:
        """The analyzer of a registered version.

        Args:
            name: of the student in the registry.
            version_id: of the version; the one that was registered last when empty.
            runs: the folder that holds all runs.
            **options: as of the class.

        Returns:
            An analyzer over the version's files, whose digests were compared.

        Raises:
            ArtifactError: there is no such version, or a file of it has other bytes.
        """
        registry = Registry(Path(runs) / "registry")
        version = registry.read(name, version_id) if version_id else registry.newest(name)
        with registry.laid_out(version) as folder:
            return cls(folder, **options)

    def analyze_song(
        self,
        title: str | Mapping[str, Any],
        artist: str | None = None,
        lyrics: str | None = None,
    ) -> SongAnalysis:
        """What the student says of one song.

        Args:
            title: of the song; or a mapping with title, artist and lyrics, and nothing else then.
            artist: who sings it.
            lyrics: of any length; empty for an instrumental.

        Returns:
            The analysis, with rationale and confidence, or with reasons why a person should look.

        Raises:
            TypeError: a text is None, or no text.
            InputError: a mapping lacks one.
        """
        song = title if isinstance(title, Mapping) else (title, artist, lyrics)
        return self.analyze_songs_batch([song])[0]

    def analyze_songs_batch(self, songs: Iterable[SongLike]) -> list[SongAnalysis]:
        """What the student says of each song; the same as one by one, in less time.

        Args:
            songs: mappings with title, artist and lyrics, or the three in this order.

        Returns:
            One analysis a song, in their order.

        Raises:
            TypeError: a text of a song is None, or no text; the message names the song.
            InputError: a song lacks one.
        """
        asked = [asked_song(song, f"song {number}") for number, song in enumerate(songs)]
        spoken = [number for number, song in enumerate(asked) if has_words(song.lyrics)]
        found = {number: without_words(song, self.criteria) for number, song in enumerate(asked)}
        questions = [self._questions.ask(asked[number], number) for number in spoken]
        with self._one_at_a_time:
            said = list(self._engine.generate([one.example for one in questions], self._sampling))
        for number, question, answer in zip(spoken, questions, said, strict=True):
            found[number] = with_reasons(
                asked[number],
                read_analysis(answer.text) or _NOTHING,
                decision_confidence(answer.logprobs),
                self.criteria,
                num_cut=question.num_cut,
            )
        return [found[number] for number in range(len(asked))]


class GPTOSSChristianAnalyzer(Analyzer):
    """The same under the name that it had where it replaces four models."""


class FineTunedGPTOSSAnalyzer(Analyzer):
    """The same under the name that the directly tuned model had."""


def _model_of(path: Path) -> tuple[Path, Path]:
    """The bundle and the model folder that a path means."""
    if (path.parent / PROMPT_FILE).is_file() and not (path / PROMPT_FILE).is_file():
        return path.parent, path
    form = next((name for name in _FORMS if (path / name).is_dir()), None)
    if form is None:
        raise ArtifactError(
            f"{path} holds none of {', '.join(_FORMS)}",
            "name the folder `bundle` of an export; files for llama.cpp are used there",
        )
    return path, path / form
