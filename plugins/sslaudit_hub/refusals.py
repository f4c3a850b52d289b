"""What the hub's refusals mean, in the user's words: gated, private, missing, bad revision, no network.

No text of the hub or of its client is passed on, so that no token can be.
"""

from urllib.parse import urlsplit

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from sslaudit.errors import EncoderError, EncoderNotFound

_LOG_IN = "`hf auth login`, or set HF_TOKEN"


def unreachable(error: HfHubHTTPError) -> bool:
    """Whether the hub is out of order or too busy, rather than refusing."""
    return error.response.status_code == 429 or error.response.status_code >= 500


def not_cached(what: str, absent: str) -> EncoderError:
    """``what`` is not on this machine and the hub was not asked, for the reason ``absent``."""
    if absent.startswith("the hub") and constants.ENDPOINT != "https://huggingface.co":
        absent += f" at {urlsplit(constants.ENDPOINT).hostname}, which HF_ENDPOINT names"
    return EncoderError(f"{what} is not in the local cache ({constants.HF_HUB_CACHE}) and {absent}.")


def refusal(error: HfHubHTTPError, name: str, revision: str) -> EncoderError:
    """The hub's refusal of ``name`` at ``revision`` as one message."""
    status = error.response.status_code
    code = error.response.headers.get("X-Error-Code")
    said = error.response.headers.get("X-Error-Message", "")
    if status == 401 and said.startswith("Invalid credentials"):
        return EncoderError(
            f"the hub rejects the token that is set, asked for '{name}'. "
            f"Set a valid one ({_LOG_IN}), or none."
        )
    if isinstance(error, GatedRepoError) or code == "GatedRepo":
        return _gated(name)
    if isinstance(error, RevisionNotFoundError) or code == "RevisionNotFound":
        return EncoderNotFound(f"'{name}' has no revision '{revision}'.{_revisions(name)}")
    if code == "EntryNotFound":
        return EncoderNotFound(f"'{name}' at revision '{revision}' lacks the file that is to be fetched.")
    if status == 401:
        return EncoderNotFound(
            f"'{name}' is private, or there is no such repository: without a token the hub says the same "
            f"of both. Check the spelling, or log in: {_LOG_IN}."
        )
    if status == 404 or isinstance(error, RepositoryNotFoundError):
        seen = " that your token may see" if get_token() else ""
        return EncoderNotFound(f"there is no repository '{name}' on the hub{seen}. Check the spelling.")
    if status == 403:
        return EncoderError(f"the hub forbids access to '{name}' (403): the token lacks the permission.")
    return EncoderError(f"the hub refuses '{name}' ({status}).")


def _gated(name: str) -> EncoderError:
    page = f"{constants.ENDPOINT}/{name}"
    then = "wait until its owner grants access to your account" if get_token() else f"log in ({_LOG_IN})"
    return EncoderError(f"'{name}' is gated. Accept its terms at {page} and {then}; a token is needed.")


def _revisions(name: str) -> str:
    """Up to three branches and tags, when the hub tells them."""
    try:
        refs = HfApi().list_repo_refs(name)
    except Exception:  # the refusal is the answer; this is a hint
        return ""
    known = [ref.name for ref in (*refs.branches, *refs.tags)]
    return f" It has: {', '.join(known[:3])}{', ...' if len(known) > 3 else ''}." if known else ""
