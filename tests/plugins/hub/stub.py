"""A hub on a loopback port, with the endpoints that the ``huggingface_hub`` client calls, and its refusals.

Layout of paths, headers and error codes: huggingface_hub/hf_api.py, file_download.py, utils/_http.py.
"""

import hashlib
import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repo:
    """One repository of the stub: its files, and who may read them."""

    files: dict[str, bytes]
    commit: str = COMMIT
    branches: tuple[str, ...] = ("main",)
    gated: bool = False
    private: bool = False
    card: dict[str, Any] = field(default_factory=dict)


@dataclass
class Hub:
    """The running stub: where it is, and what it was asked."""

    url: str
    repos: dict[str, Repo]
    token: str = "hf_right"
    asked: list[str] = field(default_factory=list)
    broken: int = 0
    """A status to answer everything with."""


@contextmanager
def serve(repos: dict[str, Repo]) -> Iterator[Hub]:
    """The stub with ``repos``, as long as the context lasts."""
    hub = Hub("", repos)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def log_message(self, *_: object) -> None: ...

        def _answer(self, *, body: bool) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            status, headers, content = _route(hub, self.path, self.headers.get("authorization"))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


Answer = tuple[int, dict[str, str], bytes]


def _route(hub: Hub, path: str, authorization: str | None) -> Answer:
    parts = path.partition("?")[0].strip("/").split("/")
    api = parts[:2] == ["api", "models"]
    org, name, *rest = parts[2:] if api else parts
    repo = hub.repos.get(f"{org}/{name}")
    token = (authorization or "").removeprefix("Bearer ")
    if hub.broken:
        return hub.broken, {}, b""
    if token and token != hub.token:
        return _error(401, "", "Invalid credentials in Authorization header")
    if repo is None or (repo.private and not token):
        return _error(404 if token else 401, "RepoNotFound", "Repository not found")
    if api and rest == ["refs"]:
        branches = [{"name": b, "ref": f"refs/heads/{b}", "targetCommit": repo.commit} for b in repo.branches]
        return _json({"branches": branches, "tags": [], "converts": []})
    kind, revision, *tail = rest
    revision = unquote(revision)
    if revision not in (*repo.branches, repo.commit):
        return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    if api:
        return _json(_info(f"{org}/{name}", repo))
    assert kind == "resolve"
    if repo.gated and not token:
        return _error(401, "GatedRepo", "Access to this model is restricted")
    content = repo.files.get("/".join(tail))
    if content is None:
        return _error(404, "EntryNotFound", "Entry not found")
    etag = hashlib.sha256(content).hexdigest()
    return (
        200,
        {"ETag": f'"{etag}"', "X-Repo-Commit": repo.commit, "X-Linked-Size": str(len(content))},
        content,
    )


def _info(name: str, repo: Repo) -> dict[str, Any]:
    return {
        "_id": "0",
        "id": name,
        "modelId": name,
        "sha": repo.commit,
        "private": repo.private,
        "gated": "manual" if repo.gated else False,
        "tags": [],
        "cardData": repo.card,
        "siblings": [{"rfilename": file, "size": len(content)} for file, content in repo.files.items()],
    }


def _json(content: object) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


def _error(status: int, code: str, message: str) -> Answer:
    headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    return status, headers, b""


_ASK = """
    import json, sys, time, warnings
    warnings.simplefilter("error")
    from sslaudit.errors import SslauditError
    from sslaudit.refs import EncoderRef
    from sslaudit.registry import installed

    for text in sys.argv[2:]:
        begun = time.monotonic()
        try:
            if sys.argv[1] == "resolve":
                ref = EncoderRef.parse(text)
                source = installed().encoder_scheme(ref).resolve(ref)
                said = {name: getattr(source, name) for name in source.__slots__}
            else:
                from sslaudit.loading import load_encoder
                encoder = load_encoder(text)
                said = {"digest": encoder.digest, "facts": dict(encoder.facts)}
                said |= {"matched": encoder.load.matched, "assumptions": encoder.load.assumptions}
        except SslauditError as error:
            said = {"error": str(error), "kind": type(error).__name__}
        print(json.dumps({**said, "seconds": time.monotonic() - begun}))
"""


def ask(home: Path, *refs: str, what: str = "load", **env: str) -> list[dict[str, Any]]:
    """What a process of its own says of each of ``refs``, with the client's settings in ``env``.

    The client reads its settings once, at import: hence the process. Its stderr must be empty.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_ASK), what, *refs],
        env={**clean, "HF_HOME": str(home), "OMP_NUM_THREADS": "1", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]
