"""The maps store: made, filled, read and checked.

==================  ======================================================================
``layout``          how a store lies on disk, and the order in which it changes
``chunks``          one chunk of maps: bytes and checksums
``records``         what is known of each map, and the journal of what is finished
``joining``         from the sources of all models to images with one id and one size
``chunk_jobs``      the job of one chunk: read its maps, write them, note their facts
``converting``      ``convert``: from files or arrays to a store; resume and growth
``conversion``      which maps a store lacks, and how they are written
``convert_report``  the report of a conversion, and what a store remembers of it
``metadata``        what seals a finished store, and one guard for what is damaged
``power``           what survives a power cut
``writer``          from the loop that makes the maps to a store
``opening``         open, read a block, facts, info
``stored_source``   a store as the source of another
``verification``    is it all there, and what it should be
==================  ======================================================================
"""

from salzarr.errors import storage_errors
from salzarr.store.convert_report import ConvertReport
from salzarr.store.converting import convert
from salzarr.store.opening import facts, info, is_complete, open_dataset, open_maps, read_block
from salzarr.store.verification import Problem, verify
from salzarr.store.writer import Writer, create

__all__ = [
    "ConvertReport",
    "Problem",
    "Writer",
    "convert",
    "create",
    "facts",
    "info",
    "is_complete",
    "open_dataset",
    "open_maps",
    "read_block",
    "storage_errors",
    "verify",
]
