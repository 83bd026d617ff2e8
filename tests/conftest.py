import logging
import warnings

import pytest


@pytest.fixture(autouse=True)
def said_as_before():
    """Undo what a command that ran in this process did to the logs and warnings of all."""
    package = logging.getLogger("salzarr")
    handlers, level, propagate, show = (
        package.handlers[:],
        package.level,
        package.propagate,
        warnings.showwarning,
    )
    yield
    package.handlers[:], package.propagate, warnings.showwarning = handlers, propagate, show
    package.setLevel(level)
