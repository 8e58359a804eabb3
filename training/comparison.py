"""Two models on the same pictures: which is better, and how sure that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from training.evaluation import NORMAL_95, interval
from training.evaluation_shape import AnswerFigures, ChangeFigures, ClassChange, IncumbentFigures
from training.shipped import Answers

CHANGES_SHOWN = 8  # of either kind


@dataclass(frozen=True)
class Told:
    """What one model says of the shared pictures: by picture, the class's folder and its probability."""

    answers: tuple[str, ...]
    probabilities: tuple[float, ...]

    def of(self, position: int) -> AnswerFigures:
        """The answer for one picture."""
        return {"answer": self.answers[position], "probability": self.probabilities[position]}


def told(answers: Answers, classes: Sequence[str], kept: Sequence[int]) -> Told:
    """The likeliest classes of the pictures at the positions `kept`; `classes` are the model's own."""
    shares = answers.probabilities[list(kept)]
    places = shares.argmax(axis=1)
    return Told(tuple(classes[place] for place in places.tolist()), tuple(shares.max(axis=1).tolist()))


def compare(
    run: str, files: Sequence[str], truths: Sequence[str], candidate: Told, incumbent: Told
) -> IncumbentFigures:
    """The incumbent's figures on pictures that both models were shown; at least one picture.

    What concerns classes (`unknown_pictures`, `classes_added`, `classes_removed`) is left empty: see `with_classes`.
    """
    count = len(truths)
    ours = [answer == truth for answer, truth in zip(candidate.answers, truths, strict=True)]
    theirs = [answer == truth for answer, truth in zip(incumbent.answers, truths, strict=True)]
    gained = [n for n in range(count) if ours[n] and not theirs[n]]
    lost = [n for n in range(count) if theirs[n] and not ours[n]]

    def change(n: int) -> ChangeFigures:
        return {"file": files[n], "truth": truths[n], "incumbent": incumbent.of(n), "candidate": candidate.of(n)}

    def surest(positions: list[int]) -> list[ChangeFigures]:
        return [change(n) for n in sorted(positions, key=lambda n: -candidate.probabilities[n])[:CHANGES_SHOWN]]

    by_class: dict[str, ClassChange] = {}
    for positions, kind in ((gained, "gained"), (lost, "lost")):
        for n in positions:
            by_class.setdefault(truths[n], {"gained": 0, "lost": 0})[kind] += 1  # type: ignore[literal-required]
    return {
        "run": run,
        "pictures": count,
        "unknown_pictures": 0,
        "classes_added": (),
        "classes_removed": (),
        "accuracy": sum(theirs) / count,
        "accuracy_interval": interval(sum(theirs), count),
        "candidate_accuracy": sum(ours) / count,
        "candidate_interval": interval(sum(ours), count),
        "gained": len(gained),
        "lost": len(lost),
        "difference": (len(gained) - len(lost)) / count,
        "difference_interval": difference_interval(len(gained), len(lost), count),
        "p_value": mcnemar(len(gained), len(lost)),
        "by_class": by_class,
        "newly_wrong": surest(lost),
        "newly_right": surest(gained),
    }


def difference_interval(gained: int, lost: int, count: int) -> tuple[float, float]:
    """95 % interval of the difference of two accuracies on the same `count` pictures, after Agresti and Min (2005).

    Wald's interval for matched pairs, with half a picture added to each of the four cells of the table: so it keeps its
    promise with few pictures too, and says something where the models never differ.
    """
    more, less, whole = gained + 0.5, lost + 0.5, count + 2
    middle = (more - less) / whole
    reach = NORMAL_95 * math.sqrt(more + less - (more - less) ** 2 / whole) / whole
    return max(-1.0, middle - reach), min(1.0, middle + reach)


def mcnemar(gained: int, lost: int) -> float:
    """How often two equally good models would differ by this much or more: McNemar's exact test, two-sided."""
    changed, less = gained + lost, min(gained, lost)
    # By logarithms: with thousands of changes the binomial coefficients have no place in a float.
    terms = [
        math.lgamma(changed + 1) - math.lgamma(n + 1) - math.lgamma(changed - n + 1) - changed * math.log(2)
        for n in range(less + 1)
    ]
    return min(1.0, 2 * math.fsum(map(math.exp, terms)))
