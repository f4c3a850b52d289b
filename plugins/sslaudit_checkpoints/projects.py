"""Which SSL project wrote a file, told from the names in it and their order.

``signs`` are facts of files that the project's own code writes. A path is a key or a chain of keys
joined with dots, tensor names included, wrappers taken out: ``state_dict.encoder_q.conv1.weight``.
A layout that two projects share is nobody's: the answer is then None.

``branch`` says which backbone the project's own evaluation loads when the file holds several.
"""

from collections.abc import Iterable

from sslaudit_checkpoints.frameworks import BACKBONE, FRAMEWORKS
from sslaudit_checkpoints.project import Project
from sslaudit_checkpoints.refused import REFUSED
from sslaudit_checkpoints.tensors import unwrapped

_METHODS: tuple[Project, ...] = (
    Project(
        name="simclr-sthalles",
        title="SimCLR by sthalles",
        method="simclr",
        source="sthalles/SimCLR simclr.py",
        signs=(
            r"^arch$",
            r"^state_dict\.backbone\.fc\.0\.weight$",
            r"^state_dict\.backbone\.fc\.2\.bias$",
        ),
        convention="sthalles",
    ),
    Project(
        name="simclr-spijkervet",
        title="SimCLR by Spijkervet",
        method="simclr",
        source="Spijkervet/SimCLR simclr/simclr.py, model.py",
        signs=(
            r"^(state_dict\.model\.)?encoder\.conv1\.weight$",
            r"^(state_dict\.model\.)?projector\.0\.weight$",
            r"^(state_dict\.model\.)?projector\.2\.weight$",
        ),
        never=(r"projector\.\d+\.(bias|running_mean)$", r"predictor\."),
        branch=r"(^|\.)encoder(\.|$)",
        convention="spijkervet",
    ),
    Project(
        name="simclr-converter",
        title="Google's SimCLR, converted",
        method="simclr",
        source="tonylins/simclr-converter resnet_wider.py",
        signs=(  # the shortcut stands before the convolutions of its block
            r"^state_dict\.layer1\.0\.downsample\.1\.num_batches_tracked\nstate_dict\.layer1\.0\.conv1\.weight$",
            r"^state_dict\.fc\.weight$",
        ),
        convention="simclr-converter",
    ),
    Project(
        name="simclrv2",
        title="SimCLR v2, converted",
        method="simclr",
        source="Separius/SimCLRv2-Pytorch convert.py",
        signs=(r"^resnet\.net\.0\.0\.weight$", r"^resnet\.net\.1\.blocks\.0\.", r"^head\.layers\.0\.weight$"),
        branch=r"^resnet(\.|$)",
        convention="simclrv2",
    ),
    Project(
        name="supcontrast",
        title="SupContrast",
        method="simclr",
        source="HobbitLong/SupContrast util.py",
        signs=(
            r"^opt$",
            r"^model\.encoder\.conv1\.weight$",
            r"^model\.encoder\..*\.shortcut\.0\.weight$",
            r"^model\.head\.",
        ),
        convention="supcontrast",
        note="this project trains with labels (SupCon) or without (SimCLR), and the file does not say which",
    ),
    Project(
        name="simclr-leftthomas",
        title="SimCLR by leftthomas",
        method="simclr",
        source="leftthomas/SimCLR model.py, main.py",
        signs=(r"^f\.0\.weight$", r"^f\.3\.0\.conv1\.weight$", r"^g\.0\.weight$", r"^g\.3\.bias$"),
        convention="leftthomas",
    ),
    Project(
        name="mocov1",
        title="MoCo v1",
        method="moco",
        source="facebookresearch/moco moco/builder.py",
        signs=(r"(^|\.)encoder_q\.fc\.weight$", r"(^|\.)encoder_k\.fc\.weight$", r"(^|\.)queue$"),
        branch=r"(^|\.)encoder_q(\.|$)",
        convention="moco",
    ),
    Project(
        name="mocov2",
        title="MoCo v2",
        method="moco",
        source="facebookresearch/moco moco/builder.py",
        signs=(
            r"(^|\.)encoder_q\.fc\.0\.weight$",
            r"(^|\.)encoder_q\.fc\.2\.weight$",
            r"(^|\.)queue$",
        ),
        branch=r"(^|\.)encoder_q(\.|$)",
        convention="moco",
    ),
    Project(
        name="mocov3",
        title="MoCo v3",
        method="moco",
        source="facebookresearch/moco-v3 moco/builder.py",
        signs=(r"(^|\.)base_encoder\.", r"(^|\.)momentum_encoder\.", r"(^|\.)predictor\.0\.weight$"),
        branch=r"(^|\.)base_encoder(\.|$)",
        convention="mocov3",
    ),
    Project(
        name="simsiam",
        title="SimSiam",
        method="simsiam",
        source="facebookresearch/simsiam simsiam/builder.py",
        signs=(
            r"(^|\.)encoder\.fc\.6\.weight$",
            r"(^|\.)encoder\.fc\.3\.weight$",
            r"(^|\.)predictor\.3\.weight$",
        ),
        convention="simsiam",
    ),
    Project(
        name="simsiam-patrickhua",
        title="SimSiam by PatrickHua",
        method="simsiam",
        source="PatrickHua/SimSiam models/simsiam.py",
        signs=(
            r"^state_dict\.backbone\.conv1\.weight$",
            r"^state_dict\.encoder\.0\.conv1\.weight$",
            r"^state_dict\.projector\.layer1\.0\.weight$",
            r"^state_dict\.predictor\.layer1\.0\.weight$",
        ),
        branch=BACKBONE,
        convention="patrickhua",
    ),
    Project(
        name="byol-lucidrains",
        title="BYOL by lucidrains",
        method="byol",
        source="lucidrains/byol-pytorch byol_pytorch/byol_pytorch.py",
        signs=(r"(^|\.)online_encoder\.net\.", r"(^|\.)target_encoder\.net\.", r"(^|\.)online_predictor\."),
        branch=r"(^|\.)online_encoder(\.|$)",
        convention="lucidrains",
    ),
    Project(
        name="byol-sthalles",
        title="BYOL by sthalles",
        method="byol",
        source="sthalles/PyTorch-BYOL trainer.py",
        signs=(
            r"^online_network_state_dict\.encoder\.0\.weight$",
            r"^target_network_state_dict\.encoder\.0\.weight$",
            r"^online_network_state_dict\.projetion\.net\.0\.weight$",  # the project's own spelling
        ),
        branch=r"^online_network_state_dict(\.|$)",
        convention="sthalles-byol",
    ),
    Project(
        name="byol-yaox12",
        title="BYOL by yaox12",
        method="byol",
        source="yaox12/BYOL-PyTorch trainer/byol_trainer.py",
        signs=(
            r"^model\.online_network\.encoder\.0\.weight$",
            r"^model\.target_network\.projetion\.l1\.weight$",
            r"^model\.predictor\.predictor\.l1\.weight$",
        ),
        branch=r"(^|\.)online_network(\.|$)",
        convention="yaox12",
    ),
    Project(
        name="byol-convert",
        title="DeepMind's BYOL, converted",
        method="byol",
        source="ajtejankar/byol-convert convert.py, resnet.py",
        signs=(  # all weights, then all statistics, and no counters
            r"\A([\w.]+\.(weight|bias)\n)+([\w.]+\.running_(mean|var)(\n|\Z))+\Z",
            r"^layer4\.0\.conv3\.weight$",
            r"^fc\.weight$",
        ),
        convention="byol",
    ),
    Project(
        name="barlowtwins",
        title="Barlow Twins",
        method="barlow-twins",
        source="facebookresearch/barlowtwins main.py",
        signs=(
            r"^model\.backbone\.conv1\.weight$",
            r"^model\.projector\.0\.weight$",
            r"^model\.bn\.running_mean$",
        ),
        convention="barlowtwins",
    ),
    Project(
        name="vicreg",
        title="VICReg",
        method="vicreg",
        source="facebookresearch/vicreg main_vicreg.py",
        signs=(
            r"^model\.backbone\.conv1\.weight$",
            r"^model\.projector\.0\.bias$",
            r"^model\.projector\.4\.running_mean$",
            r"^model\.projector\.6\.weight$",
        ),
        never=(r"projector\.6\.bias$", r"predictor\."),
        convention="vicreg",
    ),
    Project(
        name="swav",
        title="SwAV",
        method="swav",
        source="facebookresearch/swav src/resnet50.py",
        signs=(
            r"^(state_dict\.)?conv1\.weight$",
            r"^(state_dict\.)?projection_head\.(0\.)?weight$",
            r"^(state_dict\.)?prototypes\.",
        ),
        convention="swav",
    ),
    Project(
        name="deepclusterv2",
        title="DeepCluster v2",
        method="",
        source="facebookresearch/swav main_deepclusterv2.py, src/resnet50.py",
        signs=(
            r"^(state_dict\.)?conv1\.weight$",
            r"^(state_dict\.)?projection_head\.(0\.)?weight$",
            r"^(state_dict\.)?prototypes\.",
            r"^(state_dict\.)?prototypes\.prototypes0\.weight$",
        ),
        convention="swav",
    ),
    Project(
        name="dino",
        title="DINO",
        method="dino",
        source="facebookresearch/dino main_dino.py",
        signs=(
            r"^teacher\.backbone\.",
            r"^student\.backbone\.",
            r"^(dino_loss\.center$|teacher\.head\.last_layer\.)",
        ),
        never=(r"^ibot_loss(\.|$)", r"\.ibot_head\."),
        branch=r"^teacher(\.|$)",
        convention="dino",
    ),
    Project(
        name="dinov2",
        title="DINOv2",
        method="dino",
        source="facebookresearch/dinov2 dinov2/train/ssl_meta_arch.py",
        signs=(r"(^|\.)teacher\.backbone\.", r"(^|\.)teacher\.dino_head\."),
        branch=r"(^|\.)teacher(\.|$)",
        convention="dinov2",
    ),
    Project(
        name="rotnet-nin",
        title="RotNet, Network in Network",
        method="rotnet",
        source="gidariss/FeatureLearningRotNet architectures/NetworkInNetwork.py",
        signs=(r"^network\._feature_blocks\.0\.Block1_ConvB1\.layers\.Conv\.weight$",),
        convention="rotnet-cifar",
    ),
    Project(
        name="ijepa",
        title="I-JEPA",
        method="",
        source="facebookresearch/ijepa src/train.py",
        signs=(r"^encoder\.patch_embed\.", r"^target_encoder\.patch_embed\.", r"^predictor\."),
        branch=r"^target_encoder(\.|$)",
        convention="ijepa",
    ),
    Project(
        name="msn",
        title="MSN",
        method="",
        source="facebookresearch/msn src/msn_train.py",
        signs=(r"^encoder\.patch_embed\.", r"^target_encoder\.patch_embed\.", r"^prototypes(\.|$)"),
        branch=r"^target_encoder(\.|$)",
        convention="msn",
    ),
    Project(
        name="mae",
        title="MAE",
        method="",
        source="facebookresearch/mae models_mae.py",
        signs=(r"^model\.mask_token$", r"^model\.decoder_pos_embed$", r"^model\.decoder_blocks\.0\."),
        convention="mae",
    ),
)

PROJECTS: tuple[Project, ...] = (*_METHODS, *FRAMEWORKS, *REFUSED)


def recognise(paths: Iterable[str]) -> Project | None:
    """The project whose layout ``paths`` shows; None when there is none or more than one."""
    text = "\n".join(unwrapped(path) for path in paths)
    found = sorted((one for one in PROJECTS if one.match(text)), key=lambda one: -len(one.signs))
    if len(found) > 1 and len(found[0].signs) == len(found[1].signs):
        return None
    return found[0] if found else None
