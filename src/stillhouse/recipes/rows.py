"""The `collect` and `prepare` sections: which rows, and how they become examples."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from stillhouse.recipes.collection import Collection
from stillhouse.recipes.data_steps import DataStep, PairWith
from stillhouse.recipes.production_log import ProductionLog
from stillhouse.recipes.rewording import Augment
from stillhouse.recipes.rights import Rights
from stillhouse.recipes.row_checks import DUPLICATES
from stillhouse.recipes.row_step import FileStep, Step
from stillhouse.recipes.section import Count, Fraction, Section, Seed


class SampleRows(Section):
    """Rows that a task of Stillhouse generates itself, seeded.

    Attributes:
        task: whose rows; `accounting`, `neurons`, `prompt_seeds`, `prompts`, `songs` and `tickets`
            are there.
        rows: how many.
        seed: another seed gives other rows.
        noise: probability that a value of an annotation is drawn anew.
    """

    task: str
    rows: Count
    seed: Seed = 0
    noise: Fraction = 0.0


class Dataset(Section):
    """A data set of the Hugging Face hub, or a folder that `datasets` saved.

    Attributes:
        id: `owner/name`, or a folder.
        split: of the data set.
        config: of the data set, where it has several.
        revision: branch, tag or commit of the hub.
    """

    id: str
    split: str = "train"
    config: str | None = None
    revision: str | None = None


class Source(Section):
    """Where rows come from; exactly one of the four.

    Attributes:
        file: a path; a relative one starts at the recipe's folder, for a built-in recipe at the
            current one.
        dataset: a data set of the hub.
        sample_rows: rows that Stillhouse generates.
        collection: songs from providers and lists, up to a plan.
        format: of the file; `auto` goes by its name.
        encoding: of a text file.
        records: dotted path to the list of records inside a JSON file.
    """

    file: str | None = None
    dataset: Dataset | None = None
    sample_rows: SampleRows | None = None
    collection: Collection | None = None
    format: Literal["auto", "csv", "tsv", "jsonl", "json", "parquet"] = "auto"
    encoding: str = "utf-8"
    records: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [
            name for name in ("file", "dataset", "sample_rows", "collection") if getattr(self, name)
        ]
        if len(given) != 1:
            stated = " and ".join(given) if given else "none of them"
            raise ValueError(
                f"give exactly one of file, dataset, sample_rows, collection; this has {stated}"
            )
        return self


class Collect(Section):
    """Which rows are read, and which of their fields are kept under which name.

    Attributes:
        source: where the rows come from.
        columns: our name to a dotted path in the record (`choices.text.0`); empty keeps all.
        limit: read at most that many rows.
        planned_rows: how many the file is to have: a built-in recipe whose file is not there yet is
            planned with so many assumed ones; changes no hash.
        log: the rows are an application's own log: which of them are kept.
        rights: what the rows may be used for, and whom they are about. `rights` and `log` name
            fields as they are read, before `columns`. A collection's songs are asked for their
            `licence`, and known by their `lyrics_source`, where `rights` does not say otherwise.
    """

    source: Source
    columns: dict[str, str] = Field(default_factory=dict)
    limit: Count | None = None
    planned_rows: Count | None = None
    log: ProductionLog | None = None
    rights: Rights = Rights()

    @model_validator(mode="after")
    def _devices_are_hashed(self) -> Self:
        if self.log and self.log.device_as not in self.rights.hash_fields:
            raise ValueError(
                "a log holds ids of devices, which are not kept as they are: write rights: "
                f"{{hash_fields: [{self.log.device_as}], salt_env: NAME}}"
            )
        return self

    @model_validator(mode="after")
    def _songs_are_asked_for_their_licence(self) -> Self:
        if self.source.collection:
            told = {}
            if not self.rights.asks_licence:
                told["licence_field"] = "licence"
            if not self.rights.source_field:
                told["source_field"] = "lyrics_source"
            # Sections are frozen for all but their own validators.
            self.__dict__["rights"] = self.rights.model_copy(update=told)
        return self

    @model_validator(mode="after")
    def _plan_says_how_many(self) -> Self:
        if self.source.collection and self.limit:
            raise ValueError("a collection's plan says how many songs: remove limit")
        return self


class Drop(Section):
    """Rows that end in `prepare`, each with its reason.

    Attributes:
        empty: drop rows whose prompt, or whose answer where one is required, is empty.
        duplicates: drop all but one of rows with equal prompt and answer.
        conflicts: drop every row whose prompt stands elsewhere with another answer.
        min_chars: of the prompt text.
        max_chars: of the prompt text.
    """

    empty: bool = True
    duplicates: bool = True
    conflicts: bool = False
    min_chars: int = Field(default=1, ge=0)
    max_chars: Count | None = None


CLEAN_PROFILES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "safe": {},
        "nfkc": {"normalize": "NFKC"},
        "ascii": {"fix_text": False, "normalize": "ascii"},
    }
)


class Clean(Section):
    """Repairs of the rows' texts; a profile's name stands for its settings.

    `safe`, the default, loses no letter of any script; `nfkc` also writes compatibility forms out;
    `ascii` is the founding form, which deletes most signs and every script but the Latin.

    Attributes:
        fix_text: undo mojibake with ftfy.
        normalize: the Unicode form. NFC changes no letter; NFKC makes `x2` of `x²`; `ascii` deletes
            every other letter and sign, `$` and `%` among them, and tells which.
        strip: cut blanks off the ends of every text.
    """

    fix_text: bool = True
    normalize: Literal["NFC", "NFKC", "ascii", "none"] = "NFC"
    strip: bool = True

    @model_validator(mode="before")
    @classmethod
    def _of_a_profile(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        if given not in CLEAN_PROFILES:
            raise ValueError(f"{given!r} is no profile; there are {', '.join(CLEAN_PROFILES)}")
        return dict(CLEAN_PROFILES[given])

    @property
    def is_off(self) -> bool:
        """Whether every repair is switched off."""
        return not self.fix_text and not self.strip and self.normalize == "none"


PartSize = Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0.0, lt=1.0)] | Literal["rest"]


CsvName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_. -]*\.csv$")]


class Split(Section):
    """How examples are dealt out; a size is a count, a fraction, or `rest`.

    Fractions are of the rows with an answer; those of `unlabelled` are of all rows. Of rows that
    stay together those with an answer count, where any has one, and the others come on top.

    Attributes:
        parts: part to its size; the parts are teacher, labelled, unlabelled, validation and
            holdout.
        group_by: fields; rows that share a value of all of them stay in one part.
        near_duplicates: rows of which the own texts, without the template's, share that much of
            their pairs of words stay in one part; 0.8 is a good one. Numbers do not matter. Without
            it the report tells how many measured rows have a near copy that is learned.
        shared_words: drop rows to learn from that share a run of so many words with a row of
            validation or holdout; 13 is usual, 8 strict.
        stratify_by: a field; each part keeps the shares of its values.
        seed: another seed deals the rows out otherwise.
    """

    parts: dict[str, PartSize]
    group_by: tuple[str, ...] = ()
    near_duplicates: float | None = Field(default=None, gt=0.0, le=1.0)
    shared_words: Count | None = None
    stratify_by: str | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _parts_are_known(self) -> Self:
        known = ("teacher", "labelled", "unlabelled", "validation", "holdout")
        for name in self.parts:
            if name not in known:
                raise ValueError(f"unknown part {name!r}; the parts are {', '.join(known)}")
        if "holdout" not in self.parts:
            raise ValueError("a holdout part is needed: without one nothing can be measured")
        if sum(size == "rest" for size in self.parts.values()) > 1:
            raise ValueError("only one part can take the rest")
        if sum(size for size in self.parts.values() if isinstance(size, float)) > 1.0:
            raise ValueError("the fractions of the parts add up to more than 1")
        return self


class Prepare(Section):
    """How a row becomes an example.

    Attributes:
        shape: `template` builds the prompt from `system` and `user`; the others read a conversation
            (`messages`, `sharegpt`) or a pair (`prompt_completion`) from the field `conversation`,
            or from the fields `prompt` and `completion`.
        system: text of a system message, with `{field}` places.
        user: text with `{field}` places.
        conversation: the field that holds the conversation; a usual name of the shape when absent.
        answer: the field that holds the answer; an object is written as JSON.
        answer_indent: blanks of each level of such JSON; compact, on one line, when absent.
        reference: the field that accuracy is measured against; the answer when absent. A row in
            which it is empty may be learned from, and ends where it would be measured.
        votes: the field that says how many people chose which class, as {"yes": 3, "no": 1} or as
            a list of their choices.
        domain_field: the field that says which of the recipe's domains a row belongs to.
        answer_format: `json` measures field by field, `label` is one of a closed set.
        clean: repairs of the rows' texts.
        drop: which rows end here.
        steps: named steps with their settings, in the order in which they are done, see below.
        csv: file name to what it copies, for people, into the folder `csv` of the run: the rows
            after a step, by its name; `discarded`, the rows that ended with step and reason; of
            the step report_duplicates `exact_duplicates`, `same_question`, `same_answer`; or
            `answers`, what each candidate said of the measured rows, with its scores.
        split: what each example is for.
        max_tokens: prompt and answer together; a longer prompt is cut, an answer never.
        cut_field: the field of `user` that loses its end where a prompt is too long, such as
            `lyrics`; without it the longest user message loses its beginning.
        too_long_at_most: share of the examples that may be dropped because their answer does not
            fit beside a prompt that was cut; above it nothing is prepared.
    """

    shape: Literal["template", "messages", "prompt_completion", "sharegpt"] = "template"
    system: str | None = None
    user: str | None = None
    conversation: str | None = None
    answer: str | None = None
    answer_indent: int | None = Field(default=None, ge=0, le=8)
    reference: str | None = None
    votes: str | None = None
    domain_field: str | None = None
    answer_format: Literal["text", "json", "label"] = "text"
    clean: Clean = Clean()
    drop: Drop = Drop()
    steps: tuple[DataStep, ...] = ()
    csv: dict[CsvName, str] = Field(default_factory=dict)
    split: Split
    max_tokens: Count | None = None
    cut_field: str | None = None
    too_long_at_most: Fraction = 0.2

    @property
    def after_steps(self) -> Prepare:
        """What is left to do once the named steps are done, which work on cleaned rows."""
        if not self.steps:
            return self
        off = Clean(fix_text=False, normalize="none", strip=False)
        last = () if self.augment is None else (self.augment,)
        return self.model_copy(update={"steps": last, "clean": off})

    def identity(self) -> dict[str, Any]:
        """What the examples depend on, the steps before the split aside; copies change no row."""
        done = self.after_steps
        plain = done.model_dump(mode="json", by_alias=True, exclude={"csv"})
        return plain | {"steps": [step.identity() for step in done.steps]}

    @property
    def augment(self) -> Augment | None:
        """The step that is done behind the split."""
        return next((step for step in self.steps if isinstance(step, Augment)), None)

    @property
    def variants(self) -> list[tuple[str, int, DataStep]]:
        """The steps before the split: name of the instance, place in the recipe, settings."""
        named = zip(self.step_names, self.steps, strict=True)
        return [
            (name, number, step)
            for number, (name, step) in enumerate(named)
            if not isinstance(step, Augment)
        ]

    @property
    def pairings(self) -> tuple[PairWith, ...]:
        """The steps of the name pair_with."""
        return tuple(step for step in self.steps if isinstance(step, PairWith))

    @property
    def with_files(self) -> tuple[FileStep, ...]:
        """The steps that read a file of the user's, in their order."""
        return tuple(step for step in self.steps if isinstance(step, FileStep))

    @property
    def step_names(self) -> tuple[str, ...]:
        """What each named step is called in this recipe: the second of one name has `-2` behind."""
        names = [step.name for step in self.steps]
        before = [names[:place].count(name) for place, name in enumerate(names)]
        numbered = zip(names, before, strict=True)
        return tuple(f"{name}-{times + 1}" if times else name for name, times in numbered)

    @property
    def asking(self) -> dict[str, tuple[int, Step]]:
        """The steps that ask engines: variant of the instance to place in the recipe and settings.

        The variant is empty for `augment`, which the instance of `prepare` does.
        """
        found: dict[str, tuple[int, Step]] = {
            variant: (number, step) for variant, number, step in self.variants if step.asked
        }
        if self.augment is not None and self.augment.asked:
            found[""] = (len(self.steps) - 1, self.augment)
        return found

    @model_validator(mode="after")
    def _augment_stands_last(self) -> Self:
        if self.augment is not None and self.steps.index(self.augment) < len(self.steps) - 1:
            raise ValueError("steps: augment is done behind the split: it stands last, and once")
        return self

    @model_validator(mode="after")
    def _copies_are_of_something(self) -> Self:
        known = ["discarded", "answers", *(variant for variant, _, _ in self.variants)]
        known += ["augment"] if self.augment else []
        known += DUPLICATES if "report_duplicates" in known else ()
        for file, of in self.csv.items():
            if of not in known:
                raise ValueError(f"csv: {file} copies {of!r}; there are {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _shape_has_its_fields(self) -> Self:
        if self.shape == "template" and not self.user:
            raise ValueError('shape "template" needs prepare.user, for example "{text}"')
        if self.shape != "template" and self.user:
            raise ValueError(f'shape "{self.shape}" takes its prompt from the rows: remove user')
        if self.shape != "template" and self.cut_field:
            raise ValueError(f'shape "{self.shape}" has no fields to cut: remove cut_field')
        if self.shape in ("messages", "sharegpt") and self.answer:
            raise ValueError(f'shape "{self.shape}" holds its answers itself: remove answer')
        return self
