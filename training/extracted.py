"""All that a head is trained from: the features of train/ and valid/, where they came from, and where to start."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from training.backbones import Backbone
from training.data import TRAINED, DataSet
from training.distributed import Group
from training.features import Extractor, Features, agreeing
from training.frozen import networks
from training.head import starting_head
from training.parameters import Extraction

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Origin:
    """What features depend on besides the pictures. `preprocess` is `serving.preprocess.Preprocess` by members."""

    backbone: str
    backbone_sha256: str
    preprocess: dict[str, object]
    views: int
    seed: int

    @classmethod
    def of(cls, backbone: Backbone, parameters: Extraction) -> "Origin":
        """The origin of features that are made now."""
        size = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(backbone.preprocess).items()}
        return cls(backbone.name, backbone.weights_sha256, size, parameters.views, parameters.seed)


@dataclass(frozen=True)
class Extracted:
    """Features by split, `train` and `valid`; the classes by position; a head to start from; the files left aside."""

    origin: Origin
    classes: tuple[str, ...]
    ignored: tuple[str, ...]
    splits: dict[str, Features]
    start: nn.Linear


def extract(
    dataset: DataSet,
    backbone: Backbone,
    parameters: Extraction,
    threads: int,
    *,
    group: Group,
    log: Callable[[str], None],
    device: torch.device = CPU,
    kept: Path | None = None,
    code: str = "",
) -> Extracted:
    """Runs every picture of train/ (all its views) and valid/ (the plain one) through the backbone.

    Training views are computed by the machine's fast way where it has one; validation, by which everything is judged
    and calibrated, in f32 as serving computes by default. `kept` and `code`: see `Extractor`.
    """
    pictures = dataset.splits
    exact, fast = networks(backbone, device, threads)
    by_split = {"train": agreeing(fast, exact, pictures["train"], backbone, group=group, log=log), "valid": exact}
    views = {"train": parameters.views, "valid": 1}
    splits = {
        split: Extractor(by_split[split], backbone, parameters.seed, group, log, kept, code).extract(
            split, pictures[split], views[split]
        )
        for split in TRAINED
    }
    start = starting_head(splits["train"], len(dataset.classes), backbone.classifier)
    return Extracted(Origin.of(backbone, parameters), dataset.classes, dataset.ignored, splits, start)
