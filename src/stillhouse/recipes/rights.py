"""What rows may be used for, and whom they are about: the section `collect.rights`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stillhouse.recipes.section import Count, Section

LetThrough = Literal[
    "unknown_licence", "forbidding_licence", "undecided_licence", "missing_consent"
]

EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Rights(Section):
    """What the rows may be used for, and whom they are about.

    Where a licence is asked for, a row under one that is not known, or that does not permit
    training, is left out; where consent is asked for, a row without it. Each is counted.

    Attributes:
        licence: of all rows: an SPDX id, the terms of a provider such as `genius-terms`, or `own`
            for rows that belong to you.
        licence_field: the field that holds the licence, where rows differ.
        also_permitted: licences that you have read and that permit what you do.
        personal: the rows are about people, so that each needs consent.
        consent_field: the field that says whether it was given.
        consent_given: what that field says where it was; upper and lower case do not matter.
        subject_field: the field that says who a row is about: `stillhouse erase --subject`.
        source_field: the field that says where a row came from: `stillhouse erase --source`; the
            name of the file or data set when absent.
        hash_fields: fields with ids of people or devices, which are salted and hashed before
            anything is written.
        salt_env: the environment variable that holds the salt, of at least 16 characters; whoever
            has it can tell whether a row is of an id, so keep it and write it nowhere.
        date_field: the field with the day of a row, as `2026-05-31`, alone or at the beginning.
        keep_days: older rows are left out.
        let_through: what is not held back all the same; report and model card say so.
    """

    licence: str | None = None
    licence_field: str | None = None
    also_permitted: tuple[str, ...] = ()
    personal: bool = False
    consent_field: str | None = None
    consent_given: tuple[str | int | bool, ...] = (True, 1, "true", "yes", "y", "1", "granted")
    subject_field: str | None = None
    source_field: str | None = None
    hash_fields: tuple[str, ...] = ()
    salt_env: EnvName | None = None
    date_field: str | None = None
    keep_days: Count | None = None
    let_through: tuple[LetThrough, ...] = ()

    @property
    def asks_licence(self) -> bool:
        """Whether a row needs a licence that permits training."""
        return self.licence is not None or self.licence_field is not None

    @property
    def asks_consent(self) -> bool:
        """Whether a row needs consent."""
        return self.personal or self.consent_field is not None

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if self.hash_fields and not self.salt_env:
            raise ValueError(
                "hash_fields needs salt_env, the name of an environment variable with the salt: "
                "a hash without a salt can be guessed"
            )
        if self.salt_env and not self.hash_fields:
            raise ValueError("salt_env is for hash_fields: name the fields, or remove it")
        if self.keep_days and not self.date_field:
            raise ValueError("keep_days needs date_field, the field with the day of a row")
        return self
