"""The shape of the embedding, without labels, as descriptions."""

from sslaudit.specs import MetricSpec

SPECS: tuple[MetricSpec, ...] = ()
