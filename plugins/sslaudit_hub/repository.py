"""A repository of the hub, or a folder laid out like one: its commit, its files, and how to get them.

The hub is asked once, without retries and with a time limit; what it then cannot say comes from the
local cache of the hub client. In offline mode it is never asked.
"""

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import HfApi, ModelInfo, constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from huggingface_hub.utils import logging as hub_logging

from sslaudit.errors import EncoderError, EncoderNotFound, UnreadableFile
from sslaudit.refs import is_path_like
from sslaudit_hub.refusals import not_cached, refusal, unreachable
from sslaudit_hub.spelling import advice

ASK_SECONDS = constants.HF_HUB_ETAG_TIMEOUT if "HF_HUB_ETAG_TIMEOUT" in os.environ else 3
"""How long the hub may take to answer before the cache is used instead; the client's own variable wins."""

_KEEP_SECONDS = 60
_NAME = re.compile(r"(?:[\w-][\w.-]*/)?[\w-][\w.-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """One revision of a repository. Nothing but its list of files is here until ``fetch``."""

    name: str
    """As the user wrote it, without revision."""
    revision: str = ""
    """As asked; empty for a local folder."""
    commit: str = ""
    folder: Path
    """Where its files are, or will be once fetched."""
    files: Mapping[str, int | None]
    """Size in bytes by name; None when the hub does not say."""
    remote: bool = False
    """Whether files that are not on this machine can be fetched."""
    absent: str = ""
    """Why the hub was not asked: ``offline mode is on``; empty when it was, or need not be."""
    licence: str = ""
    gated: bool = False

    @property
    def source(self) -> str:
        """What a card says of where the weights are from."""
        return f"hf:{self.name}" if self.revision else "local folder"

    def has(self, file: str) -> bool:
        """Whether ``file`` is on this machine."""
        return (self.folder / file).is_file()

    def facts(self) -> dict[str, str]:
        """What a card says of where the weights are from."""
        found = {
            "source": self.source,
            "revision": self.revision,
            "commit": self.commit,
            "licence": self.licence,
        }
        return {name: value for name, value in found.items() if value}

    def stale(self) -> tuple[str, ...]:
        """Said when the hub was to be asked and could not be."""
        if not self.absent.startswith("the hub"):
            return ()
        return (f"{self.absent}: '{self.revision}' is the cached commit {self.commit[:12]}",)

    def keep_card(self) -> None:
        """Fetches the model card, so that its licence is known offline too."""
        if self.remote and "README.md" in self.files:
            with contextlib.suppress(EncoderError):  # it names a licence, and nothing depends on it
                self.fetch("README.md")

    def fetch(self, file: str) -> Path:
        """The path of ``file``, fetched unless it is here. Raises ``EncoderError`` when it cannot be had."""
        path = self.folder / file
        if path.is_file():
            return path
        if not self.remote:
            raise not_cached(f"{file} of '{self.name}'", self.absent)
        try:
            with quiet():
                fetched = hf_hub_download(self.name, file, revision=self.commit, etag_timeout=ASK_SECONDS)
        except HfHubHTTPError as error:
            raise refusal(error, self.name, self.revision) from None
        except Exception as error:  # whichever HTTP library the client uses, or the disk
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise EncoderError(f"{file} of '{self.name}' cannot be fetched: {reason}.") from None
        _remember(self)
        return Path(fetched)

    def json(self, file: str) -> dict[str, Any]:
        """The JSON object in ``file``; empty when there is no such file. Raises ``UnreadableFile``."""
        if file not in self.files:
            return {}
        try:
            content = json.loads(self.fetch(file).read_text("utf-8"))
        except ValueError:
            raise UnreadableFile(f"{file} of '{self.name}' is no JSON.") from None
        if not isinstance(content, dict):
            raise UnreadableFile(f"{file} of '{self.name}' holds no JSON object.")
        return content


def open_repository(locator: str) -> Repository:
    """The repository ``ORG/NAME@REV``, revision ``main`` by default, or the local folder.

    Raises ``EncoderNotFound`` and ``EncoderError`` with a message for each way it cannot be had.
    """
    name, at, revision = locator.partition("@")
    revision = revision or "main"
    named = _NAME.fullmatch(name)
    if is_path_like(locator) and not (at and named):  # a revision may hold slashes: refs/pr/1
        return _folder(locator)
    if not named:
        raise EncoderNotFound(f"'{locator}' names no repository; write hf:ORG/NAME, or hf:./FOLDER.")
    if revision.startswith("/") or ".." in PurePosixPath(revision).parts:
        raise EncoderNotFound(
            f"'{revision}' in '{locator}' is no revision: a branch, tag, commit or refs/pr/N."
        )
    try:
        return _from_hub(name, revision)
    except EncoderError as error:
        if here := next((folder for folder in (locator, name) if os.path.isdir(folder)), None):
            raise type(error)(f"{error} There is a folder of that name: hf:./{here}.") from None
        raise


def _from_hub(name: str, revision: str) -> Repository:
    if constants.HF_HUB_OFFLINE:
        return _cached(name, revision, "offline mode is on")
    info = _ask(name, revision, int(time.monotonic()) // _KEEP_SECONDS)
    if isinstance(info, str):
        return _cached(name, revision, info)
    card = info.card_data.to_dict() if info.card_data else {}
    return Repository(
        name=name,
        revision=revision,
        commit=info.sha or revision,
        folder=_cache(name) / "snapshots" / (info.sha or revision),
        files={sibling.rfilename: sibling.size for sibling in info.siblings or ()},
        remote=True,
        licence=licence_of(card),
        gated=bool(info.gated),
    )


@cache
def _ask(name: str, revision: str, _window: int) -> ModelInfo | str:
    """What the hub says of a revision, or why it cannot be reached. Raises its refusals.

    Kept for the window of time, so that what was resolved first is what is fetched.
    """
    try:
        with quiet():
            return HfApi().model_info(name, revision=revision, timeout=ASK_SECONDS, files_metadata=True)
    except HfHubHTTPError as error:
        if unreachable(error):
            return f"the hub cannot be reached (it answers {error.response.status_code})"
        raise refusal(error, name, revision) from None
    except Exception as error:  # whichever HTTP library the client uses
        slow = "Timeout" in type(error).__name__
        more = f" (no answer in {ASK_SECONDS} s; HF_HUB_ETAG_TIMEOUT allows more)" if slow else ""
        return f"the hub cannot be reached{more}"


def licence_of(card: Mapping[str, Any]) -> str:
    """The licence that the front matter of a model card names; the name behind ``other``."""
    licence = card.get("license")
    if licence == "other":
        licence = card.get("license_name") or licence
    return ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence or "")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The hub client names its retries one by one and draws bars into logs; errors are said once, here."""
    before, bars = hub_logging.get_verbosity(), not are_progress_bars_disabled()
    hub_logging.set_verbosity(hub_logging.CRITICAL)
    if bars and not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    finally:
        hub_logging.set_verbosity(before)
        if bars:
            enable_progress_bars()


def _folder(locator: str) -> Repository:
    folder = os.path.expanduser(locator)
    if os.path.isdir(folder):
        return _on_disk(locator, Path(folder))
    if os.path.exists(folder):
        raise EncoderNotFound(f"'{locator}' is a file; write file:{locator}.")
    raise EncoderNotFound(f"there is no folder '{locator}'.{advice(locator)}")


def _cached(name: str, revision: str, absent: str) -> Repository:
    """What the cache of the hub client holds for ``revision``: a branch, a tag or a commit."""
    cache = _cache(name)
    noted = cache / "refs" / PurePosixPath(revision)
    commit = noted.read_text("ascii", "replace").strip() if os.path.isfile(noted) else revision
    snapshot = cache / "snapshots" / commit
    if not os.path.isdir(snapshot) or ".." in PurePosixPath(commit).parts:
        what = f"'{name}'" if revision == "main" else f"'{name}' at revision '{revision}'"
        raise not_cached(what, absent)
    return _on_disk(name, snapshot, revision=revision, commit=commit, absent=absent)


def _on_disk(name: str, folder: Path, revision: str = "", commit: str = "", absent: str = "") -> Repository:
    files = {file.name: file.stat().st_size for file in sorted(folder.iterdir()) if file.is_file()}
    return Repository(
        name=name,
        revision=revision,
        commit=commit,
        folder=folder,
        files=files,
        absent=absent,
        licence=licence_of(_front_matter(folder / "README.md")),
    )


def _front_matter(readme: Path) -> dict[str, Any]:
    from huggingface_hub import ModelCard

    try:
        with quiet():
            return dict(ModelCard.load(readme, ignore_metadata_errors=True).data.to_dict())
    except Exception:  # no readme, no front matter, or no YAML in it: then there is no licence to tell
        return {}


def _cache(name: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")


def _remember(repository: Repository) -> None:
    """Notes the commit of a branch as the hub client does, so that the branch is found offline."""
    if repository.revision != repository.commit:
        note = _cache(repository.name) / "refs" / PurePosixPath(repository.revision)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(repository.commit)
