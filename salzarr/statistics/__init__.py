"""From scores to insight: everything that is said of the models from their scores on many images.

=====================  ====================================================================================
``summary``            statistics per pair over images, tables, matrices
``ranking``            the images on which models disagree most and least, distributions
``structure``          clusters, a map of the models
``closeness``          which of two models is closer to a third: tests over units of images
``reliability``        how well one half of the images predicts the other
``group_differences``  what differs between two groups of images
``metric_pairs``       whether metrics order the pairs alike, and where they certainly do not
``baseline``           what remains of scores beyond chance
``limits``             noise ceilings; whether a metric tells images apart
``analysis``           all of it in one call
``findings``           what it says, in sentences
``columns``            what the columns of its tables mean
``rows``               how scores are read: which row is which pair, as many at a time as fit the memory
=====================  ====================================================================================

The arithmetic knows NumPy alone: :mod:`salzarr.descriptive`, :mod:`salzarr.bootstrap`, :mod:`salzarr.units`,
and here ``intervals``, ``flips``, ``mismatches``, ``two_groups``, ``discriminability``, ``ceilings``,
``conclusions``, ``mantel`` and ``wilcoxon``.
"""
