"""Fetching a model from the Hugging Face hub: only what can be loaded without a pickle."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, constants, get_session, get_token, snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._headers import build_hf_headers

from stillhouse.core.errors import HubUnreachableError, ModelError

_TEXT_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template*",
)
_WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json")
_NEVER = ("*.bin", "*.pt", "*.pth", "*.ckpt", "original/*", "onnx/*")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_DEFAULT_REVISION = "main"
_TIMEOUT_S = 20.0  # assumption: a hub that is silent for longer is not there


@dataclass(frozen=True, slots=True)
class Hub:
    """How the hub is reached.

    Attributes:
        network: False reads the local cache only.
        endpoint: address of the hub; empty takes the environment's (HF_ENDPOINT).
        cache: folder of the local cache; None takes the environment's (HF_HOME).
        known_ids: ids that an unknown one is compared with, to name the nearest.
    """

    network: bool = True
    endpoint: str = ""
    cache: Path | None = None
    known_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class FetchedModel:
    """A model in the local cache.

    Attributes:
        folder: where its files are.
        commit: the commit that the revision stood for, 40 hexadecimal digits.
    """

    folder: Path
    commit: str


def fetch_model(
    hub_id: str,
    revision: str = "",
    *,
    weights: bool,
    hub: Hub,
    code: bool = False,
    more: Sequence[str] = (),
) -> FetchedModel:
    """A model's files in the local cache, downloaded where they are missing.

    Nothing is retried here; the hub library retries one file at most five times.

    Args:
        hub_id: `owner/name`.
        revision: branch, tag or commit; empty is the default branch.
        weights: also the safetensors; False fetches config, tokenizer and template alone.
        hub: how the hub is reached.
        code: also the Python code that comes with the model; nothing is run.
        more: patterns of further files.

    Returns:
        Folder and commit.

    Raises:
        ModelError: with what to do: no such id or revision, gated, not reachable and not cached,
            too many requests, no safetensors.
    """
    wanted = revision or _DEFAULT_REVISION
    with _clear_errors(hub_id, wanted, hub):
        if hub.network and weights:
            _require_safetensors(hub_id, wanted, hub)
        folder = snapshot_download(
            hub_id,
            revision=wanted,
            cache_dir=hub.cache,
            endpoint=hub.endpoint or None,
            local_files_only=not hub.network,
            allow_patterns=[
                *_TEXT_FILES,
                *(_WEIGHT_FILES if weights else ()),
                *(("*.py",) if code else ()),
                *more,
            ],
            ignore_patterns=list(_NEVER),
            etag_timeout=_TIMEOUT_S,
        )
    return FetchedModel(Path(folder), Path(folder).name)


@dataclass(frozen=True, slots=True)
class HubAnswer:
    """Whether the hub is there and knows the token, from one request that is not repeated.

    Attributes:
        where: its address.
        status: of its answer; 0 without one, 401 without a token that it knows.
        seconds: until it answered, or until nobody waited any longer.
        error: why there was no answer; empty with one.
        date: its clock, as HTTP writes it; empty where it says none.
    """

    where: str
    status: int
    seconds: float
    error: str = ""
    date: str = ""

    @property
    def is_there(self) -> bool:
        """Whether a model can be fetched; who may fetch it is another question."""
        return 0 < self.status < 500


def ask_hub(hub: Hub, timeout_s: float = 5.0) -> HubAnswer:
    """One small request to the hub.

    Args:
        hub: how it is reached; without network nobody is asked.
        timeout_s: seconds to wait.

    Returns:
        What came of it; no error is raised.
    """
    where = hub.endpoint or constants.ENDPOINT
    if not hub.network or constants.HF_HUB_OFFLINE:
        return HubAnswer(where, 0, 0.0, "HF_HUB_OFFLINE is set" if hub.network else "not asked")
    started = time.perf_counter()
    try:
        said = get_session().get(
            f"{where}/api/whoami-v2", headers=build_hf_headers(), timeout=timeout_s
        )
    except (HTTPError, OSError) as error:
        reason = str(error) or type(error).__name__
        return HubAnswer(where, 0, time.perf_counter() - started, reason)
    date = said.headers.get("Date", "")
    return HubAnswer(where, said.status_code, time.perf_counter() - started, date=date)


def has_token() -> bool:
    """Whether a token of the hub is there, in the environment or from a login."""
    return bool(get_token())


def resolve_revision(hub_id: str, revision: str = "", *, hub: Hub) -> str:
    """The commit that a branch or tag stands for now; without network, when last fetched.

    Args:
        hub_id: `owner/name`.
        revision: branch, tag or commit; empty is the default branch.
        hub: how the hub is reached.

    Returns:
        40 hexadecimal digits.

    Raises:
        ModelError: as `fetch_model`.
    """
    if not hub.network:
        return fetch_model(hub_id, revision, weights=False, hub=hub).commit
    wanted = revision or _DEFAULT_REVISION
    with _clear_errors(hub_id, wanted, hub):
        api = HfApi(endpoint=hub.endpoint or None)
        return str(api.model_info(hub_id, revision=wanted, timeout=_TIMEOUT_S).sha)


def _require_safetensors(hub_id: str, revision: str, hub: Hub) -> None:
    api = HfApi(endpoint=hub.endpoint or None)
    try:
        info = api.model_info(hub_id, revision=revision, timeout=_TIMEOUT_S)
    except (HTTPError, OSError) as error:
        if _is_unreachable(error):
            return  # snapshot_download decides: it may all be in the cache
        raise
    names = [file.rfilename for file in info.siblings or ()]
    if any(name.endswith(".safetensors") for name in names):
        return
    pickles = [name for name in names if name.endswith(_PICKLES)]
    found = f"pickle weights only ({', '.join(pickles[:3])})" if pickles else "no weights"
    raise ModelError(
        f"{hub_id} at {revision} has {found}; only safetensors are loaded, because a pickle can "
        "run any code when it is opened",
        "name a revision with safetensors (the hub's converter opens one as refs/pr/N), or "
        "another model",
    )


@contextmanager
def _clear_errors(hub_id: str, revision: str, hub: Hub) -> Iterator[None]:
    try:
        yield
    except HFValidationError as error:
        raise ModelError(f"{hub_id!r} is no hub id: {error}", "an id is owner/name") from error
    except (HTTPError, OSError) as error:
        raise _model_error(_root(error), hub_id, revision, hub) from error


def _root(error: Exception) -> Exception:
    """The hub library hides the hub's own answer behind "not in the cache"."""
    hidden = isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception)
    return error.__cause__ if hidden else error  # type: ignore[return-value]


def _model_error(error: Exception, hub_id: str, revision: str, hub: Hub) -> ModelError:
    where = hub.endpoint or "https://huggingface.co"
    if isinstance(error, GatedRepoError):
        return ModelError(
            f"{hub_id} is gated: its owner wants its terms accepted first",
            f"accept them at {where}/{hub_id} with your account, then log in with "
            "`hf auth login` (or set HF_TOKEN) and run again",
        )
    if isinstance(error, RepositoryNotFoundError):
        near = difflib.get_close_matches(hub_id, hub.known_ids, n=3, cutoff=0.5)
        return ModelError(
            f"the hub has no model {hub_id!r}, or it is private",
            (f"did you mean {' or '.join(near)}? " if near else "check the spelling; ")
            + "a private model needs `hf auth login`",
        )
    if isinstance(error, RevisionNotFoundError):
        return ModelError(
            f"{hub_id} has no revision {revision!r}",
            f"branches, tags and commits are listed at {where}/{hub_id}/commits/main",
        )
    if isinstance(error, HfHubHTTPError):
        return _status_error(error, hub_id, where)
    if not hub.network or isinstance(error, LocalEntryNotFoundError | OfflineModeIsEnabled):
        return HubUnreachableError(
            f"{hub_id} at {revision} is not whole in the local cache, and the network is off",
            "fetch it once with `network: hub` in the recipe (and without HF_HUB_OFFLINE), or "
            "give a folder with `path:`",
        )
    return HubUnreachableError(
        f"{where} cannot be reached ({type(error).__name__}: {error}), and {hub_id} at "
        f"{revision} is not in the local cache",
        "check the connection and proxy settings, then run again; or give a folder with `path:`",
    )


def _status_error(error: HfHubHTTPError, hub_id: str, where: str) -> ModelError:
    status = error.response.status_code
    if status == 429:
        wait = error.response.headers.get("Retry-After", "some")
        return ModelError(
            f"{where} answers 429 (too many requests) for {hub_id}",
            f"wait {wait} seconds and run again; logging in (`hf auth login`) raises the limit",
        )
    if status >= 500:
        return HubUnreachableError(
            f"{where} has a fault of its own: it answers {status} for {hub_id}",
            "run again later; files that were fetched are kept",
        )
    return ModelError(
        f"{where} refuses {hub_id} with status {status}",
        "check that the token of `hf auth login` (or HF_TOKEN) is valid and may read this model",
    )


def _is_unreachable(error: Exception) -> bool:
    return not isinstance(error, HfHubHTTPError) or error.response.status_code >= 500
