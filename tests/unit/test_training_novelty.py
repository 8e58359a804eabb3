"""Novelty: what lies off the known classes is told from what lies among them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.unit.features_world import TRAIN, VALID, WIDTH
from training.features import Features
from training.novelty import fit_novelty, novelty_of


def around(centre: np.ndarray, count: int) -> Features:
    """Pictures of one more class, as scattered as those of the known ones."""
    values = (centre + np.random.default_rng(9).normal(0, 0.6, (count, 1, WIDTH))).astype(np.float32)
    return Features((), values, np.zeros(count, dtype=np.int64), (), {}, {})


def test_pictures_of_no_known_class_lie_further_off_than_those_of_one() -> None:
    novelty = fit_novelty(TRAIN)

    known, unknown = novelty_of(novelty, VALID), novelty_of(novelty, around(-4 * np.eye(WIDTH)[5], 30))

    assert (unknown > np.quantile(known, 0.95)).mean() > 0.9


def test_training_pictures_that_are_all_the_same_still_give_a_number() -> None:
    same = replace(TRAIN, values=np.ones_like(TRAIN.values))

    found = novelty_of(fit_novelty(same), VALID)

    assert np.isfinite(found).all()
