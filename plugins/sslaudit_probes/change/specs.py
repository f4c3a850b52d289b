"""What a change of the image does to the embedding and to the probes, as descriptions."""

from sslaudit.specs import MetricSpec

SPECS: tuple[MetricSpec, ...] = ()
