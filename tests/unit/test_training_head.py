"""The head: what it minimises, which epoch it keeps, and that the same seed gives the same bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.features_world import CLASSES, TRAIN, VALID, WIDTH
from training.distributed import Group
from training.errors import TrainingError
from training.features import Features
from training.head import Fit, fit, starting_head
from training.loop import Epoch
from training.parameters import Recipe

SLOW = Recipe(epochs=4, batch_size=8, learning_rate=1e-9, weight_decay=0, label_smoothing=0)


def trained(parameters: Recipe, train: Features = TRAIN, valid: Features = VALID) -> Fit:
    start = starting_head(train, CLASSES, None)
    return fit(train, valid, start, parameters, Group(), on_epoch=lambda _: None)


def test_every_epoch_is_run_and_told() -> None:
    told: list[Epoch] = []

    fit(TRAIN, VALID, starting_head(TRAIN, CLASSES, None), SLOW, Group(), on_epoch=told.append)

    assert [epoch.number for epoch in told] == [1, 2, 3, 4]


@pytest.mark.parametrize("batch_size", [1, 5, 64, 10_000])
def test_losses_are_means_per_picture_whatever_the_batch_size(batch_size: int) -> None:
    # given a head that says nothing (and hardly learns): the cross-entropy of a guess among three
    last = trained(replace(SLOW, batch_size=batch_size)).history[-1]

    assert last.train_loss == pytest.approx(np.log(3), abs=1e-4)
    assert last.validation_loss == pytest.approx(np.log(3), abs=1e-4)


def test_the_objective_is_measured_on_validation_not_on_training_pictures() -> None:
    fast = replace(SLOW, learning_rate=0.1, epochs=10)
    wrong = replace(VALID, labels=(VALID.labels + 1) % CLASSES)

    right_way, wrong_way = trained(fast), trained(fast, valid=wrong)

    assert right_way.best.validation_accuracy > 0.6
    assert wrong_way.history[-1].validation_accuracy < 0.4
    assert [epoch.train_loss for epoch in right_way.history] == [epoch.train_loss for epoch in wrong_way.history]


def test_the_best_epoch_is_kept_by_accuracy_then_loss_then_the_earlier() -> None:
    middling = Epoch(2, 1.0, 0.5, 0.9)

    assert middling.better_than(None)
    assert middling.better_than(Epoch(1, 1.0, 0.1, 0.8))
    assert middling.better_than(Epoch(1, 1.0, 0.6, 0.9))
    assert not middling.better_than(Epoch(1, 1.0, 0.5, 0.9))


def test_the_weights_are_those_of_the_best_epoch() -> None:
    found = trained(replace(SLOW, learning_rate=0.5, epochs=12))

    with torch.no_grad():
        guessed = found.head(torch.from_numpy(VALID.values[:, 0])).argmax(dim=1).numpy()
    assert float((guessed == VALID.labels).mean()) == pytest.approx(found.best.validation_accuracy)
    assert all(not epoch.better_than(found.best) for epoch in found.history)


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    usual = replace(SLOW, learning_rate=0.05)

    one, same, other = trained(usual), trained(usual), trained(replace(usual, seed=2))

    assert torch.equal(one.head.weight, same.head.weight)
    assert torch.equal(one.head.bias, same.head.bias)
    assert not torch.equal(one.head.weight, other.head.weight)


def test_a_loss_that_is_no_number_ends_the_job() -> None:
    broken = replace(TRAIN, values=TRAIN.values * np.float32(np.inf))

    with pytest.raises(TrainingError, match="smaller learning_rate"):
        trained(SLOW, train=broken)


def test_a_head_starts_from_the_pretraining_classes_its_pictures_look_like() -> None:
    # given a classifier that knows the three corners, in another order and among others
    classifier = nn.Linear(WIDTH, 5)
    with torch.no_grad():
        classifier.weight.zero_()
        classifier.bias.zero_()
        for pretrained, corner in ((4, 0), (1, 1), (2, 2)):
            classifier.weight[pretrained, corner] = 20.0

    start = starting_head(TRAIN, CLASSES, classifier)

    with torch.no_grad():
        guessed = start(torch.from_numpy(VALID.values[:, 0])).argmax(dim=1).numpy()
    assert float((guessed == VALID.labels).mean()) > 0.7
