"""Every error a user can cause or meet.

The tree::

    SslauditError
    ├── RefError            the text of an encoder, data set, metric or recipe does not parse
    ├── UsageError          a value on the command line or in a call cannot be used
    ├── PluginError         a plugin failed, or two plugins offer one name
    ├── EncoderError        an encoder cannot be had
    │   ├── EncoderNotFound     no such file or model
    │   ├── UnreadableFile      the file is not a checkpoint
    │   ├── UnsafeFile          opening the file would run code
    │   └── WeightsMismatch     the weights do not fit the architecture
    ├── DataError           a data set cannot be had
    │   ├── DataNotFound        no such folder or file
    │   └── EmptyData           nothing to read in it
    ├── MetricError         a metric broke its contract
    ├── StoreError          features cannot be written or read
    ├── OutputError         the result cannot be written
    ├── CardError           a card cannot be read
    └── TrainingError       training cannot start or go on

Each carries the message a user sees: what happened, to which thing as the user wrote it, and
what to do. The command line prints the message alone and exits with ``exit_code``.
"""


class SslauditError(Exception):
    """Base of every error raised on purpose."""

    exit_code = 1


class RefError(SslauditError):
    """A reference, metric term or recipe does not parse or names nothing."""

    exit_code = 2


class UsageError(SslauditError):
    """A value given by the user cannot be used."""

    exit_code = 2


class PluginError(SslauditError):
    """A plugin failed to load or to list, or two plugins offer the same name."""


class EncoderError(SslauditError):
    """An encoder cannot be had."""


class EncoderNotFound(EncoderError):
    """No such checkpoint file or model."""


class UnreadableFile(EncoderError):
    """The file is there and is not a checkpoint that can be read."""


class UnsafeFile(EncoderError):
    """Opening the file would run code from it."""


class WeightsMismatch(EncoderError):
    """The weights in the file do not fit the architecture."""


class DataError(SslauditError):
    """A data set cannot be had."""


class DataNotFound(DataError):
    """No such folder or file."""


class EmptyData(DataError):
    """The data set holds no image that can be read."""


class MetricError(SslauditError):
    """A metric broke its contract, for instance by reading what it did not declare."""


class StoreError(SslauditError):
    """Features cannot be written to or read from the cache."""


class OutputError(SslauditError):
    """The result cannot be written where the user asked."""


class CardError(SslauditError):
    """A card file cannot be read as a report card."""


class TrainingError(SslauditError):
    """Training cannot start, or cannot go on."""
