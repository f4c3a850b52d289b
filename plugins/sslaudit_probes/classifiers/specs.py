"""The classifiers, as descriptions."""

from sslaudit.specs import MetricSpec, Needs, Option, deferred
from sslaudit_theory.options import NORM

SPECS = (
    MetricSpec(
        name="linear-probe",
        version=1,
        summary="linear probe",
        source="Radford et al., ICML 2021 (CLIP), App. A.3; Alain and Bengio, ICLR 2017 workshop",
        needs=Needs(embeddings=True, labels=True),
        compute=deferred("sslaudit_probes.classifiers.linear_probe:compute"),
        direction="higher",
        unit="fraction",
        range=(0.0, 1.0),
        group="quality",
    ),
    MetricSpec(
        name="knn",
        version=2,
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
        name="few-shot",
        version=2,
        summary="1-NN, {k} labels a class",
        source="1-NN of Cover and Hart, IEEE Trans. Inf. Theory 1967, on k random labels a class; linear "
        "probes on shares of the labels, those of Chen et al., ICML 2020 (SimCLR), among them",
        needs=Needs(embeddings=True, labels=True),
        compute=deferred("sslaudit_probes.classifiers.few_shot:compute"),
        options=(
            Option(name="k", type=int, default=3, minimum=1, help="labelled images of each class"),
            Option(name="draws", type=int, default=20, minimum=1, help="random draws of the labelled images"),
            Option(
                name="probes",
                type=int,
                default=5,
                minimum=1,
                help="random draws of each share of the labels, one linear probe each",
            ),
        ),
        direction="higher",
        unit="fraction",
        range=(0.0, 1.0),
        group="quality",
    ),
    MetricSpec(
        name="calibration",
        version=1,
        summary="calibration error (ECE)",
        source="Guo et al., ICML 2017, Eq. 3 and Sec. 4.2; Brier, Monthly Weather Review 1950",
        needs=Needs(embeddings=True, labels=True),
        compute=deferred("sslaudit_probes.classifiers.calibration:compute"),
        options=(
            Option(name="bins", type=int, default=15, minimum=1, maximum=1000, help="bins of equal width"),
        ),
        direction="lower",
        unit="fraction",
        range=(0.0, None),
        group="classes",
    ),
)
