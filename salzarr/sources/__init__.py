"""Where maps come from: one file per format, behind the protocol in :mod:`salzarr.sources.source`."""

from __future__ import annotations

from salzarr.sources.hdf5 import HDF5
from salzarr.sources.images import PICTURE, TIFF
from salzarr.sources.labelled import NETCDF, ZARR
from salzarr.sources.npy import NPY
from salzarr.sources.npz import NPZ

FORMATS = (NPY, NPZ, HDF5, NETCDF, ZARR, TIFF, PICTURE)
"""All file formats, in the order in which they are preferred where a model has several."""
