"""The handwritten digits that come with scikit-learn."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ganzoo.core.errors import DataError


def scikit_learn_digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images [1797, 1, 8, 8] and their labels. DataError if scikit-learn is not installed.

    Reads the file of `sklearn.datasets.load_digits`, as importing sklearn takes nearly as long as importing torch.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("The data set digits needs scikit-learn: pip install scikit-learn")
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if file.exists():
        table = _read(file)
    else:  # a later version may keep it elsewhere
        from sklearn.datasets import load_digits

        table = np.column_stack(load_digits(return_X_y=True))
    images = np.round(table[:, :-1] * (255 / 16)).astype(np.uint8)
    return images.reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64)


@functools.cache
def _read(file: Path) -> npt.NDArray[np.float64]:
    """The table in a file; read once, since that takes longer than anything else before a training."""
    return np.loadtxt(file, delimiter=",")
