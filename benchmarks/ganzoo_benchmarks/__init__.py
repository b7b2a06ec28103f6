"""Races of the native kernels against other implementations of the same networks.

`ganzoo bench` prints the results of `cases.race`, `pytest --benchmark-only` records them.
"""
