"""Novelty: what lies off the known classes is told from what lies among them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.features_world import CLASSES, TRAIN, VALID, WIDTH
from training.features import Features
from training.novelty import fit_novelty, novelty_of


def around(centre: np.ndarray, count: int) -> Features:
    """Pictures of one more class, as scattered as those of the known ones."""
    values = (centre + np.random.default_rng(9).normal(0, 0.6, (count, 1, WIDTH))).astype(np.float32)
    return Features((), values, np.zeros(count, dtype=np.int64), (), {}, {})


def test_pictures_of_no_known_class_lie_further_off_than_those_of_one() -> None:
    novelty = fit_novelty(TRAIN)

    known, unknown = novelty_of(novelty, VALID), novelty_of(novelty, around(4 * np.eye(WIDTH)[CLASSES], 30))

    assert (unknown > np.quantile(known, 0.95)).mean() > 0.9


def test_only_the_direction_counts_and_the_mean_of_a_class_is_at_0() -> None:
    means = np.stack([TRAIN.values[TRAIN.labels == label, 0].mean(axis=0) for label in range(CLASSES)])

    for values in (means, 7 * means):
        found = novelty_of(fit_novelty(TRAIN), replace(VALID, values=values[:, None]))
        assert found == pytest.approx(np.zeros(CLASSES), abs=1e-6)


def test_features_that_are_all_zero_still_give_a_number() -> None:
    nothing = replace(TRAIN, values=np.zeros_like(TRAIN.values))

    assert novelty_of(fit_novelty(nothing), nothing) == pytest.approx(np.ones(len(TRAIN.labels)))
