"""A student onto the Hugging Face hub: all of its files in one commit, which holds nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
)
from huggingface_hub.hf_api import RepoFile

from stillhouse.core.errors import ArtifactError, StillhouseError, UsageError

_PUBLIC = "https://huggingface.co"
_KEPT = ".gitattributes"
_AGAIN = "make the same call again: files that arrived whole are not sent again"
_TOKEN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write"


@dataclass(frozen=True, slots=True)
class Repository:
    """Where a student goes.

    Attributes:
        repo_id: `owner/name`.
        is_private: is made private where it is not there; a public one that is there is refused.
        token: None for the one of `hf auth login`.
        endpoint: address of the hub; empty takes the environment's (HF_ENDPOINT).
    """

    repo_id: str
    is_private: bool = False
    token: str | None = None
    endpoint: str = ""

    def __repr__(self) -> str:
        return f"Repository({self.repo_id!r})"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to send.

    Attributes:
        source: where it lies, or its bytes.
        sha256: of its bytes.
    """

    source: Path | bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Pushed:
    """What is there now.

    Attributes:
        commit: of all files.
        url: of the repository.
        deleted: files of an earlier version that were taken out.
    """

    commit: str
    url: str
    deleted: tuple[str, ...]


def push_files(repository: Repository, files: Mapping[str, Upload], message: str) -> Pushed:
    """Make a repository hold these files and no others.

    Args:
        repository: made where it is not there.
        files: by their paths in it.
        message: of the commit.

    Returns:
        The commit; the last one where nothing had to be changed.

    Raises:
        UsageError: no such id, no right to write there, or a public repository where a private one
            is asked for.
        ArtifactError: the hub holds other bytes than were sent.
        StillhouseError: the hub refuses, has a fault, or the connection was cut; what was there
            before is there still.
    """
    api = HfApi(endpoint=repository.endpoint or None, token=repository.token)
    repo_id = repository.repo_id
    with _clear_errors(repository):
        url = api.create_repo(repo_id, private=repository.is_private, exist_ok=True)
        before = api.repo_info(repo_id)
        if repository.is_private and not before.private:
            raise UsageError(
                f"{repo_id} is there already, and public: everybody would see what is sent",
                "make it private in its settings on the hub first, or take another name",
            )
        there = set(api.list_repo_files(repo_id, revision=before.sha))
        stale = tuple(sorted(there - set(files) - {_KEPT}))
        operations = [CommitOperationDelete(path_in_repo=name) for name in stale] + [
            CommitOperationAdd(
                path_in_repo=name,
                path_or_fileobj=one.source if isinstance(one.source, bytes) else str(one.source),
            )
            for name, one in sorted(files.items())
        ]
        # Refused where somebody else committed meanwhile, whose files nobody would take out.
        done = api.create_commit(
            repo_id, operations, commit_message=message, parent_commit=before.sha
        )
        found = [
            one
            for one in api.list_repo_tree(repo_id, recursive=True, revision=done.oid)
            if isinstance(one, RepoFile)
        ]
    _require_same(repo_id, files, {one.path: one for one in found})
    return Pushed(str(done.oid), str(url), stale)


def _require_same(repo_id: str, files: Mapping[str, Upload], found: Mapping[str, RepoFile]) -> None:
    """Compare what the hub says of each file with what was sent."""
    for name, upload in files.items():
        there = found.get(name)
        if there is None:
            same = False
        elif there.lfs:
            same = there.lfs.sha256 == upload.sha256
        else:
            same = there.blob_id == _git_digest(upload.source)
        if not same:
            raise ArtifactError(
                f"{repo_id} holds other bytes of {name} than were sent", "make the same call again"
            )


def _git_digest(source: Path | bytes) -> str:
    """How git names a file; only small ones are asked for it."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@contextmanager
def _clear_errors(repository: Repository) -> Iterator[None]:
    where = repository.endpoint or _PUBLIC
    try:
        yield
    except HFValidationError as error:
        raise UsageError(f"{repository.repo_id!r} is no id of the hub: {error}",
                         "an id is owner/name") from None  # fmt: skip
    except (HTTPError, OSError, ValueError, RuntimeError) as found:
        # The library hides what a large file met behind a RuntimeError.
        met = found.__cause__ or found if isinstance(found, RuntimeError) else found
        if isinstance(met, HfHubHTTPError):
            raise _refused(met, repository.repo_id, where) from None
        raise StillhouseError(
            f"the connection to {where} broke while {repository.repo_id} was sent "
            f"({type(met).__name__}: {met})",
            _AGAIN,
        ) from None


def _refused(error: HfHubHTTPError, repo_id: str, where: str) -> StillhouseError:
    status = error.response.status_code
    said = error.server_message or "nothing else"
    owner = repo_id.partition("/")[0]
    if status == 401:
        return UsageError(f"{where} does not know who is asking (401)", _TOKEN)
    if status == 403:
        return UsageError(
            f"{where} does not let this account write to {repo_id} (403: {said})",
            f"is {owner} you, or an organisation of yours? {_TOKEN}",
        )
    if status == 404:
        return UsageError(
            f"{where} has no {repo_id}, and none can be made there (404)",
            f"is the owner {owner} right? {_TOKEN}",
        )
    if status in (409, 412):
        return StillhouseError(
            f"{repo_id} was changed by somebody else at the same time ({status}: {said})", _AGAIN
        )
    if status == 429:
        wait = error.response.headers.get("Retry-After", "some")
        return StillhouseError(f"{where} answers 429 (too many requests)",
                               f"wait {wait} seconds; {_AGAIN}")  # fmt: skip
    if status >= 500:
        return StillhouseError(f"{where} has a fault of its own: it answers {status}", _AGAIN)
    return StillhouseError(f"{where} refuses {repo_id} with status {status}: {said}", _AGAIN)
