"""The classes in the embedding: how tight, how far apart, as descriptions."""

from sslaudit.specs import MetricSpec

SPECS: tuple[MetricSpec, ...] = ()
