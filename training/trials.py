"""The trials of a search, one after the other or in processes of their own."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import optuna
import torch
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from training import head
from training.distributed import Group
from training.errors import TrainingError
from training.extracted import Extracted
from training.loop import Epoch
from training.parameters import Search

# Trials are compared after each tenth of their own epochs: so those with few and those with many are at the same point
# of their learning rate's way. The first tenths are the warm-up, where all look alike.
TENTHS, WARM_UP_TENTHS, UNPRUNED_TRIALS = 10, 3, 4
_DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {
    "validation:loss": "minimize",
    "validation:accuracy": "maximize",
}


@dataclass(frozen=True)
class Setting:
    """What all trials of a search have in common."""

    extracted: Extracted
    parameters: Search
    distributions: dict[str, BaseDistribution]


@dataclass(frozen=True)
class Result:
    """What came of a trial.

    state     COMPLETE, PRUNED or FAIL; then `problem` says why
    value     the objective, of a complete one
    reports   the objective after each tenth
    """

    state: str
    value: float | None
    reports: dict[int, float]
    seconds: float
    problem: str = ""


Pending = Callable[[], Result]  # waits for it
Begin = Callable[[Mapping[str, Any], Sequence[FrozenTrial]], Pending]


def objective_of(epoch: Epoch, objective: str) -> float:
    """What is to be low or high, per picture of validation: the batch size has no part in it."""
    return epoch.validation_loss if objective == "validation:loss" else epoch.validation_accuracy


def new_study(objective: str) -> Study:
    """A study without trials, which gives up those that fall behind the median."""
    pruner = optuna.pruners.MedianPruner(UNPRUNED_TRIALS, WARM_UP_TENTHS)
    return optuna.create_study(direction=_DIRECTIONS[objective], pruner=pruner)


def run_trial(setting: Setting, values: Mapping[str, Any], told: Sequence[FrozenTrial]) -> Result:
    """A trial of these values to its end: complete, given up because it is behind those of `told`, or failed."""
    study = new_study(setting.parameters.objective)
    study.add_trials(told)
    study.enqueue_trial(dict(values))
    recipe = replace(setting.parameters, **values)
    watch = _Watch(study.ask(setting.distributions), recipe)
    splits = setting.extracted.splits
    began = time.perf_counter()
    value, state, problem = None, TrialState.COMPLETE, ""
    try:
        fit = head.fit(splits["train"], splits["valid"], setting.extracted.start, recipe, Group(), on_epoch=watch)
        value = objective_of(fit.best, recipe.objective)
    except optuna.TrialPruned:
        state = TrialState.PRUNED
    except TrainingError as error:
        state, problem = TrialState.FAIL, str(error)
    return Result(state.name, value, watch.reports, round(time.perf_counter() - began, 2), problem)


@dataclass
class _Watch:
    """Tells Optuna after each tenth of a trial where it stands, and ends it when that is too far behind."""

    trial: Trial
    recipe: Search
    kept: Epoch | None = None
    reports: dict[int, float] = field(default_factory=dict)

    def __call__(self, epoch: Epoch) -> None:
        if epoch.better_than(self.kept):
            self.kept = epoch
        tenth = epoch.number * TENTHS // self.recipe.epochs
        if not tenth or tenth in self.reports:
            return
        assert self.kept is not None
        self.reports[tenth] = objective_of(self.kept, self.recipe.objective)
        self.trial.report(self.reports[tenth], tenth)
        if tenth < TENTHS and self.trial.should_prune():
            raise optuna.TrialPruned


@contextmanager
def workers(setting: Setting, processes: int) -> Iterator[Begin]:
    """What begins a trial: in one of so many processes, or with one in this, once its result is waited for."""
    if processes == 1:
        yield lambda values, told: partial(run_trial, setting, values, told)
        return
    # Forked, they have the features already, for no memory of their own. This process has one thread that calculates,
    # and one that waits for signals.
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, fork, initializer=_begin_worker, initargs=(setting,)) as pool:
        yield lambda values, told: partial(_result_of, pool.submit(_run_in_worker, values, told))


def _result_of(future: Future[Result]) -> Result:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise TrainingError(
            "a process of the search was killed, perhaps for want of memory: use a smaller parallel"
        ) from error


_setting: Setting | None = None  # of a worker


def _begin_worker(setting: Setting) -> None:
    global _setting  # noqa: PLW0603  # the one way from a pool's initializer to its tasks
    _setting = setting
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A signal ends the parent at once, without a word to its workers."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run_in_worker(values: Mapping[str, Any], told: Sequence[FrozenTrial]) -> Result:
    assert _setting is not None
    return run_trial(_setting, values, told)
