"""The shape of the embedding, without labels, as descriptions."""

from collections.abc import Mapping

from sslaudit.specs import MetricSpec, Needs, Option, OptionValue, deferred


def _images(most: int) -> Option:
    return Option(
        name="images", type=int, default=most, minimum=2, help="images at most, drawn at random from all"
    )


def _range(options: Mapping[str, OptionValue | None]) -> str:
    low, high = options["low"], options["high"]
    return "" if int(low or 0) < int(high or 0) else f"low={low} is not below high={high}."


SPECS = (
    MetricSpec(
        name="spectrum",
        version=1,
        summary="RankMe",
        source="Garrido et al., ICML 2023, RankMe; Agrawal et al., NeurIPS 2022, alpha-ReQ",
        needs=Needs(embeddings=True),
        compute=deferred("sslaudit_probes.shape.spectrum:compute"),
        options=(
            _images(25_600),
            Option(name="low", type=int, default=5, minimum=1, help="first rank of the power law"),
            Option(name="high", type=int, default=100, minimum=1, help="last rank of the power law"),
        ),
        check=_range,
        unit="dimensions",
        range=(None, None),
        group="shape",
    ),
    MetricSpec(
        name="uniformity",
        version=1,
        summary="uniformity",
        source="Wang and Isola, ICML 2020, L_uniform",
        needs=Needs(embeddings=True),
        compute=deferred("sslaudit_probes.shape.uniformity:compute"),
        options=(
            Option(
                name="t",
                type=float,
                default=2.0,
                minimum=0.01,
                maximum=100,
                help="scale of exp(-t distance^2)",
            ),
            _images(10_000),
        ),
        direction="lower",
        unit="log of a mean",
        range=(None, 1.0),
        group="shape",
    ),
    MetricSpec(
        name="lidar",
        version=1,
        summary="LiDAR",
        source="Thilak et al., ICLR 2024, LiDAR",
        needs=Needs(views=2),
        compute=deferred("sslaudit_probes.shape.lidar:compute"),
        options=(
            _images(1_000),
            Option(
                name="delta",
                type=float,
                default=1e-4,
                minimum=1e-12,
                help="added to the variances within images",
            ),
        ),
        unit="dimensions",
        range=(1.0, None),
        group="shape",
    ),
    MetricSpec(
        name="intrinsic-dimension",
        version=1,
        summary="intrinsic dimension",
        paper="TwoNN",
        source="Facco et al., Scientific Reports 2017, TwoNN; Levina and Bickel, NIPS 2004",
        needs=Needs(embeddings=True),
        compute=deferred("sslaudit_probes.shape.intrinsic_dimension:compute"),
        options=(
            _images(10_000),
            Option(name="k", type=int, default=20, minimum=3, help="neighbours of mle and hubness"),
        ),
        unit="dimensions",
        range=(None, None),
        group="shape",
    ),
    MetricSpec(
        name="self-cluster",
        version=1,
        summary="crowding of directions",
        paper="SelfCluster",
        source="Tsitsulin, Munkhoeva and Perozzi, Unsupervised Embedding Quality Evaluation, 2023",
        needs=Needs(embeddings=True),
        compute=deferred("sslaudit_probes.shape.self_cluster:compute"),
        options=(_images(25_600),),
        direction="lower",
        unit="excess of squared cosine",
        range=(-1.0, 1.0),
        group="shape",
    ),
    MetricSpec(
        name="embedding-map",
        version=1,
        summary="share kept by the map",
        source="Pearson, Philosophical Magazine 1901, principal components; plane of class centres",
        needs=Needs(embeddings=True, views=1, labels="optional"),
        compute=deferred("sslaudit_probes.shape.embedding_map:compute"),
        unit="share",
        range=(0.0, 1.0),
        group="shape",
    ),
)
