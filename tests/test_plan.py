"""From metric terms to an ordered plan."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslaudit.errors import PluginError, RefError, UsageError
from sslaudit.host import Plugin
from sslaudit.plan import Plan, make_plan
from sslaudit.registry import Registry
from sslaudit.results import Estimate
from sslaudit.specs import MetricSpec, Needs, Option, OptionValue

KNN = (
    Option(name="k", type=int, default=20, help="neighbours"),
    Option(name="T", type=float, default=0.07, help="temperature"),
    Option(name="exact", type=bool, default=False, help="no approximation"),
    Option(name="metric", type=str, default=None, help="distance"),
)


def spec(
    name: str, *, needs: Needs | None = None, default: bool = True, options: tuple[Option, ...] = ()
) -> MetricSpec:
    return MetricSpec(
        name=name,
        version=1,
        summary=name,
        source="none",
        needs=needs or Needs(),
        compute=lambda inputs: Estimate.not_applicable("never run"),
        options=options,
        default=default,
    )


def registry(*specs: MetricSpec) -> Registry:
    return Registry([Plugin(name="p", distribution="dist", version="1.2", offers={"metrics": list(specs)})])


def reads(*names: str) -> Needs:
    return Needs(results=names)


def terms(plan: Plan) -> list[str]:
    return [metric.term for metric in plan.metrics]


def test_no_request_means_the_default_metrics() -> None:
    found = registry(spec("b"), spec("a"), spec("slow", default=False))
    assert sorted(terms(make_plan(found, None))) == ["a", "b"]
    assert terms(make_plan(found, "slow")) == ["slow"]


def test_a_plan_without_metrics_is_refused() -> None:
    with pytest.raises(UsageError, match="no metric"):
        make_plan(registry(spec("slow", default=False)), None)
    with pytest.raises(UsageError, match="no metric"):
        make_plan(registry(spec("a")), [])
    with pytest.raises(RefError, match="empty place"):
        make_plan(registry(spec("a")), "")


def test_a_string_and_a_list_mean_the_same() -> None:
    found = registry(spec("knn", options=KNN), spec("a"))
    text = make_plan(found, "knn(k=5,T=1),a")
    assert terms(text) == terms(make_plan(found, ["knn(k=5,T=1)", "a"])) == ["knn(k=5,T=1.0)", "a"]
    assert text.metrics[0].options == {"k": 5, "T": 1.0, "exact": False, "metric": None}
    assert text.metrics[0].plugin == "dist 1.2"


@pytest.mark.parametrize(
    ("asked", "canonical"),
    [
        ("knn", "knn"),
        ("knn(k=20,T=0.07,exact=no)", "knn"),
        ("knn(T=7e-2, k=020)", "knn"),
        ("knn(exact=YES)", "knn(exact=True)"),
        ("knn(metric=cosine,k=5)", "knn(k=5,metric=cosine)"),
        ("knn(T=0.00001)", "knn(T=1e-05)"),
    ],
)
def test_a_term_is_spelt_by_what_differs_from_the_defaults(asked: str, canonical: str) -> None:
    found = registry(spec("knn", options=KNN))
    assert terms(make_plan(found, asked)) == [canonical]
    assert terms(make_plan(found, canonical)) == [canonical]


def test_a_metric_may_run_twice_with_different_options_only() -> None:
    found = registry(spec("knn", options=KNN))
    assert terms(make_plan(found, "knn,knn(k=5)")) == ["knn", "knn(k=5)"]
    with pytest.raises(UsageError, match=r"'knn\(k=5\)' is asked for twice"):
        make_plan(found, "knn(k=5),knn(k=5,T=0.07)")


@pytest.mark.parametrize(
    ("asked", "error", "named"),
    [
        ("knnn", RefError, r"no metric 'knnn'\. Did you mean 'knn'\?"),
        ("knn(j=5)", UsageError, r"metric 'knn' has no option 'j'; it has: T, exact, k, metric"),
        ("knn(k=five)", UsageError, r"metric 'knn': option k=five is not a whole number"),
        ("knn(k=1.5)", UsageError, r"option k=1\.5 is not a whole number"),
        ("knn(T=warm)", UsageError, r"option T=warm is not a number"),
        ("knn(exact=maybe)", UsageError, r"option exact=maybe is not true or false"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(asked: str, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        make_plan(registry(spec("knn", options=KNN)), asked)


def test_options_that_do_not_go_together_are_refused_before_any_work() -> None:
    def at_most(options: Mapping[str, OptionValue | None]) -> str:
        return f"k={options['k']} is above {options['T']}." if options["k"] > options["T"] else ""  # type: ignore[operator]

    found = registry(replace(spec("knn", options=KNN), check=at_most))
    with pytest.raises(UsageError, match=r"metric 'knn': k=20 is above 0\.07\."):
        make_plan(found, "knn")
    assert terms(make_plan(found, "knn(T=30)")) == ["knn(T=30.0)"]


def test_metrics_whose_results_are_read_are_added_and_run_first() -> None:
    found = registry(
        spec("theorem", needs=reads("alignment", "divergence")),
        spec("divergence", needs=reads("knn"), default=False),
        spec("alignment", default=False),
        spec("knn", options=KNN, default=False),
    )
    order = terms(make_plan(found, "theorem"))
    assert sorted(order) == ["alignment", "divergence", "knn", "theorem"]
    assert order.index("knn") < order.index("divergence") < order.index("theorem")
    assert order.index("alignment") < order.index("theorem")


def test_a_metric_with_options_does_not_stand_for_the_plain_one() -> None:
    found = registry(spec("reader", needs=reads("knn")), spec("knn", options=KNN))
    order = terms(make_plan(found, "knn(k=5),reader"))
    assert sorted(order) == ["knn", "knn(k=5)", "reader"]
    assert order.index("knn") < order.index("reader")


def test_a_result_that_no_plugin_offers_names_its_reader() -> None:
    with pytest.raises(PluginError, match=r"metric 'reader' \(dist 1\.2\) reads the result of 'gone'"):
        make_plan(registry(spec("reader", needs=reads("gone"))), None)


@pytest.mark.parametrize("asked", ["a", "a,b", "b,c"])
def test_metrics_that_need_each_other_are_refused(asked: str) -> None:
    found = registry(spec("a", needs=reads("b")), spec("b", needs=reads("a")), spec("c", needs=reads("c")))
    with pytest.raises(PluginError, match="need each other's results"):
        make_plan(found, asked)


@given(st.data())
def test_any_acyclic_set_of_metrics_is_ordered(data: st.DataObject) -> None:
    names = [f"m{i}" for i in range(8)]
    needs = {
        name: tuple(data.draw(st.sets(st.sampled_from(names[:i])))) if i else ()
        for i, name in enumerate(names)
    }
    found = registry(*(spec(name, needs=reads(*needs[name])) for name in data.draw(st.permutations(names))))
    asked = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    order = terms(make_plan(found, asked))
    wanted = set(asked)
    for name in reversed(names):
        wanted |= set(needs[name]) if name in wanted else set()
    assert sorted(order) == sorted(wanted)
    assert all(order.index(before) < order.index(name) for name in order for before in needs[name])


@pytest.mark.parametrize(
    ("needs", "views", "spaces"),
    [
        (Needs(), False, ()),
        (Needs(labels=True, encoder=True), False, ()),
        (Needs(embeddings=True), False, ("embedding",)),
        (Needs(views=2), True, ("embedding",)),
        (Needs(pixel_views=2), True, ()),
        (Needs(embeddings=True, space="projection"), False, ("projection",)),
    ],
)
def test_a_plan_is_the_union_of_what_its_metrics_need(
    needs: Needs, views: bool, spaces: tuple[str, ...]
) -> None:
    plan = make_plan(registry(spec("m", needs=needs)), "m")
    assert (plan.views, plan.spaces) == (views, spaces)
    both = make_plan(registry(spec("m", needs=needs), spec("n", needs=Needs(embeddings=True))), "m,n")
    assert both.spaces == tuple(sorted({*spaces, "embedding"}))


def test_on_projections_every_metric_that_reads_features_reads_those() -> None:
    needs = {
        "rows": Needs(embeddings=True, labels=True, min_per_class=3),
        "pairs": Needs(views=2),
        "projected": Needs(embeddings=True, space="projection"),
        "pixels": Needs(pixel_views=2),
        "live": Needs(encoder=True),
    }
    there = registry(*(spec(name, needs=need) for name, need in needs.items()))
    plain, moved = make_plan(there, None), make_plan(there, None, space="projection")
    spaces = {metric.spec.name: metric.space for metric in plain.metrics}
    assert spaces == {
        "rows": "embedding",
        "pairs": "embedding",
        "projected": "projection",
        "pixels": "",
        "live": "",
    }
    assert plain.spaces == ("embedding", "projection")
    assert moved.spaces == ("projection",)
    for metric in moved.metrics:
        assert metric.space in ("projection", "")
        original = needs[metric.spec.name]
        assert metric.spec.needs == (replace(original, space="projection") if metric.space else original)


NORM = (Option(name="norm", type=str, default="sphere", help="length"),)


def test_a_metric_on_both_spaces_runs_twice_where_there_is_a_projector() -> None:
    there = registry(
        spec("pairs", needs=Needs(views=2, space="both")),
        spec("loss", needs=Needs(views=2, space="trained")),
        spec("rows", needs=Needs(embeddings=True)),
        spec("pixels", needs=Needs(pixel_views=1)),
    )
    plan = make_plan(there, "pairs,loss,rows,pixels")
    for projector, spaces in ((True, ["embedding", "projection"]), (False, ["embedding"])):
        found = plan.on(projector=projector)
        where: dict[str, list[str]] = {}
        for metric in found.metrics:
            where.setdefault(metric.term, []).append(metric.space)
        last = spaces[-1:]
        assert where == {"pairs": spaces, "loss": last, "rows": ["embedding"], "pixels": [""]}
        assert found.spaces == tuple(spaces)
        assert len({metric.key for metric in found.metrics}) == len(found.metrics)
    moved = make_plan(there, "pairs,loss", space="projection").on(projector=True)
    assert [(m.key, m.space) for m in moved.metrics] == [("pairs", "projection"), ("loss", "projection")]


def test_a_result_is_read_in_the_readers_space_and_with_its_options() -> None:
    there = registry(
        spec("theorem", needs=Needs(views=2, space="both", results=("pairs", "pixels")), options=NORM),
        spec("pairs", needs=Needs(views=2, space="both"), options=NORM, default=False),
        spec("pixels", needs=Needs(pixel_views=1), default=False),
    )
    found = make_plan(there, "theorem(norm=as-is),pairs").on(projector=True)
    read = {metric.key: dict(metric.reads) for metric in found.metrics if metric.reads}
    assert read == {
        "theorem(norm=as-is)": {"pairs": "pairs(norm=as-is)", "pixels": "pixels"},
        "projection:theorem(norm=as-is)": {"pairs": "projection:pairs(norm=as-is)", "pixels": "pixels"},
    }
    order = [metric.key for metric in found.metrics]
    assert "pairs" in order, "what was asked for runs too"
    for key, reads_ in read.items():
        assert all(order.index(before) < order.index(key) for before in reads_.values())


def test_the_order_does_not_depend_on_the_hashes_of_the_process() -> None:
    script = (
        "from sslaudit.plan import make_plan\nfrom sslaudit.registry import installed\n"
        "print([metric.key for metric in make_plan(installed(), 'theorem1').metrics])"
    )
    orders = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2", "3")
    }
    assert len(orders) == 1
    assert "theorem1" in orders.pop()
