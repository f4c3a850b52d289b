"""What the host itself offers, through the same hooks as any plugin: the embedded data, folders,
the named recipes, the reference trainers, and the untrained control of any encoder."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sslaudit.hookspecs import hookimpl
from sslaudit.refs import DataRef, EncoderRef
from sslaudit.specs import LARGEST_SEED, DatasetScheme, EncoderScheme, MethodSpec, Option, RecipeSpec

if TYPE_CHECKING:
    from torch import nn

    from sslaudit.data import Dataset
    from sslaudit.encoder import Encoder


@hookimpl
def sslaudit_datasets() -> Iterable[DatasetScheme]:
    """The embedded digits and folders of images."""
    return [
        DatasetScheme(
            scheme="digits",
            summary="1,797 handwritten digits, 8 x 8 gray, embedded (scikit-learn, BSD)",
            open=_open_digits,
            example="digits",
        ),
        DatasetScheme(
            scheme="folder",
            summary="a folder of images: a folder for each class, train/ and test/ as splits, or no classes",
            open=_open_folder,
            example="photos/",
        ),
    ]


@hookimpl
def sslaudit_encoders() -> Iterable[EncoderScheme]:
    """The untrained control."""
    return [
        EncoderScheme(
            scheme="untrained",
            summary="the architecture of another reference with fresh weights: the control of every score",
            load=_load_untrained,
            options=(
                Option(
                    name="seed",
                    type=int,
                    default=0,
                    minimum=0,
                    maximum=LARGEST_SEED,
                    help="seed of the initial weights",
                ),
            ),
            example="untrained:runs/simclr.pt",
        )
    ]


@hookimpl
def sslaudit_recipes() -> Iterable[RecipeSpec]:
    """The named recipes."""
    from sslaudit.recipes import BUILTIN_RECIPES

    return BUILTIN_RECIPES


@hookimpl
def sslaudit_methods() -> Iterable[MethodSpec]:
    """The reference trainers."""
    return [
        MethodSpec(
            name="simclr",
            summary="contrast two views of an image with all other images of the batch (NT-Xent)",
            source="Chen et al., ICML 2020, Eq. 1",
            build=_build_simclr,
            options=(Option(name="temperature", type=float, default=0.5, help="NT-Xent temperature"),),
        ),
        MethodSpec(
            name="barlow-twins",
            summary="make the cross-correlation of two views the identity matrix",
            source="Zbontar et al., ICML 2021, Eq. 1",
            build=_build_barlow_twins,
            options=(Option(name="lambd", type=float, default=5e-3, help="weight of the off-diagonal"),),
        ),
    ]


def _open_digits(ref: DataRef) -> "Dataset":
    from sslaudit.data.digits import open_digits

    return open_digits(ref)


def _open_folder(ref: DataRef) -> "Dataset":
    from sslaudit.data.folder import open_folder

    return open_folder(ref)


def _load_untrained(ref: EncoderRef, device: str) -> "Encoder":
    from dataclasses import replace

    from sslaudit.loading import load_untrained

    seed = int(ref.option("seed", "0") or 0)
    encoder = load_untrained(ref.locator, seed=seed, device=device)
    return replace(encoder, ref=str(ref), facts={**encoder.facts, "weights": f"untrained, seed {seed}"})


def _build_simclr(backbone: "nn.Module", dim: int, **options: Any) -> object:
    from sslaudit.train.methods import simclr

    return simclr(backbone, dim, **options)


def _build_barlow_twins(backbone: "nn.Module", dim: int, **options: Any) -> object:
    from sslaudit.train.methods import barlow_twins

    return barlow_twins(backbone, dim, **options)
