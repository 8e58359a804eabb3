"""The shapes of report.json, figures.json and drift.json, and of what the evaluation is given: trials.json and `steps`.

Numbers are written with six significant digits.
Shares and probabilities lie in 0..1, times are seconds. Classes go by the names of their folders, files by their paths
within the data set.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from training.drift import DriftBaseline
from training.record import TrainingRecord
from training.report_shape import BadFileFigures, SplitFigures

Split = Literal["test", "valid"]


class ModelFigures(TypedDict):
    """A model as it ships: what its own files say."""

    version: str
    backbone: str
    classes: Sequence[str]
    precision: str
    temperature: float
    threshold: float
    logit_threshold: float


class DriftFigures(TypedDict):
    """drift.json: what the model's own manifest tells of its validation pictures, where its watcher finds it.

    model        the version that the model's log lines name
    classes      their names by index
    precisions   the baseline of every precision that may serve
    """

    model: str
    classes: Sequence[str]
    precisions: Mapping[str, DriftBaseline]


class EvaluatedFiles(TypedDict):
    """What became of the split's files; `version` is one hash over the names and bytes of all of them."""

    version: str
    files: int
    bad_share: float
    bad_files: Sequence[BadFileFigures]
    notes: Mapping[str, Sequence[str]]
    ignored: Sequence[str]


class AnswerFigures(TypedDict):
    """What one model said of a picture."""

    answer: str
    probability: float


class ChangeFigures(TypedDict):
    """A picture that only one of the two models told right."""

    file: str
    truth: str
    incumbent: AnswerFigures
    candidate: AnswerFigures


class ClassChange(TypedDict):
    """Pictures of one class: those only the candidate told right, and those only the incumbent did."""

    gained: int
    lost: int


class IncumbentFigures(TypedDict):
    """Candidate and incumbent on the same pictures: those whose class the incumbent knows.

    run                  of the incumbent
    unknown_pictures     those left aside, because their class is new to the incumbent
    classes_added        the candidate's classes that the incumbent lacks; `classes_removed`: the other way round
    gained, lost         pictures that only the candidate, or only the incumbent, told right
    difference           candidate's accuracy less the incumbent's, with its 95 % interval (Agresti and Min)
    p_value              of McNemar's exact test, two-sided
    newly_wrong          of the lost pictures those with the candidate's surest answers, at most 8; `newly_right` alike
    """

    run: str
    pictures: int
    unknown_pictures: int
    classes_added: Sequence[str]
    classes_removed: Sequence[str]
    accuracy: float
    accuracy_interval: tuple[float, float]
    candidate_accuracy: float
    candidate_interval: tuple[float, float]
    gained: int
    lost: int
    difference: float
    difference_interval: tuple[float, float]
    p_value: float
    by_class: Mapping[str, ClassChange]
    newly_wrong: Sequence[ChangeFigures]
    newly_right: Sequence[ChangeFigures]


class TrialFigures(TypedDict):
    """One trial; `objective` is null where it has not got that far."""

    name: str
    values: Mapping[str, str]
    objective: float | None
    status: Literal["Completed", "Stopped", "Failed"]
    seconds: float | None


class BestTrial(TypedDict):
    """The trial whose values the model was trained with."""

    name: str
    values: Mapping[str, str]
    objective: float


class TuningFigures(TypedDict):
    """trials.json, in the order of the trials."""

    strategy: str
    objective: str
    goal: Literal["Minimize", "Maximize"]
    trials: Sequence[TrialFigures]
    best: BestTrial | None


class Step(TypedDict):
    """A step of the pipeline, as the hyperparameter `steps` tells it; `seconds` that each instance ran.

    billable_seconds   of each instance, as the service bills them; null where nobody tells (EC2, this evaluation)
    """

    step: str
    instance_type: str
    instances: int
    seconds: float
    billable_seconds: float | None
    spot: bool


class StepFigures(Step):
    """The same, priced: US dollars on demand; null where the instance's price is not known.

    Spot is billed by fewer seconds at that price; where nobody tells them, the cost is the most that it can be.
    """

    price_per_hour: float | None
    cost: float | None


class CostFigures(TypedDict):
    """What the run did cost up to this report: instances only.

    usd         of the steps whose price is known; null where none is
    by_time     steps of which nobody told the billable seconds: theirs is an estimate by the time that they ran
    derived     instance types whose price was not read but derived from another
    unpriced    steps without a price
    """

    usd: float | None
    by_time: Sequence[str]
    derived: Sequence[str]
    unpriced: Sequence[str]


class Report(TypedDict):
    """report.json.

    run        the run that is evaluated; `split` is test or valid
    figures    of the candidate on the split
    incumbent  null without one, and where it could not be run: `problems` says why
    training   the candidate's training.json, `tuning` its trials.json; null where there is none
    problems   what this report had to do without, in sentences
    timings_seconds   of the evaluation by stage, without the writing of this report
    """

    run: str
    split: Split
    created: str
    model: ModelFigures
    data: EvaluatedFiles
    figures: SplitFigures
    incumbent: IncumbentFigures | None
    tuning: TuningFigures | None
    steps: Sequence[StepFigures]
    cost: CostFigures
    training: TrainingRecord | None
    problems: Sequence[str]
    timings_seconds: Mapping[str, float]
    peak_memory_mb: float


class IncumbentSummary(TypedDict):
    """The incumbent in figures.json; both accuracies are on the `pictures` whose class it knows."""

    run: str
    pictures: int
    accuracy: float
    candidate_accuracy: float


class Figures(TypedDict):
    """figures.json: what a gate decides by."""

    run: str
    split: Split
    pictures: int
    accuracy: float
    top_k: int
    top5: float
    calibration_error: float
    log_loss: float
    confident_share: float
    confident_accuracy: float | None
    incumbent: IncumbentSummary | None
