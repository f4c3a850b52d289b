"""The five hooks of a plugin. All collect; none takes an argument.

A plugin is a module named by an entry point of the group ``sslaudit``::

    [project.entry-points.sslaudit]
    my-plugin = "my_package"

Each hook returns descriptions (see ``sslaudit.specs``); nothing heavy may be imported to make them.
"""

from collections.abc import Iterable

import pluggy

from sslaudit.specs import DatasetScheme, EncoderScheme, MethodSpec, MetricSpec, RecipeSpec

GROUP = "sslaudit"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def sslaudit_encoders() -> Iterable[EncoderScheme]:  # type: ignore[empty-body]
    """Schemes of encoder references, asked for once when the first name is looked up::

    @hookimpl
    def sslaudit_encoders():
        return [EncoderScheme(scheme="zeros", summary="All zeros.", load=load_zeros)]
    """


@hookspec
def sslaudit_metrics() -> Iterable[MetricSpec]:  # type: ignore[empty-body]
    """Metrics::

    @hookimpl
    def sslaudit_metrics():
        return [MetricSpec(name="mean-norm", version=1, summary="mean norm of h", source="none",
                           needs=Needs(embeddings=True), compute=mean_norm)]
    """


@hookspec
def sslaudit_datasets() -> Iterable[DatasetScheme]:  # type: ignore[empty-body]
    """Schemes of data references::

    @hookimpl
    def sslaudit_datasets():
        return [DatasetScheme(scheme="noise", summary="Gaussian noise.", open=open_noise)]
    """


@hookspec
def sslaudit_recipes() -> Iterable[RecipeSpec]:  # type: ignore[empty-body]
    """Named recipes, written in the terms of ``sslaudit list recipes``::

    @hookimpl
    def sslaudit_recipes():
        return [RecipeSpec(name="gentle", version=1, summary="Crop and flip.",
                           terms=(Term("crop", {"scale": "0.5"}), Term("flip")))]
    """


@hookspec
def sslaudit_methods() -> Iterable[MethodSpec]:  # type: ignore[empty-body]
    """Training methods for ``sslaudit train``::

    @hookimpl
    def sslaudit_methods():
        return [MethodSpec(name="my-ssl", summary="Mine.", source="none", build=build_my_ssl)]
    """
