"""The reference trainers as the host lists them. Nothing heavy is imported here."""

from sslaudit.pretext.options import OF_A_CROP
from sslaudit.specs import MethodSpec, Option, deferred


def _width(name: str, text: str, default: int | None = None) -> Option:
    return Option(name=name, type=int, default=default, minimum=1, help=text)


_HIDDEN = _width("hidden", "width of the projector; else from the embedding's")
_MOMENTUM_HELP = "momentum of the target network"

SPECS = (
    MethodSpec(
        name="simclr",
        summary="contrast two views of an image with all other images of the batch (NT-Xent)",
        source="Chen et al., ICML 2020, Eq. 1",
        build=deferred("sslaudit.train.methods:simclr"),
        heads="projector of 2 layers, width D, as published",
        options=(
            Option(name="temperature", type=float, default=0.5, help="NT-Xent temperature"),
            _HIDDEN,
            _width("out", "dimensions of z", 128),
        ),
    ),
    MethodSpec(
        name="barlow-twins",
        summary="make the cross-correlation of two views the identity matrix",
        source="Zbontar et al., ICML 2021, Eq. 1",
        build=deferred("sslaudit.train.methods:barlow_twins"),
        heads="projector of 3 layers; published width 8192, here 2 D",
        options=(
            Option(name="lambd", type=float, default=5e-3, help="weight of the off-diagonal"),
            _HIDDEN,
            _width("out", "dimensions of z; else the width"),
        ),
    ),
    MethodSpec(
        name="byol",
        summary="predict a slow copy's projection of the other view; no negatives",
        source="Grill et al., NeurIPS 2020, Eq. 2",
        build=deferred("sslaudit.train.methods:byol"),
        heads="projector and predictor of 2 layers; published width 4096 at D = 2048, here 2 D",
        recipe="byol",
        options=(
            Option(
                name="momentum",
                type=float,
                default=0.996,
                minimum=0,
                maximum=1,
                help=f"{_MOMENTUM_HELP}, rising to 1",
            ),
            _HIDDEN,
            _width("out", "dimensions of z", 256),
        ),
    ),
    MethodSpec(
        name="moco",
        summary="contrast with a queue of a slow copy's projections (MoCo v2)",
        source="He et al., CVPR 2020, Eq. 1; Chen et al., 2020 (v2)",
        build=deferred("sslaudit.train.methods:moco"),
        heads="projector of 2 layers, width D, as published; a slow copy of both and a queue",
        recipe="moco-v2",
        options=(
            Option(name="temperature", type=float, default=0.2, help="InfoNCE temperature"),
            Option(name="momentum", type=float, default=0.999, minimum=0, maximum=1, help=_MOMENTUM_HELP),
            _width("queue", "projections that are kept as negatives", 4096),
            Option(name="symmetric", type=bool, default=False, help="both views as queries, as on CIFAR"),
            Option(
                name="splits",
                type=int,
                default=1,
                minimum=1,
                help="parts of a batch, shuffled for the keys, that batch norm sees one at a time",
            ),
            _HIDDEN,
            _width("out", "dimensions of z", 128),
        ),
    ),
    MethodSpec(
        name="simsiam",
        summary="predict the other view's projection, without its gradient",
        source="Chen and He, CVPR 2021, Eq. 1 and 2",
        build=deferred("sslaudit.train.methods:simsiam"),
        heads="projector of 3 layers, width D, and a predictor with a bottleneck of a quarter, as published",
        options=(
            Option(name="stop-gradient", type=bool, default=True, help="false lets it collapse, as a lesson"),
            Option(
                name="layers", type=int, default=3, minimum=2, maximum=3, help="of the projector; 2 on CIFAR"
            ),
            _HIDDEN,
            _width("out", "dimensions of z; else the width"),
        ),
    ),
    MethodSpec(
        name="vicreg",
        summary="keep views near, each dimension's spread above 1, dimensions uncorrelated",
        source="Bardes et al., ICLR 2022, Eq. 6",
        build=deferred("sslaudit.train.methods:vicreg"),
        heads="expander of 3 layers; published width 8192 at D = 2048, here 4 D",
        options=(
            Option(name="invariance", type=float, default=25.0, minimum=0, help="weight lambda"),
            Option(name="variance", type=float, default=25.0, minimum=0, help="weight mu"),
            Option(name="covariance", type=float, default=1.0, minimum=0, help="weight nu"),
            _HIDDEN,
            _width("out", "dimensions of z; else the width"),
        ),
    ),
    MethodSpec(
        name="rotation",
        summary="pretext task: by which quarter turn was the view rotated",
        source="Gidaris et al., ICLR 2018, Eq. 3",
        build=deferred("sslaudit.train.methods:rotation"),
        heads="one linear layer of four classes on h",
        recipe="crop+flip",
    ),
    MethodSpec(
        name="bigan",
        summary="generative: an encoder that inverts a small adversarial generator",
        source="Donahue et al., ICLR 2017, Eq. 3",
        build=deferred("sslaudit.train.methods:bigan"),
        heads="one linear layer to the latent; a small generator and discriminator",
        recipe="flip",
        options=(
            _width("latent", "dimensions of the generator's input", 16),
            _width("width", "channels of the generator", 64),
        ),
    ),
    MethodSpec(
        name="pretext-boost",
        summary="refine --encoder: predict labels from its features, and a pretext target no more",
        source="Teng et al., AISTATS 2022, the loss of Theorem 2",
        refine=deferred("sslaudit.train.pretext_boost:pretext_boost"),
        options=(
            Option(name="z", type=str, default="disjoint-crop", help="the pretext target"),
            *OF_A_CROP,
            Option(
                name="labelled",
                type=str,
                default="seen",
                choices=("seen", "plain"),
                help="what the label term sees: the image as beside z, or the plain one as in evaluation",
            ),
            Option(
                name="lam", type=float, default=0.02, minimum=0, help="lambda, the weight of the pretext term"
            ),
            Option(
                name="dim", type=int, default=None, minimum=1, help="dimensions d_f; else one for each class"
            ),
            Option(
                name="network", type=str, default="linear", choices=("linear", "mlp"), help="the form of f"
            ),
            Option(
                name="n0", type=int, default=0, minimum=0, help="images that lend their labels; 0 for all"
            ),
            Option(
                name="steps", type=int, default=None, minimum=1, help="steps of the optimiser; else enough"
            ),
        ),
    ),
)
