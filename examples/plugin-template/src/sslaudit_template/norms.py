"""The metric: mean and spread of the embedding norm."""

import numpy as np

from sslaudit import Estimate, Histogram, Interval, MetricInputs


def compute(inputs: MetricInputs) -> dict[str, Estimate]:
    """Two estimates by name, each with its interval or the reason why it has none."""
    norm = np.linalg.norm(inputs.embeddings.astype(np.float64), axis=1)
    half = 1.96 * norm.std(ddof=1) / np.sqrt(len(norm))
    counts, edges = np.histogram(norm, bins=inputs.options["bins"])
    return {
        "mean": Estimate(
            value=norm.mean(),
            interval=Interval(
                low=norm.mean() - half, high=norm.mean() + half, method="normal approximation over images"
            ),
            note="Mean l2 norm of the embeddings.",
            figures=(
                Histogram(
                    title="embedding norms",
                    x_label="l2 norm",
                    edges=edges,
                    counts=counts,
                    note="One narrow peak: the encoder embeds all images at nearly one length.",
                ),
            ),
            samples={"norm": norm.tolist()},
        ),
        "spread": Estimate(
            value=norm.std(ddof=1),
            no_interval="a spread is shown for orientation only",
            claim="measured",
            note="Standard deviation of the norm over images.",
        ),
    }
