"""Spellings of repositories: revisions with slashes are had, pasted addresses get the right spelling."""

import shutil
from pathlib import Path

import pytest

from sslaudit.errors import EncoderNotFound
from sslaudit.loading import load_encoder
from sslaudit_hub.repository import open_repository
from sslaudit_hub.spelling import advice
from tests.plugins.hub.stub import COMMIT, Repo, ask, serve


def test_a_revision_with_slashes_is_a_revision(timm_repo: Path, tmp_path: Path) -> None:
    files = {file.name: file.read_bytes() for file in timm_repo.iterdir()}
    expected = load_encoder(f"hf:{timm_repo}").digest
    refs = ("hf:tiny/open@refs/pr/1", "timm:hf-hub:tiny/open@refs/pr/1", "hf:tiny/open@../../main")
    with serve({"tiny/open": Repo(files, branches=("main", "refs/pr/1"))}) as hub:
        first, through_timm, outside = ask(tmp_path, *refs, HF_ENDPOINT=hub.url)
    for found in (first, through_timm):
        assert found["digest"] == expected
        assert (found["facts"]["revision"], found["facts"]["commit"]) == ("refs/pr/1", COMMIT)
    assert "'../../main' in 'tiny/open@../../main' is no revision" in outside["error"]
    (again,) = ask(tmp_path, refs[0], HF_HUB_OFFLINE="1")
    assert again["digest"] == expected


@pytest.mark.parametrize(
    ("locator", "meant"),
    [
        ("//org/name", "hf:org/name"),
        ("https://huggingface.co/org/name", "hf:org/name"),
        ("https://hf.co/org/name/", "hf:org/name"),
        ("https://huggingface.co/org/name/tree/main", "hf:org/name"),
        ("https://huggingface.co/org/name/tree/v1.0", "hf:org/name@v1.0"),
        ("https://huggingface.co/org/name/tree/refs%2Fpr%2F1", "hf:org/name@refs/pr/1"),
        ("https://huggingface.co/org/name/tree/refs/pr/1", "hf:org/name@refs/pr/1"),
        ("https://huggingface.co/org/name/blob/v1/x.pth?download=true", "hf:org/name@v1"),
        ("https://huggingface.co/org/name@v1", "hf:org/name@v1"),
        ("org/name/file.pth", "hf:org/name"),
        ("org/name/", "hf:org/name"),
    ],
)
def test_a_pasted_address_gets_the_right_spelling(locator: str, meant: str) -> None:
    with pytest.raises(EncoderNotFound) as caught:
        open_repository(locator)
    assert str(caught.value) == (
        f"there is no folder '{locator}'. For the repository of the hub write {meant}."
    )


@pytest.mark.parametrize("locator", ["/abs/org/name", "./org/name", "~/org/name", "../a/b/c"])
def test_a_path_is_taken_for_nothing_else(locator: str) -> None:
    assert advice(locator) == ""


@pytest.mark.parametrize("locator", ["https://host.org/a/b.pth", "https://huggingface.co/datasets/a/b"])
def test_other_addresses_are_to_be_downloaded(locator: str) -> None:
    with pytest.raises(EncoderNotFound, match="It is a URL: download the file first"):
        open_repository(locator)


@pytest.mark.parametrize("locator", ["~nosuchuser0/x", "./~tilde", "./" + "x" * 5000, "./a\0b"])
def test_a_folder_that_no_file_system_has_is_not_found(locator: str) -> None:
    with pytest.raises(EncoderNotFound, match="there is no folder"):
        open_repository(locator)


def test_a_folder_of_any_name_is_a_folder(
    timm_repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("~tilde", "runs/net", "runs/net@1/last"):
        shutil.copytree(timm_repo, tmp_path / name, dirs_exist_ok=True)
        assert open_repository(f"./{name}").files["config.json"]
        # a file scheme and a Path name no repository, whatever they look like
        assert load_encoder(f"file:{name}").facts["source"] == "local folder"
        assert load_encoder(Path(name)).facts["source"] == "local folder"
