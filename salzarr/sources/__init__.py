"""Where maps come from: one file per format, behind the protocol in :mod:`salzarr.sources.source`."""

from __future__ import annotations

from salzarr.sources.npy import NPY

FORMATS = (NPY,)
"""All file formats, in the order in which they are preferred where a model has several."""
