"""Scores: which maps are compared, how, and where the scores are kept.

==================  ======================================================================
``comparison``      ``compare`` and ``plan_comparison``: from a request to scores
``request``         what is asked for, checked before anything is computed
``designs``         which maps are scored against which
``scoring``         score the maps of one job
``lazy``            scores as a Dask graph
``durable``         scores in a store, block by block
``jobs``            scores in memory, and the range of values
``budget``          blocks and tiles that fit the memory
``calibration``     how long a metric takes
``assembly``        scores with their names and labels
``label_store``     how labels are stored beside scores
``score_store``     the scores store: created, written, finished
``results_folder``  where the scores of a results folder are; ``open_scores``
``growth``          scores that exist already: resumed, grown or refused
``replacement``     scores put in the place of earlier ones
``mismatched``      the chance baseline
``derangements``    how its partners are drawn
``labels``          what is known of images, and which images are chosen by it
``leave_one_out``   the consensus of the other models
==================  ======================================================================
"""

from salzarr.scores.comparison import compare, plan_comparison
from salzarr.scores.leave_one_out import agreement, consensus
from salzarr.scores.mismatched import chance
from salzarr.scores.results_folder import open_scores

__all__ = ["agreement", "chance", "compare", "consensus", "open_scores", "plan_comparison"]
