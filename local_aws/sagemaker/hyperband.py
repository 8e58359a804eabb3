"""Hyperband for tuning jobs, as we read it: AWS documents what it is for, not how its own goes.

A resource is one value of the objective metric that a trial prints, an epoch as a rule. Trials are spread over
brackets, and a bracket has rungs: numbers of resources, each ETA times the one before. A trial that comes to a rung
stays when it is among the best 1/ETA of those that came there so far, itself counted; else it is stopped. A process
cannot wait at a rung for the rest of its bracket, so this is successive halving without waiting: the first one at a
rung stays. Bracket s begins at MinResource * ETA**s; the higher, the more patience, and the fewer trials.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

from local_aws.sagemaker.search import RangeError

ETA = 3
RESOURCE_MAX = 20_000
# Where AWS looks for MaxResource when it is not given.
_EPOCHS = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")


def resources(config: dict[str, Any], static: dict[str, str]) -> tuple[int, int]:
    """MinResource and MaxResource of a HyperbandStrategyConfig and StaticHyperParameters. Raises RangeError."""
    lowest, highest = config.get("MinResource", 1), config.get("MaxResource")
    if highest is None:
        text = next((static[name] for name in _EPOCHS if name in static), "").strip('"')
        if not text.isdecimal():
            raise RangeError(
                "MaxResource must be specified in HyperbandStrategyConfig, because none of the static hyperparameters "
                f"{', '.join(_EPOCHS)} gives it."
            )
        highest = int(text)
    if not 1 <= lowest <= highest <= RESOURCE_MAX:
        raise RangeError(f"MinResource must not exceed MaxResource, and MaxResource must be 1 to {RESOURCE_MAX}.")
    return lowest, highest


def brackets(lowest: int, highest: int) -> list[list[int]]:
    """The rungs of every bracket, the bracket with the most rungs first. The last has none: it lets every trial run."""
    rungs = []
    rung = lowest
    while rung < highest:
        rungs.append(rung)
        rung *= ETA
    return [rungs[start:] for start in range(len(rungs) + 1)]


def shares(count: int) -> list[int]:
    """How many trials of a round each of `count` brackets gets, as in Hyperband: all cost about the same."""
    return [-(-count * ETA ** (count - 1 - place) // (count - place)) for place in range(count)]


class Hyperband:
    """The state of one search. Losses: lower is better."""

    def __init__(self, lowest: int, highest: int) -> None:
        self.highest = highest
        self.brackets = brackets(lowest, highest)
        self._places: Iterator[int] = cycle(
            [place for place, share in enumerate(shares(len(self.brackets))) for _ in range(share)]
        )
        self._bracket: dict[str, int] = {}
        self._passed: dict[str, int] = {}
        self._seen: dict[tuple[int, int], list[float]] = {}
        self._out: set[str] = set()

    def stops(self, trial: str, losses: Sequence[float]) -> bool:
        """Whether a trial that has printed `losses` so far is to be stopped. Each rung is judged once.

        A trial that goes on past MaxResource is stopped, too; one more value is let pass, which scripts print for the
        epoch they keep.
        """
        if trial not in self._out and self._is_beaten(trial, losses):
            self._out.add(trial)
        return trial in self._out

    def _is_beaten(self, trial: str, losses: Sequence[float]) -> bool:
        if trial not in self._bracket:
            self._bracket[trial], self._passed[trial] = next(self._places), 0
        place = self._bracket[trial]
        for rung in self.brackets[place][self._passed[trial] :]:
            if rung > len(losses):
                return False
            self._passed[trial] += 1
            seen = self._seen.setdefault((place, rung), [])
            better = sum(other <= losses[rung - 1] for other in seen)
            seen.append(losses[rung - 1])
            if better >= max(1, len(seen) // ETA):
                return True
        return len(losses) > self.highest + 1
