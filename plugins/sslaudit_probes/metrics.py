"""What this plugin measures: descriptions only, so that listing them imports no array library."""

from sslaudit_probes.change.specs import SPECS as CHANGE
from sslaudit_probes.classes.specs import SPECS as CLASSES
from sslaudit_probes.classifiers.specs import SPECS as CLASSIFIERS
from sslaudit_probes.shape.specs import SPECS as SHAPE

METRICS = (*CLASSIFIERS, *SHAPE, *CLASSES, *CHANGE)
