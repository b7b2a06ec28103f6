"""The native kernels against their peers: the same networks, the same memory, the same minutes.

`ganzoo bench` prints what `cases.race` measures; `pytest --benchmark-only` records it.
"""
