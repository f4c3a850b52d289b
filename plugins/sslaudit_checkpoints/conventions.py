"""How SSL projects prepare images at evaluation, each with the file that says so.

What a convention leaves open (``None``) is the architecture's: a net with a CIFAR stem stays at 32
pixels, whatever size the project used on ImageNet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sslaudit.encoder import IMAGENET_MEAN, IMAGENET_STD, Interpolation, Preprocess

Triple = tuple[float, float, float]

_CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
_CIFAR10_STD_PER_IMAGE = (0.2023, 0.1994, 0.2010)  # mean over images of each image's own
_CIFAR10_STD = (0.247, 0.243, 0.261)
_MEAN_255 = (125.3 / 255, 123.0 / 255, 113.9 / 255)
_STD_255 = (63.0 / 255, 62.1 / 255, 66.7 / 255)


@dataclass(frozen=True, kw_only=True, slots=True)
class Convention:
    """What a project does to an image before its encoder sees it."""

    name: str
    title: str
    """The project, as a reader knows it."""
    mean: Triple
    std: Triple
    interpolation: Interpolation = "bilinear"
    crop: float | None = None
    """Share of the resized shorter side that the centre crop keeps; None: as the architecture."""
    size: tuple[int, int] | None = None
    """Height and width in pixels; None: as the architecture."""
    source: str
    """Owner, repository and file."""

    def preprocess(self, size: tuple[int, int], crop: float) -> Preprocess:
        """The preprocessing; ``size`` (height, width in pixels) and ``crop`` where it has none."""
        return Preprocess(
            size=self.size or size,
            mean=self.mean,
            std=self.std,
            interpolation=self.interpolation,
            crop=crop if self.crop is None else self.crop,
            source=f"convention of {self.title} ({self.source})",
        )


def _imagenet(
    name: str,
    title: str,
    source: str,
    *,
    std: Triple = IMAGENET_STD,
    interpolation: Interpolation = "bilinear",
) -> Convention:
    """ImageNet's mean; where a size is named it is 256 cut to 224, as the architectures assume."""
    return Convention(
        name=name, title=title, mean=IMAGENET_MEAN, std=std, interpolation=interpolation, source=source
    )


def _plain(
    name: str,
    title: str,
    source: str,
    *,
    size: int | None = None,
    crop: float | None = None,
    interpolation: Interpolation = "bilinear",
) -> Convention:
    """Pixels in [0, 1], not normalised."""
    return Convention(
        name=name,
        title=title,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        interpolation=interpolation,
        crop=crop,
        size=None if size is None else (size, size),
        source=source,
    )


def _cifar(name: str, title: str, mean: Triple, std: Triple, source: str) -> Convention:
    """CIFAR images as they are, 32 pixels."""
    return Convention(name=name, title=title, mean=mean, std=std, crop=1.0, size=(32, 32), source=source)


_ALL = (
    _plain("google-simclr", "SimCLR", "google-research/simclr data_util.py", interpolation="bicubic"),
    _plain(
        "simclr-converter",
        "converted SimCLR weights",
        "tonylins/simclr-converter eval.py",
        size=256,
        crop=1.0,
    ),
    _plain("simclrv2", "SimCLR v2", "Separius/SimCLRv2-Pytorch verify.py"),
    _plain(
        "sthalles",
        "SimCLR by sthalles",
        "sthalles/SimCLR feature_eval/mini_batch_logistic_regression_evaluator.ipynb",
    ),
    _plain(
        "spijkervet",
        "SimCLR by Spijkervet",
        "Spijkervet/SimCLR simclr/modules/transformations/simclr.py",
        crop=1.0,
    ),
    _cifar(
        "leftthomas",
        "SimCLR by leftthomas",
        _CIFAR10_MEAN,
        _CIFAR10_STD_PER_IMAGE,
        "leftthomas/SimCLR utils.py",
    ),
    _cifar(
        "supcontrast",
        "SupContrast",
        _CIFAR10_MEAN,
        _CIFAR10_STD_PER_IMAGE,
        "HobbitLong/SupContrast main_ce.py",
    ),
    _imagenet("moco", "MoCo", "facebookresearch/moco main_lincls.py"),
    _imagenet("mocov3", "MoCo v3", "facebookresearch/moco-v3 main_lincls.py"),
    _imagenet("simsiam", "SimSiam", "facebookresearch/simsiam main_lincls.py"),
    Convention(
        name="patrickhua",
        title="SimSiam by PatrickHua",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        interpolation="bicubic",
        crop=0.875,
        source="PatrickHua/SimSiam augmentations/eval_aug.py",
    ),
    _imagenet("lucidrains", "BYOL by lucidrains", "lucidrains/byol-pytorch byol_pytorch/byol_pytorch.py"),
    _plain("sthalles-byol", "BYOL by sthalles", "sthalles/PyTorch-BYOL eval/linear_feature_eval.ipynb"),
    _imagenet("yaox12", "BYOL by yaox12", "yaox12/BYOL-PyTorch data/byol_transform.py"),
    _imagenet("byol", "converted BYOL weights", "ajtejankar/byol-convert validate.py"),
    _imagenet("barlowtwins", "Barlow Twins", "facebookresearch/barlowtwins evaluate.py"),
    _imagenet("vicreg", "VICReg", "facebookresearch/vicreg evaluate.py"),
    _imagenet("swav", "SwAV", "facebookresearch/swav eval_linear.py", std=(0.228, 0.224, 0.225)),
    _imagenet("dino", "DINO", "facebookresearch/dino eval_knn.py", interpolation="bicubic"),
    _imagenet(
        "dinov2", "DINOv2", "facebookresearch/dinov2 dinov2/data/transforms.py", interpolation="bicubic"
    ),
    _imagenet("mae", "MAE", "facebookresearch/mae main_linprobe.py", interpolation="bicubic"),
    _imagenet("ijepa", "I-JEPA", "facebookresearch/ijepa src/transforms.py"),
    _imagenet("msn", "MSN", "facebookresearch/msn src/data_manager.py"),
    _imagenet("pycontrast", "PyContrast", "HobbitLong/PyContrast pycontrast/datasets/util.py"),
    _imagenet("rotnet", "RotNet", "gidariss/FeatureLearningRotNet dataloader.py"),
    _cifar("rotnet-cifar", "RotNet", _MEAN_255, _STD_255, "gidariss/FeatureLearningRotNet dataloader.py"),
    _imagenet("vissl", "VISSL", "facebookresearch/vissl eval_resnet_8gpu_transfer_in1k_linear.yaml"),
    _imagenet(
        "mmselfsup",
        "MMSelfSup",
        "open-mmlab/mmselfsup configs/benchmarks/classification/_base_/datasets/imagenet.py",
    ),
    _imagenet("sololearn", "solo-learn", "vturrisi/solo-learn solo/data/classification_dataloader.py"),
    _cifar(
        "sololearn-cifar",
        "solo-learn",
        _CIFAR10_MEAN,
        _CIFAR10_STD,
        "vturrisi/solo-learn solo/data/classification_dataloader.py",
    ),
    _imagenet("lightly", "lightly", "lightly-ai/lightly benchmarks/imagenet/resnet50/linear_eval.py"),
    _imagenet(
        "bolts",
        "Lightning Bolts",
        "Lightning-Universe/lightning-bolts src/pl_bolts/transforms/dataset_normalizations.py",
    ),
    _cifar(
        "bolts-cifar",
        "Lightning Bolts",
        _MEAN_255,
        _STD_255,
        "Lightning-Universe/lightning-bolts src/pl_bolts/transforms/dataset_normalizations.py",
    ),
    _imagenet(
        "timm",
        "timm",
        "huggingface/pytorch-image-models timm/data/config.py",
        interpolation="bicubic",
    ),
    Convention(
        name="bigan",
        title="BiGAN",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        source="fmu2/Wasserstein-BiGAN wali_cifar10.py",
    ),
)

CONVENTIONS: Mapping[str, Convention] = MappingProxyType({one.name: one for one in _ALL})

METHOD_CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {
        "simclr": CONVENTIONS["google-simclr"],
        "barlow-twins": CONVENTIONS["barlowtwins"],
        "byol": CONVENTIONS["byol"],
        "moco": CONVENTIONS["moco"],
        "simsiam": CONVENTIONS["simsiam"],
        "dino": CONVENTIONS["dino"],
        "swav": CONVENTIONS["swav"],
        "vicreg": CONVENTIONS["vicreg"],
        "rotnet": CONVENTIONS["rotnet"],
        "bigan": CONVENTIONS["bigan"],
    }
)
"""What holds when the user names the method and the file's project is not recognised."""
