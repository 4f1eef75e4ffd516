"""Models from the hub: the local cache first, then one short probe of the network, then a download."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from gapkit.errors import SourceError, nearest

PROBE_SECONDS = 2.0
"""The probe ends by then, whatever name server or proxy it waits for."""
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
FOLDER_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w.-]+)?")


def cached_file(repository: str, files: Sequence[str]) -> Path | None:
    """The first of the files that the local cache holds; nothing is asked of the network."""
    from huggingface_hub import try_to_load_from_cache

    name, revision = split_revision(repository)
    for file in files:
        found = try_to_load_from_cache(name, file, revision=revision)
        if isinstance(found, str):
            return Path(found)
    return None


def cached_folder(repository: str) -> Path | None:
    """The cached snapshot of a repository, where it has a configuration and weights."""
    config, weights = cached_file(repository, ["config.json"]), cached_file(repository, WEIGHT_FILES)
    return config.parent if config is not None and weights is not None else None


def fetch_file(repository: str, files: Sequence[str], *, name: str) -> Path:
    """The first of the files that there is, from the cache or the hub.

    Raises:
        SourceError: neither has one; the message comes within 5 seconds where there is no network.
    """
    found = cached_file(repository, files)
    if found is not None:
        return found
    probe(repository, name=name)
    return _download(repository, files, name=name)


def fetch_folder(repository: str, *, name: str) -> Path:
    """A folder with configuration, weights and tokenizer, from the cache or the hub.

    Raises:
        SourceError: the repository is out of reach or unknown.
    """
    found = cached_folder(repository)
    if found is not None:
        return found
    probe(repository, name=name)
    from huggingface_hub import snapshot_download

    config = _download(repository, ["config.json"], name=name)
    repository_name, revision = split_revision(repository)
    try:
        snapshot_download(
            repository_name, revision=revision, allow_patterns=list(FOLDER_FILES), ignore_patterns=["*/*"]
        )
    except _hub_errors() as error:
        raise _failed(name, error) from error
    _download(repository, WEIGHT_FILES, name=name)
    return config.parent


def split_revision(repository: str) -> tuple[str, str | None]:
    """``owner/name@revision`` to its parts.

    Example:
        >>> split_revision("owner/name@v1"), split_revision("name")
        (('owner/name', 'v1'), ('name', None))
    """
    name, _, revision = repository.partition("@")
    return name, revision or None


def check_repository(repository: str, *, name: str) -> None:
    """Refuse what cannot be the name of a repository.

    Raises:
        SourceError: neither a repository nor, since it was looked for before, a folder.
    """
    if not REPOSITORY.fullmatch(repository):
        path = Path(repository).expanduser()
        beside = [item.name for item in path.parent.iterdir() if item.is_dir()] if path.parent.is_dir() else []
        close = nearest(path.name, beside)
        raise SourceError(
            f"{name}: there is no folder {repository}",
            expected="a folder with config.json and weights, or OWNER/NAME on the hub",
            remedy=f"did you mean {close}?" if close else "check the path",
        )


def probe(repository: str, *, name: str, download: str = "") -> None:
    """Ask the hub once whether it has a repository.

    The answer is waited for in a thread of its own, since a name server may take longer than any socket time-out.

    Args:
        repository: that is asked for.
        name: of the source, for the message.
        download: what gets it where there is a network; by default the hub's own command.

    Raises:
        SourceError: offline mode, no answer in time, or no such repository.
    """
    from huggingface_hub import constants

    download = download or f"hf download {repository}"
    if constants.HF_HUB_OFFLINE:
        raise _unreachable(name, download, "offline mode is switched on (HF_HUB_OFFLINE)")
    answer: Queue[int | str] = Queue()
    address = f"{constants.ENDPOINT}/api/models/{split_revision(repository)[0]}"
    Thread(target=lambda: answer.put(_ask(address)), daemon=True).start()
    try:
        status = answer.get(timeout=PROBE_SECONDS)
    except Empty:
        status = f"no answer within {PROBE_SECONDS:g} s"
    if isinstance(status, str):
        raise _unreachable(name, download, f"{constants.ENDPOINT} cannot be reached: {status}")
    if status in (401, 403, 404):
        raise SourceError(
            f"{name}: the hub has no public model {repository!r} (HTTP {status})",
            expected="the name of a model on the hub",
            remedy="check the name, or log in with `hf auth login` where the model is private or gated",
        )


def _ask(address: str) -> int | str:
    """The status of the answer, or why there is none."""
    if urlsplit(address).scheme not in ("http", "https"):
        return f"{address} is no web address (HF_ENDPOINT)"
    from huggingface_hub.utils import build_hf_headers

    try:
        request = Request(address, method="HEAD", headers=build_hf_headers())  # noqa: S310  (http or https, see above)
        with urlopen(request, timeout=PROBE_SECONDS) as response:  # noqa: S310
            return response.status
    except HTTPError as error:
        return error.code
    except URLError as error:
        return str(error.reason)
    except (OSError, HTTPException, ValueError) as error:
        return str(error) or type(error).__name__


def _download(repository: str, files: Sequence[str], *, name: str) -> Path:
    """The first of the files that the repository has."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    repository_name, revision = split_revision(repository)
    for file in files:
        try:
            return Path(hf_hub_download(repository_name, file, revision=revision))
        except EntryNotFoundError:
            continue
        except _hub_errors() as error:
            raise _failed(name, error) from error
    raise SourceError(
        f"{name}: {repository} has no {' and no '.join(files)}",
        expected="a repository with weights for PyTorch",
        remedy="choose another model",
    )


def _hub_errors() -> tuple[type[Exception], ...]:
    """What a download raises: of the hub, of its transport, of the disk."""
    from huggingface_hub.errors import HfHubHTTPError

    # The transport's own family, whatever library it is: HfHubHTTPError is derived from it.
    return (*(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError"), OSError, ValueError)


def _failed(name: str, error: Exception) -> SourceError:
    """The message for a download that broke off."""
    return SourceError(
        f"{name}: the download failed ({type(error).__name__}: {str(error).strip()[:160]})",
        expected="a model that can be downloaded",
        remedy="try again (what has arrived is kept), or use vit, which needs no network",
    )


def _unreachable(name: str, download: str, reason: str) -> SourceError:
    """The message for a source that is neither in the cache nor within reach."""
    return SourceError(
        f"{name} is not in the local cache, and {reason}",
        expected="a cached model or a network",
        remedy=f"download it where there is one (`{download}`) and copy the folder, then use hf:FOLDER "
        "or file:CHECKPOINT with --arch; vit is bundled and needs no network",
    )
