"""Where maps come from: one file per format, behind the protocol in :mod:`salzarr.sources.source`.

==================  ======================================================================
``source``          what a source is; the one source of maps in files
``reading``         how a source is to be read, as a user says it
``tree``            the files of a folder, by format
``contents``        which arrays of a file are maps
``grouping``        which files of a model's folder belong together
``discover``        which files are whose maps, from how the folders lie
``ambiguity``       what is said of a tree that can be read in two ways
``pattern``         the same, from a pattern of the paths
``names, tables``   names of images and models, and the tables that hold them
``image_labels``    tables of what is known of images
``expression``      the expressions of ``--where``
``entry``           one model as it was found
``memory``          arrays in memory
``shaping``         from an array to a map
==================  ======================================================================
"""

from __future__ import annotations

from salzarr.sources.hdf5 import HDF5
from salzarr.sources.images import PICTURE, TIFF
from salzarr.sources.labelled import NETCDF, ZARR
from salzarr.sources.matlab import MATLAB
from salzarr.sources.npy import NPY
from salzarr.sources.npz import NPZ
from salzarr.sources.tensors import SAFETENSORS, TORCH

FORMATS = (NPY, NPZ, HDF5, NETCDF, ZARR, TORCH, SAFETENSORS, MATLAB, TIFF, PICTURE)
"""All file formats, in the order in which they are preferred where a model has several."""
