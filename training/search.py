"""A search for hyperparameters: many heads on the same features, those that fall behind given up early.

A trial is begun when all before it have been told, in the order of their numbers, but for those that may be under way
(`under_way`). From them alone follows what it tries, and whether it is given up; never from which trial ended first. So
a search comes to the same with any number of processes, and one that was interrupted to what it would have come to.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import TypedDict

import numpy as np
import optuna
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from training.checkpoint import Checkpoints
from training.errors import TrainingError
from training.extracted import Extracted
from training.parameters import Search
from training.program import say
from training.ranges import held_by
from training.trials import Pending, Result, Setting, new_study, workers

STATUSES = {TrialState.COMPLETE: "Completed", TrialState.PRUNED: "Stopped", TrialState.FAIL: "Failed"}
GOALS = {"minimize": "Minimize", "maximize": "Maximize"}


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


def search(
    extracted: Extracted,
    parameters: Search,
    distributions: dict[str, BaseDistribution],
    on_trial: Callable[[TrialFigures], None],
    *,
    processes: int = 1,
    checkpoints: Checkpoints | None = None,
) -> SearchFigures:
    """Runs the trials, `processes` at a time; the first has the values of `parameters`, as far as the ranges hold them.

    `on_trial` is told of them by number. With checkpoints the search goes on after the last trial that was told.
    Raises TrainingError when not one of them comes to its end.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # each trial is told by `on_trial`
    study = new_study(parameters.objective)
    study.enqueue_trial(held_by(distributions, parameters))
    results = _Results(study, on_trial, checkpoints)
    waiting: deque[tuple[Trial, Pending]] = deque()
    with workers(Setting(extracted, parameters, distributions), min(processes, under_way(parameters.trials))) as begin:
        for number in range(parameters.trials):
            if len(waiting) == under_way(parameters.trials):
                results.tell(*waiting.popleft())
            study.sampler = _sampler(parameters, number)
            told = study.get_trials(deepcopy=False, states=tuple(STATUSES))
            trial = study.ask(distributions)
            waiting.append((trial, results.kept(number) or begin(trial.params, told)))
        for trial, pending in waiting:
            results.tell(trial, pending)
    return _figures(study, parameters)


def first_trials(trials: int) -> int:
    """How many of so many are drawn at random, before there is enough to learn from."""
    return max(4, trials // 4)


def under_way(trials: int) -> int:
    """How many of so many may be under way at once. The more, the less each of them knows of the others."""
    return min(8, first_trials(trials))


class _Results:
    """Tells the study what came of its trials, and keeps it for a search that is interrupted."""

    def __init__(self, study: Study, on_trial: Callable[[TrialFigures], None], checkpoints: Checkpoints | None) -> None:
        self._study, self._on_trial, self._checkpoints = study, on_trial, checkpoints
        saved = checkpoints.load() if checkpoints else None
        self._kept = [Result(**one) for one in saved["results"]] if saved else []
        self._told: list[Result] = []
        if saved and checkpoints:
            checkpoints.say(f"{checkpoints.stage} goes on after {len(self._kept)} trials")

    def kept(self, number: int) -> Pending | None:
        """The result of an earlier run of this search; None when it did not come so far."""
        return (lambda: self._kept[number]) if number < len(self._kept) else None

    def tell(self, trial: Trial, pending: Pending) -> None:
        """Waits for the result."""
        result = pending()
        for tenth, value in result.reports.items():
            trial.report(value, tenth)
        if result.problem:
            say(f"trial: {result.problem}")
        trial.set_user_attr("seconds", result.seconds)
        frozen = self._study.tell(trial, result.value, TrialState[result.state])
        self._told.append(result)
        if self._checkpoints and len(self._told) > len(self._kept):
            self._checkpoints.save({"results": [asdict(one) for one in self._told]})
        self._on_trial(_trial_figures(frozen))


def _sampler(parameters: Search, number: int) -> optuna.samplers.BaseSampler:
    """Chooses the values of one trial. A generator for each: then the search can begin at any of them."""
    (seed,) = np.random.SeedSequence([parameters.seed, number]).generate_state(1)
    return optuna.samplers.TPESampler(seed=int(seed), n_startup_trials=first_trials(parameters.trials))


def _figures(study: Study, parameters: Search) -> SearchFigures:
    trials = [_trial_figures(trial) for trial in study.get_trials(deepcopy=False)]
    if not any(trial["status"] == "Completed" for trial in trials):
        raise TrainingError(f"none of the {len(trials)} trials came to its end; the log says why: use other ranges")
    best = _trial_figures(study.best_trial)
    assert best["objective"] is not None
    return {
        "strategy": "embedded",
        "objective": parameters.objective,
        "goal": GOALS[study.direction.name.lower()],
        "trials": trials,
        "best": {"name": best["name"], "values": best["values"], "objective": best["objective"]},
    }


def _trial_figures(trial: FrozenTrial) -> TrialFigures:
    return {
        "name": f"trial-{trial.number + 1}",
        "values": {name: str(value) for name, value in trial.params.items()},
        "objective": trial.value,
        "status": STATUSES[trial.state],
        "seconds": trial.user_attrs["seconds"],
    }
