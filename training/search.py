"""A search for hyperparameters: many heads on the same features, those that fall behind given up early."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypedDict

import optuna
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from training import head
from training.distributed import Group
from training.errors import TrainingError
from training.extracted import Extracted
from training.loop import Epoch
from training.parameters import Recipe, Search
from training.program import say
from training.ranges import held_by

STATUSES = {TrialState.COMPLETE: "Completed", TrialState.PRUNED: "Stopped", TrialState.FAIL: "Failed"}
_GOALS = {"validation:loss": "Minimize", "validation:accuracy": "Maximize"}
# Trials are compared after each tenth of their own epochs: so those with few and those with many are at the same point
# of their learning rate's way. The first tenths are the warm-up, where all look alike.
TENTHS, WARM_UP_TENTHS, UNPRUNED_TRIALS = 10, 3, 4


class TrialFigures(TypedDict):
    """One trial. `values` are texts, as hyperparameters are; `objective` is that of the epoch it would ship."""

    name: str
    values: dict[str, str]
    objective: float | None
    status: str
    seconds: float


class BestFigures(TypedDict):
    """The best of the completed trials."""

    name: str
    values: dict[str, str]
    objective: float


class SearchFigures(TypedDict):
    """trials.json."""

    strategy: str
    objective: str
    goal: str
    trials: list[TrialFigures]
    best: BestFigures


def objective_of(epoch: Epoch, objective: str) -> float:
    """What is to be low or high, per picture of validation: the batch size has no part in it."""
    return epoch.validation_loss if objective == "validation:loss" else epoch.validation_accuracy


def search(
    extracted: Extracted,
    parameters: Search,
    distributions: dict[str, BaseDistribution],
    on_trial: Callable[[TrialFigures], None],
) -> SearchFigures:
    """Runs the trials one after the other; the first has the values of `parameters`, as far as the ranges hold them.

    Raises TrainingError when not one of them comes to its end.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # each trial is told by `on_trial`
    study = optuna.create_study(
        direction="minimize" if _GOALS[parameters.objective] == "Minimize" else "maximize",
        sampler=optuna.samplers.TPESampler(seed=parameters.seed, n_startup_trials=max(4, parameters.trials // 4)),
        pruner=optuna.pruners.MedianPruner(UNPRUNED_TRIALS, WARM_UP_TENTHS),
    )
    study.enqueue_trial(held_by(distributions, parameters))
    for _ in range(parameters.trials):
        on_trial(_run(study, study.ask(distributions), extracted, parameters))
    trials = [_figures(trial) for trial in study.get_trials(deepcopy=False)]
    if not any(trial["status"] == "Completed" for trial in trials):
        raise TrainingError(f"none of the {len(trials)} trials came to its end; the log says why: use other ranges")
    best = _figures(study.best_trial)
    assert best["objective"] is not None
    return {
        "strategy": "embedded",
        "objective": parameters.objective,
        "goal": _GOALS[parameters.objective],
        "trials": trials,
        "best": {"name": best["name"], "values": best["values"], "objective": best["objective"]},
    }


def _run(study: Study, trial: Trial, extracted: Extracted, parameters: Search) -> TrialFigures:
    """One trial to its end: completed, given up because it has fallen behind, or failed."""
    recipe: Recipe = replace(parameters, **trial.params)
    began = time.perf_counter()
    value, state = None, TrialState.COMPLETE
    try:
        train, valid = extracted.splits["train"], extracted.splits["valid"]
        watch = _Watch(trial, parameters.objective, recipe.epochs)
        fit = head.fit(train, valid, extracted.start, recipe, Group(), on_epoch=watch)
        value = objective_of(fit.best, parameters.objective)
    except optuna.TrialPruned:
        state = TrialState.PRUNED
    except TrainingError as error:
        state = TrialState.FAIL
        say(f"trial: {error}")
    trial.set_user_attr("seconds", round(time.perf_counter() - began, 2))
    return _figures(study.tell(trial, value, state))


@dataclass
class _Watch:
    """Tells Optuna after each tenth of a trial where it stands, and ends it when that is too far behind."""

    trial: Trial
    objective: str
    epochs: int
    kept: Epoch | None = None
    tenth: int = 0

    def __call__(self, epoch: Epoch) -> None:
        if self.kept is None or epoch.better_than(self.kept):
            self.kept = epoch
        tenth = epoch.number * TENTHS // self.epochs
        if tenth == self.tenth:
            return
        self.tenth = tenth
        self.trial.report(objective_of(self.kept, self.objective), tenth)
        if tenth < TENTHS and self.trial.should_prune():
            raise optuna.TrialPruned


def _figures(trial: FrozenTrial) -> TrialFigures:
    return {
        "name": f"trial-{trial.number + 1}",
        "values": {name: str(value) for name, value in trial.params.items()},
        "objective": trial.value,
        "status": STATUSES[trial.state],
        "seconds": trial.user_attrs["seconds"],
    }
