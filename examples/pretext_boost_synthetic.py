"""When downstream labels boost pretext learning and when they harm: a Gaussian world with known errors.

python examples/pretext_boost_synthetic.py
python examples/pretext_boost_synthetic.py --repeats 100 --output figure.svg

x has 24 features: two are y with noise, eight are zeta with noise, fourteen are noise. z is a linear map
of y and zeta. A linear f of 8 dimensions is learned by the loss of Teng et al., AISTATS 2022, from pretext
samples without end and n0 labelled ones; then y is predicted from f by least squares on 40 other
labels. The world and the numbers are our own; those of the paper's figure are not at hand.

What it teaches. Up to n0 = d_f the labels are fitted whatever they are, and f loses them. For the smallest
lambda, refining is level with pretext learning alone near n0 = 400, 50 d_f, since f is chosen among all
maps of 24 features; it takes about 100 d_f to be of use. The larger lambdas harm for every n0.
"""

import argparse
import math
from pathlib import Path

import numpy as np

from sslaudit.train.boost.world import oracle_error, plain_error, refined_error, synthetic_world

LAMBDAS = (0.02, 0.1, 0.5)
SIZES = (4, 8, 16, 24, 40, 80, 200, 1000, None)  # None: without end
DIM, LABELS = 8, 40


def errors(repeats: int, seed: int) -> np.ndarray:
    """Expected downstream errors (lambdas, sizes, repeats), each repeat with its own world and samples."""
    return np.array(
        [
            [
                [
                    refined_error(synthetic_world(rng), n0, lam=lam, dim=DIM, n2=LABELS, rng=rng)
                    for rng in np.random.default_rng(seed).spawn(repeats)
                ]
                for n0 in SIZES
            ]
            for lam in LAMBDAS
        ]
    )


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 480, 70, 730, 50, 410
LOWEST, HIGHEST = 0.3, 2.6
COLOURS = ("#0072b2", "#d55e00", "#009e73")


def across(n0: int | None) -> float:
    """The place of n0 on the logarithmic axis; n0 without end stands behind a gap."""
    return RIGHT - 20 if n0 is None else LEFT + 20 + 230 * math.log10(n0 / SIZES[0])


def down(error: float) -> float:
    """The place of an error on the linear axis."""
    return BOTTOM - (BOTTOM - TOP) * (error - LOWEST) / (HIGHEST - LOWEST)


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'


def text(x: float, y: float, words: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{words}</text>'


def figure(mean: np.ndarray, error: np.ndarray, plain: float, oracle: float) -> str:
    """The curves of (lambdas, sizes) with two standard errors, as SVG."""
    parts = [text(LEFT, 28, "Refining with n0 labels: harmful when they are few", 'font-size="17"')]
    for tick in np.arange(0.5, HIGHEST, 0.5):
        parts += [line(LEFT, down(tick), RIGHT, down(tick), 'stroke="#e4e4e4"')]
        parts += [text(LEFT - 8, down(tick) + 4, f"{tick:.1f}", 'text-anchor="end"')]
    for n0 in (4, 8, 24, 80, 200, 1000, None):
        parts += [line(across(n0), BOTTOM, across(n0), BOTTOM + 5, 'stroke="#333"')]
        name = "&#8734;" if n0 is None else str(n0)
        parts += [text(across(n0), BOTTOM + 20, name, 'text-anchor="middle"')]
    for n0, name in ((DIM, "d_f"), (100 * DIM, "100 d_f")):
        parts += [line(across(n0), TOP, across(n0), BOTTOM, 'stroke="#999" stroke-dasharray="2 4"')]
        parts += [text(across(n0), TOP - 5, name, 'text-anchor="middle" fill="#666"')]
    for value, words, shift in ((plain, "pretext learning alone", -6), (oracle, "oracle f", 15)):
        parts += [line(LEFT, down(value), RIGHT, down(value), 'stroke="#333" stroke-dasharray="7 4"')]
        parts += [text(LEFT + 8, down(value) + shift, f"{words}, {value:.3f}")]
    for i, (lam, colour) in enumerate(zip(LAMBDAS, COLOURS, strict=True)):
        places = [(across(n0), down(value)) for n0, value in zip(SIZES, mean[i], strict=True)]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places[:-1])
        parts += [f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>']
        parts += [
            line(*places[-2], *places[-1], f'stroke="{colour}" stroke-width="2" stroke-dasharray="2 5"')
        ]
        for (x, y), value, spread in zip(places, mean[i], error[i], strict=True):
            ends = down(value - 2 * spread), down(value + 2 * spread)
            parts += [line(x, ends[0], x, ends[1], f'stroke="{colour}"')]
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>']
        height = TOP + 22 + 20 * i
        parts += [
            line(RIGHT - 310, height - 4, RIGHT - 280, height - 4, f'stroke="{colour}" stroke-width="2"')
        ]
        parts += [text(RIGHT - 272, height, f"lambda = {lam:g}")]
    parts += [
        line(LEFT, BOTTOM, RIGHT, BOTTOM, 'stroke="#333"'),
        line(LEFT, TOP, LEFT, BOTTOM, 'stroke="#333"'),
    ]
    parts += [text(RIGHT - 272, TOP + 82, "bars: two standard errors", 'fill="#666"')]
    middle = (TOP + BOTTOM) / 2
    turned = f'text-anchor="middle" transform="rotate(-90 20 {middle:.0f})"'
    parts += [text(20, middle, f"downstream squared error, {LABELS} labels", turned)]
    below = f"n0, labels that f is refined with (logarithmic); d_f = {DIM}"
    parts += [text((LEFT + RIGHT) / 2, BOTTOM + 45, below, 'text-anchor="middle"')]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
    font = 'font-family="sans-serif" font-size="13" fill="#222">'
    return "\n".join([head + font, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>\n"])


def size(n0: int | None) -> str:
    return "inf" if n0 is None else str(n0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Downstream error against n0, as a table and a figure.")
    parser.add_argument("--repeats", type=int, default=8, help="worlds and samples for each number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("pretext_boost_synthetic.svg"))
    args = parser.parse_args()
    if args.repeats < 2:
        parser.error(f"--repeats {args.repeats}: a standard error takes 2 or more.")
    values = errors(args.repeats, args.seed)
    mean, error = values.mean(axis=2), values.std(axis=2, ddof=1) / math.sqrt(args.repeats)
    world = synthetic_world(np.random.default_rng(args.seed))
    plain, oracle = plain_error(world, n2=LABELS), oracle_error(world, n2=LABELS)

    print(f"expected squared error on {LABELS} downstream labels; d_f = {DIM}, Var y = 2\n")
    print("n0            " + "".join(f"{size(n0):>7}" for n0 in SIZES))
    for lam, row in zip(LAMBDAS, mean, strict=True):
        print(f"lambda = {lam:<5g}" + "".join(f"{value:>7.3f}" for value in row))
    print(f"\npretext learning alone {plain:.3f}, oracle f {oracle:.3f}")
    print(f"{args.repeats} repeats, standard errors up to {error.max():.3f}\n")
    for lam, row in zip(LAMBDAS, mean, strict=True):
        better = [size(n0) for n0, value in zip(SIZES, row, strict=True) if value < plain]
        where = f"at n0 = {', '.join(better)}" if better else "at none of these n0"
        print(f"lambda = {lam:g}: refining helps {where}")
    args.output.write_text(figure(mean, error, plain, oracle), encoding="utf-8")
    print(f"wrote {args.output}")


if __name__ == "__main__":
    main()
