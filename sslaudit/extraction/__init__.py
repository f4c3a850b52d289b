"""From encoder and data to features: decode once, V views, one pass of the encoder, parts on disk."""

from sslaudit.extraction.altered import AlteredImages
from sslaudit.extraction.devices import pick_batch_size, pick_device, pick_workers
from sslaudit.extraction.embedder import Embedder, embed_batch
from sslaudit.extraction.how import Alteration, Extraction, OnProgress, Precision, Progress, ViewsMode
from sslaudit.extraction.pipeline import extract, features_of, parts_of
from sslaudit.extraction.pixels import PixelViews
from sslaudit.extraction.precision import Choice, choose_precision, lower_precision
from sslaudit.extraction.together import gather, together

__all__ = [
    "Alteration",
    "AlteredImages",
    "Choice",
    "Embedder",
    "Extraction",
    "OnProgress",
    "PixelViews",
    "Precision",
    "Progress",
    "ViewsMode",
    "choose_precision",
    "embed_batch",
    "extract",
    "features_of",
    "gather",
    "lower_precision",
    "parts_of",
    "pick_batch_size",
    "pick_device",
    "pick_workers",
    "together",
]
