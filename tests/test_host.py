"""The plugin host: a plugin that fails in any way is named in one line, and the others work."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sslaudit.errors import PluginError, RefError
from sslaudit.host import Plugin, load_plugins
from sslaudit.registry import Registry

SPEC = """
from sslaudit import MetricSpec, Needs, hookimpl

def metric(name):
    return MetricSpec(name=name, version=1, summary=name, source="none", needs=Needs(), compute=print)
"""
GOOD = SPEC + "@hookimpl\ndef sslaudit_metrics():\n    return [metric('good-one')]\n"
BROKEN = {
    "markup": ("raise ValueError('[/x] [bold]')", "ValueError: [/x] [bold]"),
    "missing": ("import a_module_that_is_not_there", "ModuleNotFoundError: No module named 'a_module_that"),
    "syntax": ("def broken(:", "SyntaxError: "),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "panics": ("class Panic(BaseException): ...\nraise Panic('in Rust')", "Panic: in Rust"),
    "many-lines": ("raise ValueError('one\\ntwo\\r\\nthree')", "ValueError: one two three"),
    "hook-raises": (SPEC + "@hookimpl\ndef sslaudit_metrics():\n    return 1 / 0\n", "ZeroDivisionError: "),
    "late": (
        SPEC + "@hookimpl\ndef sslaudit_metrics():\n    yield metric('half')\n    raise OSError('late')\n",
        "OSError: late",
    ),
    "half": (
        SPEC
        + "@hookimpl\ndef sslaudit_metrics():\n    return [metric('half')]\n"
        + "@hookimpl\ndef sslaudit_recipes():\n    return [metric('half')]\n",
        "PluginError: sslaudit_recipes gave a MetricSpec, not a RecipeSpec",
    ),
    "none": (SPEC + "@hookimpl\ndef sslaudit_metrics():\n    pass\n", "TypeError: 'NoneType'"),
    "misspelt": (
        SPEC + "@hookimpl\ndef sslaudit_metrcs():\n    return []\n",
        "PluginError: unknown hook sslaudit_metrcs; the hooks are sslaudit_encoders, sslaudit_metrics",
    ),
    "arguments": (
        SPEC + "@hookimpl\ndef sslaudit_metrics(config):\n    return []\n",
        "PluginValidationError: ",
    ),
    "unnamed": (
        SPEC + "@hookimpl\ndef sslaudit_metrics():\n    return [metric(None)]\n",
        "PluginError: sslaudit_metrics gave the name None, which cannot be typed",
    ),
    "spaced": (
        SPEC + "@hookimpl\ndef sslaudit_metrics():\n    return [metric('two words')]\n",
        "PluginError: sslaudit_metrics gave the name 'two words', which cannot be typed",
    ),
}

Install = Callable[..., None]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder that stands for site-packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def install(site: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """``install("name", "source")``: a distribution with one module and one entry point, importable here."""
    monkeypatch.syspath_prepend(site)
    for variable in ("SSLAUDIT_PLUGINS", "SSLAUDIT_DISABLE_PLUGINS"):
        monkeypatch.delenv(variable, raising=False)

    def call(name: str, source: str, *, version: str = "1.0", attribute: str = "") -> None:
        module = f"fake_{name.replace('-', '_')}"
        monkeypatch.delitem(sys.modules, module, raising=False)
        (site / f"{module}.py").write_text(source)
        info = site / f"dist_{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[sslaudit]\n{name} = {module}{attribute}\n")

    return call


def loaded(**kwargs: bool) -> dict[str, Plugin]:
    return {plugin.name: plugin for plugin in load_plugins(**kwargs)}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_rolled_back_whole_and_the_others_work(name: str, install: Install) -> None:
    source, reason = BROKEN[name]
    install("good", GOOD)
    install(name, source)
    plugins = loaded()
    broken = plugins[name]
    assert (broken.status, broken.offers) == ("failed", {})
    assert str(broken) == f"{name} (dist-{name} 1.0)"
    assert broken.reason.startswith(reason)
    assert "\n" not in broken.reason
    registry = Registry(list(plugins.values()))
    assert registry.metrics.get("good-one").name == "good-one"
    assert str(registry.metrics.owner("good-one")) == "good (dist-good 1.0)"
    assert "half" not in registry.metrics.names()


def test_a_missing_attribute_is_a_failure(install: Install) -> None:
    install("noattr", "x = 1", attribute=":Plugin")
    assert loaded()["noattr"].reason == "AttributeError: module 'fake_noattr' has no attribute 'Plugin'"


def test_an_interrupt_is_no_failure_of_the_plugin(install: Install) -> None:
    install("interrupted", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_plugins()


def test_strict_raises_at_the_first_failure(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("broken", "raise ValueError('no')")
    with pytest.raises(PluginError, match=r"broken \(dist-broken 1\.0\) failed: ValueError: no"):
        load_plugins(strict=True)
    monkeypatch.setenv("SSLAUDIT_PLUGINS", "strict")
    with pytest.raises(PluginError, match="dist-broken"):
        load_plugins()
    assert loaded(strict=False)["broken"].status == "failed"


@pytest.mark.parametrize("value", ["broken", "dist-broken", "other, broken ,"])
def test_a_disabled_plugin_is_not_imported(
    value: str, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("broken", "raise ValueError('no')")
    install("good", GOOD)
    monkeypatch.setenv("SSLAUDIT_DISABLE_PLUGINS", value)
    plugins = loaded(strict=True)
    assert (plugins["broken"].status, plugins["broken"].reason) == ("disabled", "SSLAUDIT_DISABLE_PLUGINS")
    assert plugins["good"].status == "ok"
    assert "fake_broken" not in sys.modules


def test_two_plugins_with_one_name_are_a_conflict_that_names_both(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = SPEC + "@hookimpl\ndef sslaudit_metrics():\n    return [metric('good-one'), metric('other')]\n"
    install("good", GOOD)
    install("twin", both, version="2.5")
    plugins = loaded()
    assert (plugins["good"].status, plugins["twin"].status) == ("conflict", "conflict")
    assert plugins["good"].reason == "metric 'good-one' is also offered by twin (dist-twin 2.5)"
    assert plugins["twin"].reason == "metric 'good-one' is also offered by good (dist-good 1.0)"
    registry = Registry(list(plugins.values()))
    with pytest.raises(PluginError, match=r"good \(dist-good 1\.0\) and twin \(dist-twin 2\.5\); disable"):
        registry.metrics.get("good-one")
    assert registry.metrics.get("other").name == "other"
    assert "good-one" in registry.metrics.names()
    assert "good-one" not in registry.metrics.usable()
    monkeypatch.setenv("SSLAUDIT_DISABLE_PLUGINS", "dist-twin")
    assert loaded()["good"].status == "ok"


def test_a_plugin_that_offers_a_name_twice_conflicts_with_itself(install: Install) -> None:
    install("double", SPEC + "@hookimpl\ndef sslaudit_metrics():\n    return [metric('m'), metric('m')]\n")
    double = loaded()["double"]
    assert (double.status, double.reason) == ("conflict", "metric 'm' is also offered by itself")


def test_an_unknown_name_is_answered_with_the_nearest(install: Install) -> None:
    install("good", GOOD)
    registry = Registry(load_plugins())
    with pytest.raises(RefError, match=r"no metric 'Good-On'\. Did you mean 'good-one'\? There are"):
        registry.metrics.get("Good-On")
    with pytest.raises(RefError, match=r"no method 'x'\. There is: none\."):
        Registry([]).methods.get("x")


def test_what_a_plugin_prints_stays_out_of_stdout(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("chatty", "print('hello')\n" + GOOD)
    assert loaded()["chatty"].status == "ok"
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")


def test_a_malformed_package_ends_in_one_error(install: Install, site: Path) -> None:
    install("good", GOOD)
    (site / "dist_good-1.0.dist-info" / "entry_points.txt").write_text("[sslaudit]\nno equals sign\n")
    with pytest.raises(PluginError, match=r"malformed entry_points\.txt"):
        load_plugins()


def test_a_package_without_metadata_is_listed_as_unknown(install: Install, site: Path) -> None:
    install("good", GOOD)
    (site / "dist_good-1.0.dist-info" / "METADATA").write_text("")
    assert str(loaded()["good"]) == "good (unknown unknown)"


@pytest.fixture
def broken_site(install: Install, site: Path) -> dict[str, str]:
    """An environment in which every plugin of BROKEN and a good one are installed."""
    for name, (source, _) in BROKEN.items():
        install(name, source)
    install("good", "print('hello')\n" + GOOD)
    return {"PYTHONPATH": os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])}


def test_the_program_works_beside_broken_plugins(run: Callable, broken_site: dict[str, str]) -> None:
    for option in ("--help", "--version"):
        answer = run(option, env=broken_site)
        assert (answer.returncode, answer.stderr) == (0, "")
        assert "sslaudit" in answer.stdout.lower()
    answer = run("list", "metrics", env=broken_site)
    assert answer.returncode == 0
    assert "good-one" in answer.stdout
    assert "Traceback" not in answer.stderr


def test_plugins_as_json_carries_every_reason(run: Callable, broken_site: dict[str, str]) -> None:
    answer = run("plugins", "--json", env=broken_site)
    assert (answer.returncode, answer.stderr) == (0, "hello\n")
    records = {record["name"]: record for record in json.loads(answer.stdout)}
    for name, (_, reason) in BROKEN.items():
        assert records[name]["distribution"] == f"dist-{name}"
        assert records[name]["status"] == "failed"
        assert records[name]["reason"].startswith(reason)
        assert records[name]["offers"] == {}
    assert records["good"]["offers"] == {"metrics": ["good-one"]}
    assert records["builtins"]["status"] == "ok"


def test_the_table_of_plugins_has_one_row_each_and_strict_exits_1(
    run: Callable, broken_site: dict[str, str]
) -> None:
    broken_site["COLUMNS"] = "400"
    for options, code in (([], 0), (["--strict"], 1)):
        answer = run("plugins", *options, env=broken_site)
        assert answer.returncode == code
        assert "Traceback" not in answer.stderr
        for name, (_, reason) in BROKEN.items():
            rows = [line for line in answer.stdout.splitlines() if line.startswith(f"{name} ")]
            assert len(rows) == 1
            assert f"dist-{name} 1.0" in rows[0]
            assert reason in rows[0]


def test_a_command_that_uses_plugins_names_each_broken_one_once(
    run: Callable, broken_site: dict[str, str]
) -> None:
    answer = run("inspect", "nowhere:x", env=broken_site)
    assert answer.returncode == 2
    lines = [line for line in answer.stderr.splitlines() if line != "hello"]
    assert lines[-1].startswith("error: 'nowhere:x' has the unknown scheme 'nowhere'.")
    assert sorted(lines[:-1]) == sorted(
        f"plugin {name} (dist-{name} 1.0) failed and is left out: {line.split(': ', 1)[1]}"
        for line in lines[:-1]
        for name in BROKEN
        if f"(dist-{name} 1.0)" in line
    )
    assert len(lines) == 1 + len(BROKEN)


def test_strict_by_environment_is_one_line_and_exit_1(run: Callable, broken_site: dict[str, str]) -> None:
    answer = run("plugins", env={**broken_site, "SSLAUDIT_PLUGINS": "strict"})
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr.startswith("error: plugin arguments (dist-arguments 1.0) failed: ")
    assert answer.stderr.count("\n") == 1
