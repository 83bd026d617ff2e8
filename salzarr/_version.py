"""The version, read by the build backend and by every store that salzarr writes."""

__version__ = "0.1.0"
