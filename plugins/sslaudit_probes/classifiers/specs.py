"""The classifiers, as descriptions."""

from sslaudit.specs import MetricSpec, Needs, Option, deferred
from sslaudit_theory.options import NORM

SPECS = (
    MetricSpec(
        name="nearest-centre",
        version=1,
        summary="nearest class centre",
        source="Huang et al., ICLR 2023, G_f",
        needs=Needs(embeddings=True, views=1, labels=True),
        compute=deferred("sslaudit_probes.classifiers.nearest_centre:compute"),
        options=(NORM,),
        direction="higher",
        unit="fraction",
        range=(0.0, 1.0),
        group="quality",
    ),
    MetricSpec(
        name="knn",
        version=1,
        summary="kNN",
        source="Caron et al., ICCV 2021, k-NN protocol; Wu et al., CVPR 2018, Sec. 3.4",
        needs=Needs(embeddings=True, labels=True),
        compute=deferred("sslaudit_probes.classifiers.knn:compute"),
        options=(
            Option(name="k", type=int, default=20, minimum=1, help="neighbours that vote"),
            Option(
                name="T",
                type=float,
                default=0.07,
                minimum=1e-3,
                help="temperature of the weights exp(cosine / T)",
            ),
        ),
        direction="higher",
        unit="fraction",
        range=(0.0, 1.0),
        group="quality",
    ),
    MetricSpec(
        name="few-shot",
        version=1,
        summary="1-NN, {k} labels a class",
        source="1-NN of Cover and Hart, IEEE Trans. Inf. Theory 1967, on k random labels a class",
        needs=Needs(embeddings=True, labels=True),
        compute=deferred("sslaudit_probes.classifiers.few_shot:compute"),
        options=(
            Option(name="k", type=int, default=3, minimum=1, help="labelled images of each class"),
            Option(name="draws", type=int, default=20, minimum=1, help="random draws of the labelled images"),
        ),
        direction="higher",
        unit="fraction",
        range=(0.0, 1.0),
        group="quality",
    ),
)
