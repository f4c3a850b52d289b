"""What a change of the image does to the embedding and to the probes, as descriptions."""

from sslaudit.specs import MetricSpec, Needs, Option, deferred
from sslaudit_probes.change.options import (
    CORRUPTIONS,
    SEVERITIES,
    TRANSFORMS,
    corruptions_mistake,
    transforms_mistake,
)

SPECS = (
    MetricSpec(
        name="invariance",
        version=1,
        summary="least invariance",
        source="cosine of f(x) and f(T x) against random pairs, after Goodfellow et al., NeurIPS 2009",
        needs=Needs(embeddings=True, altered=True),
        compute=deferred("sslaudit_probes.change.invariance:compute"),
        options=(
            Option(
                name="transforms",
                type=str,
                default="+".join(TRANSFORMS),
                help=f"which of {', '.join(TRANSFORMS)}, joined by +",
            ),
            Option(
                name="images",
                type=int,
                default=1000,
                minimum=3,
                help="at most so many images, each embedded once for each transformation",
            ),
        ),
        check=transforms_mistake,
        direction="none",
        unit="share of the distance to another image",
        range=(None, 1.0),
        group="change",
    ),
    MetricSpec(
        name="robustness",
        version=1,
        summary="probe, corrupted images",
        source="Hendrycks and Dietterich, ICLR 2019; Madry et al., ICLR 2018, Section 2.1",
        needs=Needs(embeddings=True, labels=True, encoder=True, altered=True),
        compute=deferred("sslaudit_probes.change.robustness:compute"),
        options=(
            Option(
                name="corruptions",
                type=str,
                default="+".join(CORRUPTIONS),
                help=f"which of {', '.join(CORRUPTIONS)}, joined by +",
            ),
            Option(
                name="severity",
                type=int,
                default=3,
                minimum=1,
                maximum=SEVERITIES,
                help="of the corruptions, from 1 to 5",
            ),
            Option(
                name="images",
                type=int,
                default=1000,
                minimum=1,
                help="at most so many test images are corrupted",
            ),
            Option(
                name="eps",
                type=float,
                default=0.0157,
                minimum=0,
                maximum=1,
                help="how far the attack moves a pixel of [0, 1] at most; 0.0157 is 4/255",
            ),
            Option(name="steps", type=int, default=10, minimum=1, help="gradient steps of the attack"),
            Option(
                name="attacked",
                type=int,
                default=200,
                minimum=1,
                help="at most so many test images are attacked",
            ),
        ),
        check=corruptions_mistake,
        direction="higher",
        unit="fraction",
        range=(-1.0, 1.0),
        group="change",
        default=False,
    ),
)
