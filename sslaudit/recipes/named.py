"""The recipes that come with sslaudit: those of the methods' papers, and the ablation of the slides."""

from collections.abc import Iterator

from sslaudit.refs import Term, split_terms
from sslaudit.specs import RecipeSpec


def _terms(text: str) -> tuple[Term, ...]:
    return tuple(split_terms(text, "+"))


def _pair(name: str, scale: str, summary: str, source: str) -> RecipeSpec:
    """One view is always blurred, the other seldom, and then solarized at times."""
    color = "color(brightness=0.4,contrast=0.4,saturation=0.2,hue=0.1)"
    common = f"crop({scale}interpolation=bicubic)+flip+{color}+gray"
    return RecipeSpec(
        name=name,
        version=1,
        summary=summary,
        terms=_terms(f"{common}+blur(p=1.0)"),
        second=_terms(f"{common}+blur(p=0.1)+solarize"),
        source=source,
    )


_ABLATION = (
    ("a", "crop", "the ablation's crop alone"),
    ("ab", "crop+blur", "the ablation's crop and blur"),
    ("abc", "crop+blur+gray", "the ablation's crop, blur and gray"),
    ("abcd", "crop+blur+gray+color", "the ablation's crop, blur, gray and colour"),
    ("abcde", "crop+blur+gray+color+flip", "the ablation's crop, blur, gray, colour and flip"),
)


def _slides() -> Iterator[RecipeSpec]:
    for letters, text, summary in _ABLATION:
        yield RecipeSpec(
            name=f"slides-{letters}",
            version=1,
            summary=summary,
            terms=_terms(text),
            source="Huang et al., ICLR 2023, Table 1",
        )
    for strength, words in (("1.0", "1"), ("0.5", "1/2"), ("0.25", "1/4"), ("0.125", "1/8")):
        yield RecipeSpec(
            name=f"slides-color-{float(strength):g}",
            version=1,
            summary=f"crop, and always colour of strength {words}",
            terms=_terms(f"crop+color(strength={strength},p=1.0)"),
            source="Huang et al., ICLR 2023, Table 2",
        )


# Where a method's code blurs by Pillow's three box filters, the blur here is the Gaussian they stand for.
BUILTIN_RECIPES: tuple[RecipeSpec, ...] = (
    RecipeSpec(name="none", version=1, summary="no augmentation: the identity view only", terms=()),
    RecipeSpec(
        name="simclr",
        version=1,
        summary="crop, flip, strong colour jitter, gray, blur",
        terms=_terms("crop+flip+color(strength=1.0)+gray+blur"),
        source="Chen et al., ICML 2020, Appendix A",
    ),
    RecipeSpec(
        name="moco-v2",
        version=1,
        summary="crop of at least a fifth, flip, colour jitter, gray, blur",
        terms=_terms(
            "crop(scale=0.2)+flip+color(brightness=0.4,contrast=0.4,saturation=0.4,hue=0.1)+gray+blur"
        ),
        source="Chen et al., arXiv:2003.04297, and its code (main_moco.py)",
    ),
    _pair(
        "byol",
        "",
        "two distributions in turn: blurred; seldom blurred, solarized at times",
        "Grill et al., NeurIPS 2020, Appendix B",
    ),
    _pair(
        "barlow-twins",
        "",
        "two distributions in turn, as byol",
        "Zbontar et al., ICML 2021, Section 2.2, and its code (main.py)",
    ),
    _pair(
        "dino-global",
        "scale=0.4,",
        "two distributions in turn, as byol, from crops of at least two fifths",
        "Caron et al., ICCV 2021, and its code (main_dino.py, global crops)",
    ),
    *_slides(),
)
