"""From scores to insight: everything that is said of the models from their scores on many images.

====================  =====================================================================================
``summary``           statistics per pair over images, tables, matrices
``groups``            the same per group of images
``ranking``           the images on which models disagree most and least, distributions
``structure``         clusters, a map of the models, agreement between metrics
``inference``         which of two models is closer to a third, how far the images suffice to say so
``baseline``          what remains of scores beyond chance
``analysis``          all of it in one call
``rows``              how scores are read: which row is which pair, as many at a time as fit the memory
====================  =====================================================================================

The arithmetic is in :mod:`salzarr.descriptive` and :mod:`salzarr.bootstrap`, which know NumPy alone.
"""
