"""Audit a module of yours from Python: raw pixels of the embedded digits, as the floor of every encoder.

python examples/audit_a_module.py
"""

from torch import nn

import sslaudit

pixels = nn.Sequential(nn.AvgPool2d(1), nn.Flatten())
preprocess = sslaudit.Preprocess(size=(8, 8), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), source="given")

card = sslaudit.evaluate(pixels, "digits", preprocess=preprocess, recipe="crop(scale=0.5)", views=4)

for metric in card.metrics:
    if metric.interval is None:
        print(f"{metric.name:<24} {metric.reason or metric.note}")
    else:
        low, high = metric.interval.low, metric.interval.high
        print(f"{metric.name:<24} {metric.value:.3f}  [{low:.3f}, {high:.3f}]  {metric.summary}")
