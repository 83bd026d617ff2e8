"""Compare the saliency maps of many models: a labelled Zarr store, all-pairs metrics, matrices and a report.

>>> import numpy as np, salzarr
>>> rng = np.random.default_rng(0)
>>> maps = {name: rng.random((10, 32, 32)) for name in ("resnet", "vit", "convnext")}
>>> scores = salzarr.compare(maps, metrics="mse, pearson, ssim")  # lazy: nothing is computed yet
>>> summary = salzarr.summarize(scores)
>>> salzarr.to_matrix(summary, "ssim").shape
(3, 3)

What is imported here is listed in ``__init__.pyi`` and loaded when it is first used (SPEC 1).
"""

import lazy_loader

from salzarr._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
