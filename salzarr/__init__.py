"""Compare the saliency maps of many models."""

from salzarr._version import __version__

__all__ = ["__version__"]
