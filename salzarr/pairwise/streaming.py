"""Scores that are reduced as they come."""

from __future__ import annotations


def stream(request, *, memory=None, progress=None):
    raise NotImplementedError
