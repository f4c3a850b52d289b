"""``hf:`` and ``timm:`` against a loopback hub, through the real client: what is fetched, each refusal."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sslaudit.loading import load_encoder
from tests.plugins.hub.stub import COMMIT, Hub, Repo, ask, serve

TOKEN = "hf_rightSECRET"


@pytest.fixture
def hub(timm_repo: Path) -> Iterator[Hub]:
    """One repository that all may read, one gated, one private."""
    files = {file.name: file.read_bytes() for file in timm_repo.iterdir()}
    card = b"---\nlicense: mit\n---\nA model.\n"
    repos = {
        "tiny/open": Repo({**files, "README.md": card, "big.onnx": b"0" * 999}, card={"license": "mit"}),
        "tiny/gated": Repo(files, gated=True),
        "tiny/private": Repo(files, private=True),
        "tiny/many": Repo(files, branches=("main", "v1", "v2", "v3")),
        "tiny/evil": Repo({"config.json": b'{"model_type": "e", "auto_map": {"AutoModel": "modeling_e.E"}}'}),
        "timm/resnet18.a1_in1k": Repo(files),
    }
    with serve(repos) as running:
        running.token = TOKEN
        yield running


def test_fetched_once_then_from_the_cache_with_and_without_network(
    hub: Hub, timm_repo: Path, tmp_path: Path
) -> None:
    expected = load_encoder(f"hf:{timm_repo}")
    first, through_timm = ask(tmp_path, "hf:tiny/open", "timm:hf-hub:tiny/open", HF_ENDPOINT=hub.url)
    assert (through_timm["digest"], through_timm["facts"]) == (first["digest"], first["facts"])
    (named,) = ask(tmp_path, "timm:resnet18", HF_ENDPOINT=hub.url)
    assert named["digest"] == first["digest"]
    assert (named["facts"]["source"], named["facts"]["commit"]) == ("hf:timm/resnet18.a1_in1k", COMMIT)
    assert first["digest"] == expected.digest
    assert first["matched"] == 120
    said = {
        "source": "hf:tiny/open",
        "revision": "main",
        "commit": COMMIT,
        "licence": "mit",
        "format": "timm",
    }
    assert said.items() <= first["facts"].items()
    fetched = [line for line in hub.asked if line.startswith("GET /tiny/open/resolve/")]
    assert sorted(line.rpartition("/")[2] for line in fetched) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]

    hub.asked.clear()
    refs = ("hf:tiny/open", "timm:resnet18", "hf:tiny/other", "hf:tiny/open@dev", "timm:resnet34")
    again, by_name, *absent = ask(tmp_path, *refs, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
    assert hub.asked == []
    assert (again["digest"], again["facts"]) == (first["digest"], first["facts"])
    assert (by_name["digest"], by_name["facts"]) == (named["digest"], named["facts"])
    cache = tmp_path / "hub"
    nowhere = f"is not in the local cache ({cache}) and offline mode is on."
    assert [one["error"] for one in absent] == [
        f"'tiny/other' {nowhere}",
        f"'tiny/open' at revision 'dev' {nowhere}",
        f"the weights of timm:resnet34: 'timm/resnet34.a1_in1k' {nowhere} "
        "With a file of your own: file,arch=timm:resnet34:PATH.",
    ]

    closed = f"http://127.0.0.1:{_closed_port()}"
    warm, cold = ask(tmp_path, f"hf:tiny/open@{COMMIT}", "hf:tiny/other", HF_ENDPOINT=closed)
    assert warm["digest"] == first["digest"]
    assert "the hub cannot be reached" in warm["assumptions"][-1]
    assert f"'tiny/other' is not in the local cache ({cache}) and the hub cannot be reached" in cold["error"]
    assert "\n" not in cold["error"]


def test_each_refusal_is_said_in_its_own_words(hub: Hub, tmp_path: Path) -> None:
    refs = ("hf:tiny/gated", "hf:tiny/private", "hf:tiny/none", "hf:tiny/many@dev", "hf:tiny/evil", "hf:a b")
    gated, private, missing, revision, evil, misspelt = ask(
        tmp_path, *refs, what="resolve", HF_ENDPOINT=hub.url
    )
    assert f"gated. Accept its terms at {hub.url}/tiny/gated" in gated["error"]
    assert "a token is needed" in gated["error"]
    for refused, name in ((private, "tiny/private"), (missing, "tiny/none")):
        assert f"'{name}' is private, or there is no such repository" in refused["error"]
        assert "HF_TOKEN" in refused["error"]
    assert revision["error"] == "'tiny/many' has no revision 'dev'. It has: main, v1, v2, ...."
    assert revision["kind"] == "EncoderNotFound"
    assert "ships Python code (modeling_e.py), which was not run" in evil["error"]
    assert "'a b' names no repository; write hf:ORG/NAME" in misspelt["error"]


def test_a_token_opens_and_is_never_told(hub: Hub, tmp_path: Path) -> None:
    def told(*refs: str, token: str) -> list[dict[str, Any]]:
        return ask(tmp_path, *refs, what="resolve", HF_ENDPOINT=hub.url, HF_TOKEN=token)

    gated, missing = told("hf:tiny/gated", "hf:tiny/none", token=TOKEN)
    assert (gated["name"], gated["gated"]) == ("tiny/gated", True)
    assert missing["error"] == (
        "there is no repository 'tiny/none' on the hub that your token may see. Check the spelling."
    )
    (rejected,) = told("hf:tiny/open", token="hf_wrongSECRET")
    assert "the hub rejects the token that is set" in rejected["error"]
    (unusable,) = told("hf:tiny/open", token="hf_\u00e9SECRET")
    assert "error" in unusable
    assert "SECRET" not in str([gated, missing, rejected, unusable])
    assert not any(b"SECRET" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_resolving_fetches_no_weights(hub: Hub, timm_repo: Path, tmp_path: Path) -> None:
    refs = ("hf:tiny/open", "hf:tiny/many@v2", "timm:resnet18", "timm:hf-hub:tiny/open@main")
    found = ask(tmp_path, *refs, what="resolve", HF_ENDPOINT=hub.url)
    fetched = {line.rpartition("/")[2] for line in hub.asked if "/resolve/" in line}
    assert fetched == {"config.json"}
    size = (timm_repo / "model.safetensors").stat().st_size
    for source in found:
        assert (source["revision"], source["bytes"], source["to_fetch"]) == (COMMIT, size, size)
    names = ["tiny/open", "tiny/many", "timm/resnet18.a1_in1k", "tiny/open"]
    assert [source["name"] for source in found] == names
    assert found[0]["licence"] == "mit"


def test_a_hub_out_of_order_leaves_the_cache(hub: Hub, tmp_path: Path) -> None:
    hub.broken = 503
    (cold,) = ask(tmp_path, "hf:tiny/open", what="resolve", HF_ENDPOINT=hub.url)
    assert "the hub cannot be reached (it answers 503)" in cold["error"]


def _closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
