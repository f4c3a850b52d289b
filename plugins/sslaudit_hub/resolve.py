"""What ``hf:...`` would fetch, without fetching weights."""

from sslaudit.refs import EncoderRef
from sslaudit.specs import Source, read_options
from sslaudit_hub import OPTIONS
from sslaudit_hub.layout import format_of, refuse_code, size_of, weights_of
from sslaudit_hub.repository import Repository, open_repository


def resolve(ref: EncoderRef) -> Source:
    """The source of ``ref``. Raises ``EncoderError`` kinds when it cannot be had or would run code."""
    options = read_options(dict(ref.options), OPTIONS, f"'{ref}'")
    repository = open_repository(ref.locator)
    config = repository.json("config.json")  # small, and not to be had when access is not granted
    if not options["trust-remote-code"]:
        refuse_code(repository.name, config)
    return source(repository, weights_of(repository, format_of(config)))


def source(repository: Repository, files: tuple[str, ...]) -> Source:
    """The repository as a source of ``files``."""
    return Source(
        name=repository.name,
        revision=repository.commit,
        bytes=size_of(repository, files),
        to_fetch=sum(repository.files[file] or 0 for file in files if not repository.has(file)),
        licence=repository.licence,
        gated=repository.gated,
    )
