"""Layouts that are recognised and refused: their tensors do not decide the network. See ``projects``.

A state dict holds no strides, paddings or activations. For a ResNet its name stands for them; for an
encoder that a project composed itself nothing does, and a guess would give numbers without a meaning.
"""

from sslaudit_checkpoints.project import Project

_EXPORT = (
    "Export it where its code is, and give that file:\ntorch.jit.trace({}.eval(), images).save('encoder.pt')"
)

REFUSED: tuple[Project, ...] = (
    Project(
        name="bigan-wasserstein",
        title="Wasserstein BiGAN",
        method="bigan",
        source="fmu2/Wasserstein-BiGAN util.py, wali_cifar10.py",
        signs=(r"^E\.mapping\.0\.weight$", r"^G\.mapping\.0\.weight$", r"^C\.joint_net\.0\.weight$"),
        convention="bigan",
        refusal="it holds a BiGAN: encoder 'E.mapping', generator 'G.mapping', critic 'C'. Strides, paddings "
        f"and activations of the encoder are not in its tensors.\n{_EXPORT.format('model.E')}",
    ),
    Project(
        name="bigan-ali",
        title="ALI by 9310gaurav",
        method="bigan",
        source="9310gaurav/ali-pytorch model.py, main.py",
        signs=(r"^main1\.9\.weight$", r"^main2\.0\.weight$", r"^main3\.0\.weight$", r"^main4\.0\.bias$"),
        convention="bigan",
        refusal="it holds the encoder of an ALI (BiGAN), 'main1' to 'main4'. Its strides, paddings and "
        f"activations are not in its tensors.\n{_EXPORT.format('netE')}",
    ),
    Project(
        name="rotnet-alexnet",
        title="RotNet, AlexNet",
        method="rotnet",
        source="gidariss/FeatureLearningRotNet architectures/AlexNet.py",
        signs=(
            r"^network\._feature_blocks\.0\.0\.weight$",
            r"^network\._feature_blocks\.8\.5\.running_mean$",
            r"^network\._feature_blocks\.9\.0\.weight$",
        ),
        convention="rotnet",
        refusal="it holds RotNet's AlexNet ('_feature_blocks'), which is evaluated at a layer of the user's "
        f"choice.\n{_EXPORT.format('network')}",
    ),
    Project(
        name="cmc",
        title="CMC in PyContrast",
        method="",
        source="HobbitLong/PyContrast pycontrast/networks/build_backbone.py (CMCSingleHead)",
        signs=(
            r"^model\.encoder1\.conv1\.weight$",
            r"^model\.encoder2\.conv1\.weight$",
            r"^contrast\.memory_1$",
        ),
        convention="pycontrast",
        refusal="it holds two networks, 'encoder1' for the L and 'encoder2' for the ab channels of a Lab "
        "image, whose features belong together; the images here are RGB.",
    ),
)
