"""Which precision serves: each is judged on the whole validation split and calibrated for itself.

Why these rules: docs/decisions/0004-serving-precision.md.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino
import torch
from torch import nn

from serving.manifest import PRECISIONS
from serving.preprocess import Preprocess
from serving.sampled import Numbers, look
from training.batches import Reader
from training.calibrate import Labels, Limits, Logits, fit_temperature, limits_for, softmax
from training.data import Picture
from training.engine import Compiled, for_one
from training.errors import TrainingError
from training.tensors import Batch, normalised

ALLOWED_LOSS = 0.005  # of the accuracy on validation, below that of full precision
# Full precision differs from torch by the order of additions only; more than this is a fault in the graph.
MAX_PROBABILITY_GAP = 1e-3
BATCH = 16  # pictures held at a time

Log = Callable[[str], None]


@dataclass(frozen=True)
class Judged:
    """One graph on the validation split.

    logits                float32 [pictures, classes]
    label_agreement       share of the pictures that it answers as torch does
    probability_gap       the largest difference of a probability from torch's, at the temperature that torch's want
    temperature, limits   fitted on these very logits
    """

    logits: Logits
    accuracy: float
    label_agreement: float
    probability_gap: float
    temperature: float
    limits: Limits


def logits_of(
    network: nn.Module,
    graphs: Mapping[str, tuple[openvino.Model, str]],
    pictures: Sequence[Picture],
    preprocess: Preprocess,
    threads: int,
) -> tuple[Logits, dict[str, Logits], Numbers]:
    """Logits [pictures, classes] of torch, and of every graph by its name, one picture at a time as in serving.

    The third is what the pictures look like [pictures, looks] (`serving.sampled`).
    graphs: name -> (graph, what it computes in). Each picture is read once. Raises TrainingError for one that is gone.
    """
    compiled = {name: Compiled(for_one(graph, preprocess), threads, kind) for name, (graph, kind) in graphs.items()}
    requests = {name: [one.request() for _ in range(threads)] for name, one in compiled.items()}
    expected: list[Logits] = []
    found: dict[str, list[Logits]] = {name: [] for name in graphs}
    looks: list[Numbers] = []
    with ThreadPoolExecutor(threads) as pool:
        order = torch.arange(len(pictures)).split(BATCH)  # type: ignore[no-untyped-call]
        for batch in Reader(pool, preprocess).views(pictures, order, lambda _, pixels: preprocess.to_input(pixels)):
            with torch.no_grad():
                expected.append(network(normalised(batch, preprocess)).numpy())
            looks += map(look, batch)
            for name, own in requests.items():
                for part in pool.map(_one_by_one, own, np.array_split(batch, threads)):
                    found[name] += part
    return np.concatenate(expected), {name: np.concatenate(parts) for name, parts in found.items()}, np.array(looks)


def _one_by_one(request: Any, batch: Batch) -> list[Logits]:
    return [Compiled.run(request, picture[None]) for picture in batch]


def judge(expected: Logits, found: Logits, labels: Labels, keep: float) -> Judged:
    """A graph's logits against those of torch; `keep`: the share of the pictures that is to count as confident."""
    shared = fit_temperature(expected, labels)
    gap = np.abs(softmax(found, shared) - softmax(expected, shared)).max()
    answers = found.argmax(axis=1)
    temperature = fit_temperature(found, labels)
    return Judged(
        logits=found,
        accuracy=float((answers == labels).mean()),
        label_agreement=float((answers == expected.argmax(axis=1)).mean()),
        probability_gap=float(gap),
        temperature=temperature,
        limits=limits_for(softmax(found, temperature), found, keep),
    )


def require_exact(what: str, judged: Judged) -> None:
    """Raises TrainingError when a graph in full precision is not what was trained."""
    if judged.probability_gap > MAX_PROBABILITY_GAP:
        raise TrainingError(
            f"the exported model ({what}) is not the trained one: on {len(judged.logits)} validation pictures its "
            f"probabilities differ by up to {judged.probability_gap:.4f}"
        )


def validated(judged: Mapping[str, Judged], log: Log) -> tuple[str, ...]:
    """The precisions that may serve, the fastest first; f32 always may. The log says of each other why it may not."""
    full = judged["f32"].accuracy
    found = []
    for name in (name for name in PRECISIONS if name in judged):
        lost = full - judged[name].accuracy
        if lost <= ALLOWED_LOSS + 1e-9:
            found.append(name)
        else:
            log(
                f"precision: {name} may not serve: it tells {judged[name].accuracy:.1%} of the validation pictures "
                f"right, {lost * 100:.1f} points less than full precision; {ALLOWED_LOSS * 100:.1f} are allowed"
            )
    return tuple(found)
