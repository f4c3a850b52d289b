"""Files of frameworks that train many SSL methods. See ``projects``."""

from sslaudit_checkpoints.project import Project

BACKBONE = r"(^|\.)backbone(\.|$)"
_LIGHTNING = r"^pytorch-lightning_version$"

FRAMEWORKS: tuple[Project, ...] = (
    Project(
        name="pycontrast",
        title="PyContrast",
        method="",
        source="HobbitLong/PyContrast pycontrast/learning/contrast_trainer.py",
        signs=(
            r"^model\.encoder\.conv1\.weight$",
            r"^model\.head\.",
            r"^contrast\.memory$",
        ),
        branch=r"^model(\.|$)",
        convention="pycontrast",
    ),
    Project(
        name="vissl",
        title="VISSL",
        method="",
        source="facebookresearch/vissl vissl/hooks/log_hooks.py",
        signs=(r"^classy_state_dict\.base_model\.model\.trunk\._feature_blocks\.",),
        branch=r"(^|\.)base_model\.model\.trunk(\.|$)",
        convention="vissl",
    ),
    Project(
        name="mmselfsup",
        title="MMSelfSup",
        method="",
        source="open-mmlab/mmselfsup mmselfsup/models/algorithms",
        signs=(
            r"^meta$",
            r"^state_dict\.backbone\.",
            r"^state_dict\.(neck|encoder_k|target_net|momentum_encoder)\.",
        ),
        branch=BACKBONE,
        convention="mmselfsup",
    ),
    Project(
        name="sololearn",
        title="solo-learn",
        method="",
        source="vturrisi/solo-learn solo/methods/base.py",
        signs=(
            _LIGHTNING,
            r"^state_dict\.(backbone|encoder)\.",
            r"^state_dict\.classifier\.weight$",
            r"^state_dict\.(projector\.0\.weight|head\.mlp\.|momentum_backbone\.|momentum_encoder\.)",
        ),
        branch=r"(^|\.)(backbone|encoder)(\.|$)",
        convention="sololearn",
        cifar_convention="sololearn-cifar",
    ),
    Project(
        name="lightly",
        title="lightly",
        method="",
        source="lightly-ai/lightly lightly/models/modules/heads.py, examples/pytorch",
        signs=(
            r"(^|\.)(teacher_|student_)?backbone\.",
            r"(^|\.)(\w+_)?(projection_)?head(_momentum)?\.layers\.0\.",
        ),
        branch=BACKBONE,
        convention="lightly",
    ),
    Project(
        name="lightly-generator",
        title="lightly, ResNetGenerator",
        method="",
        source="lightly-ai/lightly lightly/models/resnet.py",
        signs=(
            r"(^|\.)backbone\.2\.0\.conv1\.weight$",
            r"(^|\.)backbone\.5\.0\.shortcut\.0\.weight$",
            r"(^|\.)projection_head\.layers\.0\.",
        ),
        branch=BACKBONE,
        convention="lightly",
    ),
    Project(
        name="bolts-simclr",
        title="Lightning Bolts SimCLR",
        method="simclr",
        source="Lightning-Universe/lightning-bolts src/pl_bolts/models/self_supervised/simclr",
        signs=(
            _LIGHTNING,
            r"^state_dict\.encoder\.conv1\.weight$",
            r"^state_dict\.projection\.model\.0\.weight$",
        ),
        convention="bolts",
        cifar_convention="bolts-cifar",
        note="Lightning Bolts chooses stem (first_conv) and max-pool (maxpool1) apart",
    ),
    Project(
        name="bolts-siamese",
        title="Lightning Bolts BYOL or SimSiam",
        method="",
        source="Lightning-Universe/lightning-bolts src/pl_bolts/models/self_supervised/byol",
        signs=(
            _LIGHTNING,
            r"^state_dict\.online_network\.encoder\.",
            r"^state_dict\.target_network\.encoder\.",
            r"^state_dict\.online_network\.projector\.model\.0\.weight$",
        ),
        branch=r"(^|\.)online_network(\.|$)",
        convention="bolts",
        cifar_convention="bolts-cifar",
    ),
    Project(
        name="openselfsup",
        title="OpenSelfSup",
        method="",
        source="open-mmlab/OpenSelfSup openselfsup/models",
        signs=(
            r"^meta$",
            r"^state_dict\.backbone\.",
            r"^state_dict\.(encoder_q|online_net)\.0\.conv1\.weight$",
            r"^state_dict\.(encoder_k|target_net)\.0\.conv1\.weight$",
        ),
        branch=BACKBONE,
        convention="mmselfsup",
    ),
    Project(
        name="timm",
        title="timm training script",
        method="",
        source="huggingface/pytorch-image-models timm/utils/checkpoint_saver.py, timm/models/_helpers.py",
        signs=(r"^arch$", r"^version$", r"^state_dict\.", r"^state_dict_ema\."),
        branch=r"^state_dict_ema(\.|$)",
        convention="timm",
    ),
)
