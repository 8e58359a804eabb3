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
from training.head import Fit, HiddenHead, class_weights, fit, judged, starting_head
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


def test_the_best_epoch_is_kept_by_loss_then_the_earlier() -> None:
    middling = Epoch(2, 1.0, 0.5, 0.9)

    assert middling.better_than(None)
    assert middling.better_than(Epoch(1, 1.0, 0.6, 0.95))
    assert not middling.better_than(Epoch(1, 1.0, 0.5, 0.9))


def test_a_head_that_tells_as_much_apart_is_as_good_however_sure_of_itself() -> None:
    logits, labels = torch.randn(60, CLASSES, generator=torch.Generator().manual_seed(1)), torch.arange(60) % CLASSES
    logits[torch.arange(60), labels] += 1

    assert judged(logits * 5, labels) == pytest.approx(judged(logits, labels))
    assert judged(logits, labels)[1] < judged(logits + torch.randn(60, CLASSES) * 3, labels)[1]


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


def corners(seed: int) -> Features:
    """Two classes at opposite corners of a square: no line parts them."""
    draw = np.random.default_rng(seed)
    signs = draw.choice([-1.0, 1.0], (200, 2))
    values = (signs + draw.normal(0, 0.2, signs.shape)).astype(np.float32)[:, None]
    labels = (signs[:, 0] == signs[:, 1]).astype(np.int64)
    return Features((), values, labels, (), {}, {})


def test_a_hidden_layer_learns_what_no_line_parts() -> None:
    train, valid = corners(1), corners(2)
    start = starting_head(train, 2, None)

    linear, hidden = (
        fit(train, valid, start, Recipe(learning_rate=0.02, hidden=units), Group(), on_epoch=lambda _: None).best
        for units in (0, 16)
    )

    assert linear.validation_accuracy < 0.8 < 0.97 < hidden.validation_accuracy


def test_a_hidden_layer_begins_by_saying_nothing() -> None:
    start = nn.Linear(WIDTH, CLASSES)
    inputs = torch.from_numpy(VALID.values[:, 0])

    assert torch.equal(HiddenHead(start, 16, seed=1)(inputs), start(inputs))


def test_blended_views_are_learnt_with_the_shares_of_their_labels() -> None:
    # given a head that says nothing, for which a blend is as good a guess as any, and one that is sure
    told = [trained(replace(SLOW, mixup=alpha)).history[-1].train_loss for alpha in (0.0, 1.0)]
    sure = replace(SLOW, epochs=40, learning_rate=0.5)
    losses = [trained(replace(sure, mixup=alpha)).history[-1].train_loss for alpha in (0.0, 1.0)]

    assert told[1] == pytest.approx(told[0], abs=1e-4)
    assert losses[1] > 1.3 * losses[0]  # between two labels no answer is sure


def test_a_rare_class_counts_as_much_as_any_other_when_it_is_asked_for() -> None:
    # given ten times fewer pictures of the last class
    keep = np.concatenate([np.flatnonzero(TRAIN.labels < 2), np.flatnonzero(TRAIN.labels == 2)[:2]])
    pictures = tuple(TRAIN.pictures[n] for n in keep)
    rare = replace(TRAIN, pictures=pictures, values=TRAIN.values[keep], labels=TRAIN.labels[keep])
    labels = torch.from_numpy(rare.labels)

    weights = class_weights(labels, CLASSES, 1.0)

    assert weights is not None and class_weights(labels, CLASSES, 0.0) is None
    assert weights[labels].mean() == pytest.approx(1.0)
    assert torch.allclose(weights * torch.bincount(labels), torch.tensor(len(labels) / CLASSES))
    settings = replace(SLOW, epochs=5, learning_rate=0.05)
    found = [trained(replace(settings, class_balance=balance), train=rare).head for balance in (0.0, 1.0)]
    of_the_rare = torch.from_numpy(VALID.values[VALID.labels == 2, 0])
    told = [(head(of_the_rare).argmax(dim=1) == 2).float().mean() for head in found]
    assert told[1] > told[0]


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
