"""Imports and reads, before the fork, what trainings in forked processes need."""

from __future__ import annotations

import PIL.Image

from ganzoo.data.digits import scikit_learn_digits

PIL.Image.preinit()
scikit_learn_digits()
