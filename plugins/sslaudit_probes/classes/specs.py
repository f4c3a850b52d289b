"""The classes in the embedding: how tight, how far apart, as descriptions."""

from sslaudit.specs import MetricSpec, Needs, Option, deferred


def _images(default: int, what: str) -> Option:
    return Option(name="images", type=int, default=default, minimum=10, help=f"{what} that are drawn at most")


SPECS: tuple[MetricSpec, ...] = (
    MetricSpec(
        name="neural-collapse",
        version=1,
        summary="spread of classes",
        paper="NC1",
        source="Papyan, Han and Donoho, PNAS 2020, NC1-NC4",
        needs=Needs(embeddings=True, labels=True),
        compute=deferred("sslaudit_probes.classes.neural_collapse:compute"),
        direction="lower",
        range=(0.0, None),
        group="classes",
    ),
    MetricSpec(
        name="silhouette",
        version=1,
        summary="silhouette",
        source="Rousseeuw, Journal of Computational and Applied Mathematics 1987",
        needs=Needs(embeddings=True, labels=True),
        compute=deferred("sslaudit_probes.classes.silhouette:compute"),
        options=(_images(4000, "images"),),
        direction="higher",
        range=(-1.0, 1.0),
        group="classes",
    ),
    MetricSpec(
        name="transferability",
        version=1,
        summary="evidence of a linear model",
        paper="LogME",
        source="You et al., ICML 2021, Algorithm 1; H-score, N-LEEP and NCE beside it",
        needs=Needs(embeddings=True, labels=True),
        compute=deferred("sslaudit_probes.classes.transferability:compute"),
        options=(_images(10000, "training images"),),
        direction="higher",
        unit="nats",
        group="classes",
        default=False,
    ),
)
