"""All that a head is trained from: the features of train/ and valid/, where they came from, and where to start."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from torch import nn

from training.backbones import Backbone
from training.data import TRAINED, DataSet
from training.distributed import Group
from training.engine import Compiled, to_graph
from training.features import Extractor, Features
from training.head import starting_head
from training.parameters import Extraction


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
) -> Extracted:
    """Runs every picture of train/ (all its views) and valid/ (the plain one) through the backbone."""
    compiled = Compiled(to_graph(backbone.module, backbone.preprocess, "features"), threads)
    extractor = Extractor(compiled, backbone, threads, parameters.seed, group, log)
    splits = {
        split: extractor.extract(split, dataset.splits[split], parameters.views if split == "train" else 1)
        for split in TRAINED
    }
    start = starting_head(splits["train"], len(dataset.classes), backbone.classifier)
    return Extracted(Origin.of(backbone, parameters), dataset.classes, dataset.ignored, splits, start)
