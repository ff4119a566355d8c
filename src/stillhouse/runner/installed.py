"""Which packages are installed, held against what this version of Stillhouse asks for."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.requirements import Requirement

_OF_DEVELOPERS = frozenset({"dev", "docs", "fuzz", "clients"})


@dataclass(frozen=True, slots=True)
class Extra:
    """One extra.

    Attributes:
        name: as `pip install "stillhouse[NAME]"` takes it.
        versions: of its packages that are here.
        misfits: packages that are not here, or in another version than is asked for.
    """

    name: str
    versions: tuple[str, ...]
    misfits: tuple[str, ...]

    @property
    def told(self) -> str:
        """What there is, or what is missing."""
        return "; ".join(self.misfits) if self.misfits else ", ".join(self.versions)

    @property
    def mend(self) -> str:
        """The command that installs it; empty where it is whole."""
        return f'pip install "stillhouse[{self.name}]"' if self.misfits else ""


def extras_here() -> tuple[Extra, ...]:
    """Every extra that a user may want, in the order of the package."""
    names = importlib.metadata.metadata("stillhouse").get_all("Provides-Extra") or []
    return tuple(_extra(name) for name in names if name not in _OF_DEVELOPERS)


def misfits_of_base() -> list[str]:
    """Packages without which nothing runs that are missing or of a wrong version."""
    return [text for one in _requirements("") if (text := _misfit(one))]


def _extra(name: str) -> Extra:
    wanted = list(_requirements(name))
    misfits = tuple(text for one in wanted if (text := _misfit(one)))
    versions = tuple(f"{one.name} {version}" for one in wanted if (version := _version(one.name)))
    return Extra(name, versions, misfits)


def _requirements(extra: str) -> Iterator[Requirement]:
    """Those of an extra alone; those of every installation for the empty name."""
    for text in importlib.metadata.requires("stillhouse") or ():
        one = Requirement(text)
        is_of_extra = one.marker is not None and not one.marker.evaluate({"extra": ""})
        if is_of_extra != bool(extra):
            continue
        if one.marker is None or one.marker.evaluate({"extra": extra}):
            yield one


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _misfit(wanted: Requirement) -> str:
    version = _version(wanted.name)
    if not version:
        return f"{wanted.name} is not installed"
    if wanted.specifier.contains(version, prereleases=True):
        return ""
    return f"{wanted.name} is {version}, not {wanted.specifier}"
