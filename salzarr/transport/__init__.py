"""Exact optimal transport between maps on a pixel grid: NumPy and numba only."""
