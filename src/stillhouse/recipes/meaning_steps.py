"""The steps that compare rows by their meaning: semantic duplicates and outliers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stillhouse.recipes.encoders import MadeBy
from stillhouse.recipes.row_step import MayAsk, Step
from stillhouse.recipes.section import Count, Positive

Budget = Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0.0, lt=1.0)]
GLOSH_THRESHOLD = 0.3
COMPARING = ("merge_semantic_duplicates", "drop_outliers")
"""Steps that compare the meanings of all rows."""


class MergeSemanticDuplicates(Step):
    """Keep one of the rows that mean the same; the others are merged into it.

    Texts with other numbers, or of which one denies, never mean the same.

    Attributes:
        on: the field that is compared.
        by: the model that makes the vectors, as `path` or `hub`; or `tfidf`, which compares pieces
            of words.
        threshold: cosine of two vectors from which they mean the same. Another model needs another
            one; of all-MiniLM-L6-v2, 0.9 is right in 99 of 100.
    """

    name: Literal["merge_semantic_duplicates"] = "merge_semantic_duplicates"
    on: str = "question"
    by: MadeBy
    threshold: float = Field(default=0.9, gt=0.0, le=1.0)

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return (self.on,)


class DropOutliers(MayAsk):
    """Find rows that are about something else than the others; every row gets its score.

    The score stands in a new field, `FIELD_outlier_score`, and what made a row suspected that is
    kept in `FIELD_suspected_by`: keyword, score, cluster, or nothing where a judge cleared it. A
    row is suspected when it holds a keyword, or when it stands high enough in the ranking by score.
    Rows that are alike and few are one cluster, which is scored by its distance to all others and
    suspected as a whole: junk that is repeated has near neighbours.

    Attributes:
        field: the text that is compared.
        by: the model that makes the vectors, as `path` or `hub`; or `tfidf`, which compares pieces
            of words.
        score: `knn` is the mean cosine distance to the nearest rows outside the own cluster;
            `glosh` that of HDBSCAN (Campello et al. 2015, doi:10.1145/2733381), which needs a model
            and the extra `outliers`, takes time that grows with the square of the rows, and does
            not judge clusters.
        neighbours: of the score `knn`.
        min_cluster_size: of the score `glosh`.
        cluster_rows: rows of the largest cluster that is judged as one; 1 judges rows alone.
        alike: cosine from which neighbours are of one cluster.
        keywords: words or phrases; a row that holds one is suspected, whatever its score.
        at_most: suspects by score, as a count of checks (a cluster is one) or a share of the rows.
        threshold: lowest score of a suspect; 0.3 where `glosh` is asked for and none is given.
        suspects: what becomes of suspects: `keep` reports them, `drop_keywords` drops those with a
            keyword and reports the others, `drop` drops all. An engine has the last word on each;
            what it leaves open becomes what is said here.
    """

    name: Literal["drop_outliers"] = "drop_outliers"
    field: str = "question"
    by: MadeBy = "tfidf"
    score: Literal["knn", "glosh"] = "knn"
    neighbours: Count = 6
    min_cluster_size: int = Field(default=6, ge=2)
    cluster_rows: Count = 25
    alike: float = Field(default=0.5, gt=0.0, le=1.0)
    keywords: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    at_most: Budget = 0.02
    threshold: Positive | None = None
    suspects: Literal["keep", "drop_keywords", "drop"] = "keep"

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields that it has nothing to do without."""
        return (self.field,)

    @property
    def makes(self) -> tuple[str, ...]:
        """Fields that it may add to a row."""
        return (self.score_field, self.suspected_field)

    @model_validator(mode="after")
    def _glosh_has_a_model(self) -> Self:
        if self.score == "glosh" and self.by == "tfidf":
            raise ValueError("score glosh needs vectors of a model: give by, or take score knn")
        is_glosh = self.score == "glosh"
        idle = ("neighbours", "cluster_rows", "alike") if is_glosh else ("min_cluster_size",)
        fields = type(self).model_fields
        # A section that a plan wrote down states its defaults too.
        stated = [name for name in idle if getattr(self, name) != fields[name].default]
        if stated:
            raise ValueError(f"score {self.score} has no use for {', '.join(stated)}")
        return self

    @property
    def score_field(self) -> str:
        """The field of a row's score."""
        return f"{self.field}_outlier_score"

    @property
    def suspected_field(self) -> str:
        """The field of what made a row suspected."""
        return f"{self.field}_suspected_by"

    @property
    def least_score(self) -> float:
        """The score from which a row may be suspected by it."""
        if self.threshold is not None:
            return self.threshold
        return GLOSH_THRESHOLD if self.score == "glosh" else 0.0
