"""Audit a module of yours from Python, beside what raw pixels and fresh weights reach.

python examples/audit_a_module.py
"""

from torch import nn

import sslaudit

module = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten())
preprocess = sslaudit.Preprocess(size=(8, 8), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), source="given")

card = sslaudit.evaluate(
    module,
    "digits",
    metrics="linear-probe,knn,few-shot,nearest-centre,alignment,spectrum,neural-collapse",
    preprocess=preprocess,
    recipe="crop(scale=0.5)",
    views=4,
)

for metric in card.metrics:
    if metric.minor:  # the rest is on the HTML page
        continue
    if metric.interval is None:
        print(f"{metric.summary:<26} {metric.reason or metric.note}")
    else:
        low, high = metric.interval.low, metric.interval.high
        print(f"{metric.summary:<26} {metric.value:8.3f}  [{low:.3f}, {high:.3f}]")
for anchor in card.anchors:
    reading = anchor.reading("linear-probe")
    low, high = reading.difference_interval.low, reading.difference_interval.high
    print(
        f"linear probe on {anchor.name}: {reading.value:.3f}, the module minus it {low:+.3f} to {high:+.3f}"
    )
