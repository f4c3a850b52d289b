"""What the host itself offers, through the same hooks as any plugin: the embedded data, folders and
other sources of images, the named recipes, the reference trainers, and the untrained control."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from sslaudit.hookspecs import hookimpl
from sslaudit.refs import DataRef, EncoderRef
from sslaudit.specs import (
    LARGEST_SEED,
    DatasetScheme,
    EncoderScheme,
    MethodSpec,
    Option,
    RecipeSpec,
)

if TYPE_CHECKING:
    from sslaudit.data import Dataset
    from sslaudit.encoder import Encoder


_LEVELS = Option(
    name="levels",
    type=int,
    default=None,
    minimum=2,
    maximum=2**32,
    help="the values 0 to levels - 1 are black to white, as 4096 for 12 bits in files of 16",
)


def _option(name: str, text: str, *choices: str) -> Option:
    return Option(name=name, type=str, default=None, help=text, choices=choices)


_LABEL = _option("label", "the column of labels; none to go without")
_IMAGE = _option("image", "which images, when there are several")


@hookimpl
def sslaudit_datasets() -> Iterable[DatasetScheme]:
    """The embedded digits, and images in folders, lists, arrays, shards and libraries."""
    return [
        DatasetScheme(
            scheme="digits",
            summary="1,797 handwritten digits, 8 x 8 gray, embedded (scikit-learn, BSD)",
            open=_opener("digits", "open_digits"),
            options=(
                Option(
                    name="ink",
                    type=str,
                    default="gray",
                    choices=("gray", "random"),
                    help="random: each in a colour of its own, which says nothing of its class",
                ),
            ),
            example="digits",
        ),
        DatasetScheme(
            scheme="folder",
            summary="a folder of images: a folder for each class, train/ and test/ as splits, or no classes",
            open=_opener("folder", "open_folder"),
            options=(_LEVELS,),
            example="photos/",
        ),
        DatasetScheme(
            scheme="csv",
            summary="a list of image files: columns path and, if any, label, split and further facts",
            open=_opener("table", "open_table"),
            options=(
                _option("path", "the column of paths"),
                _LABEL,
                _option("split", "the column of train, val, test; none to go without"),
                _option("labels", "single: each cell is one label, whatever stands in it", "single"),
                _option("sep", "what stands between cells", "comma", "semicolon", "tab", "pipe"),
                _option("root", "the folder that paths start from; the csv's own when left out"),
                _LEVELS,
            ),
            example="csv:labels.csv",
        ),
        DatasetScheme(
            scheme="arrays",
            summary="a NumPy file: images x and labels y, also by split as in x_train and test_labels",
            open=_opener("arrays", "open_arrays"),
            options=(
                _option("images", "the array of images"),
                _option("labels", "the array of labels"),
                _option("layout", "the order of axes", "nhwc", "nchw", "nhw", "flat-hwc", "flat-chw"),
                _LEVELS,
            ),
            example="arrays:images.npz",
        ),
        DatasetScheme(
            scheme="torchvision",
            summary="a labelled data set of torchvision by name, fetched into the cache when it is not here",
            open=_opener("torchvision_sets", "open_torchvision"),
            options=(
                _option("root", "the folder of its files"),
                _option("train", "the split to fit on"),
                _option("test", "the split to report on"),
            ),
            example="torchvision:CIFAR10",
        ),
        DatasetScheme(
            scheme="hf-datasets",
            summary="a data set of Hugging Face datasets: a name on the hub, or a folder or parquet here",
            open=_opener("hf_sets", "open_hf"),
            options=(
                _IMAGE,
                _LABEL,
                _option("config", "the configuration of a data set that has several"),
                _option("revision", "the commit on the hub"),
                _option("train", "the split to fit on"),
                _option("test", "the split to report on"),
                _LEVELS,
            ),
            example="hf-datasets:ORG/NAME",
        ),
        DatasetScheme(
            scheme="webdataset",
            summary="tar shards on this machine: samples of an image and its .cls or .json",
            open=_opener("tar_shards", "open_shards"),
            options=(
                _IMAGE,
                _option("label", "cls, txt, a key of the .json, or none to go without"),
                _option("test", "the shards to report on"),
                _LEVELS,
            ),
            example="webdataset:shards-{000..003}.tar",
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
    from sslaudit.train.specs import SPECS

    return SPECS


def _opener(module: str, function: str) -> Callable[[DataRef], "Dataset"]:
    """``function`` of a module below ``sslaudit.data``, imported when it is called."""

    def open_(ref: DataRef) -> "Dataset":
        from importlib import import_module

        data: Dataset = getattr(import_module(f"sslaudit.data.{module}"), function)(ref)
        return data

    return open_


def _load_untrained(ref: EncoderRef, device: str) -> "Encoder":
    from dataclasses import replace

    from sslaudit.loading import load_untrained

    seed = int(ref.option("seed", "0") or 0)
    encoder = load_untrained(ref.locator, seed=seed, device=device)
    return replace(encoder, ref=str(ref), facts={**encoder.facts, "weights": f"untrained, seed {seed}"})
