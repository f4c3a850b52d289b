"""The hooks of the plugin: descriptions only, so that listing it imports no torch."""

from sslaudit import EncoderScheme, MethodSpec, MetricSpec, Needs, Option, hookimpl


@hookimpl
def sslaudit_encoders():
    """``pooled:PIXELS``: the image averaged over a grid, an encoder without weights."""
    return [
        EncoderScheme(
            scheme="pooled",
            summary="pixels averaged over a grid of N x N cells",
            load=_load,
            example="pooled:4",
        )
    ]


@hookimpl
def sslaudit_metrics():
    """``norms``: two numbers and a histogram."""
    return [
        MetricSpec(
            name="norms",
            version=1,
            summary="embedding norm",
            source="none: an example",
            needs=Needs(embeddings=True),
            options=(Option(name="bins", type=int, default=10, help="bars of the histogram"),),
            compute=_norms,
            unit="l2",
            range=(0.0, None),
        )
    ]


@hookimpl
def sslaudit_methods():
    """``align-uniform``: a loss of two views."""
    return [
        MethodSpec(
            name="align-uniform",
            summary="views of one image near each other, images spread over the sphere",
            source="Wang and Isola, ICML 2020, Eq. 2 and 3",
            build=_align_uniform,
            recipe="simclr",
            options=(Option(name="weight", type=float, default=1.0, minimum=0, help="of uniformity"),),
        )
    ]


def _load(ref, device):
    from sslaudit_template.pooled import load

    return load(ref, device)


def _norms(inputs):
    from sslaudit_template.norms import compute

    return compute(inputs)


def _align_uniform(backbone, dim, **options):
    from sslaudit_template.align_uniform import AlignUniform

    return AlignUniform(backbone, dim, **options)
