"""The model directory: one OpenVINO graph, weights, preprocessing and a manifest with everybody's SHA-256."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from safetensors.torch import save
from torch import nn

from serving.manifest import FORMAT
from serving.preprocess import Preprocess
from training.backbones import Backbone
from training.calibrate import Limits, softmax
from training.data import Picture, display_name
from training.engine import Compiled, to_graph
from training.errors import TrainingError
from training.pictures import MAX_BYTES, Pixels
from training.tensors import normalised

FILES = ("model.xml", "model.bin", "preprocess.json", "weights.safetensors")
CHECKED_PICTURES = 32
# Full precision differs from torch by the order of additions only; more than this is a fault in the graph.
MAX_PROBABILITY_GAP = 1e-3


@dataclass(frozen=True)
class Agreement:
    """The exported model against torch on validation pictures.

    Gaps are the largest differences of a probability. `served` is the precision that OpenVINO takes by itself on this
    CPU.
    """

    pictures: int
    label_agreement: float
    probability_gap: float
    served_label_agreement: float
    served_probability_gap: float


@dataclass(frozen=True)
class Classifier:
    """All that a model directory holds: the network, its classes by position, and what turns logits into an answer.

    finetuned   the backbone is no longer the pretrained one, so its weights are kept with the head's
    """

    backbone: Backbone
    head: nn.Linear
    classes: tuple[str, ...]
    temperature: float
    limits: Limits
    finetuned: bool = False

    def weights(self) -> dict[str, torch.Tensor]:
        """What was trained, by name: `head.*`, and after fine-tuning `backbone.*`."""
        found = {f"head.{name}": value for name, value in self.head.state_dict().items()}
        if self.finetuned:
            # Not its state dict, which names layers twice that are reached in two ways.
            module = self.backbone.module
            own = [*module.named_parameters(), *module.named_buffers()]
            found |= {f"backbone.{name}": value.detach() for name, value in own}
        return found

    def network(self) -> nn.Module:
        """All of it: float32 [n, 3, size, size], normalised -> logits [n, classes]."""
        return nn.Sequential(self.backbone.module, self.head).eval()

    def graph(self) -> openvino.Model:
        """The same as one graph: uint8 [n, size, size, 3] -> `logits` float32 [n, classes]."""
        return to_graph(self.network(), self.backbone.preprocess, "logits")


def check(graph: openvino.Model, model: Classifier, pictures: tuple[Picture, ...], threads: int) -> Agreement:
    """Compares the graph with torch on up to 32 of `pictures`, spread evenly. Raises TrainingError when they differ."""
    preprocess = model.backbone.preprocess
    chosen = [pictures[n] for n in np.linspace(0, len(pictures) - 1, min(len(pictures), CHECKED_PICTURES)).astype(int)]
    batch = np.stack([_input(picture, preprocess) for picture in chosen])
    network = model.network()
    with torch.no_grad():
        parts = [network(normalised(part, preprocess)) for part in np.array_split(batch, -(-len(batch) // 8))]
    expected = softmax(torch.cat(parts).numpy(), model.temperature)
    agreements, gaps = [], []
    for precision in ("f32", ""):
        compiled = Compiled(graph, threads, precision)
        request = compiled.request()
        found = softmax(np.concatenate([compiled.run(request, one[None]) for one in batch]), model.temperature)
        agreements.append(float((found.argmax(axis=1) == expected.argmax(axis=1)).mean()))
        gaps.append(float(np.abs(found - expected).max()))
    if gaps[0] > MAX_PROBABILITY_GAP:
        raise TrainingError(
            f"the exported model is not the trained one: on {len(batch)} validation pictures its probabilities differ "
            f"by up to {gaps[0]:.4f}"
        )
    return Agreement(len(batch), agreements[0], gaps[0], agreements[1], gaps[1])


def write(folder: Path, graph: openvino.Model, model: Classifier, facts: dict[str, Any]) -> None:
    """Writes the model directory; model.json, without which nothing loads it, comes last.

    facts: further members of model.json: version, metrics, provenance.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").unlink(missing_ok=True)  # an earlier attempt's must not vouch for half of this one
    openvino.save_model(graph, folder / "model.xml", compress_to_fp16=False)
    # Not by save_file: its files are for their owner only, and the container may run as somebody else.
    (folder / "weights.safetensors").write_bytes(save(model.weights()))
    model.backbone.preprocess.save(folder / "preprocess.json")
    files = {name: _sha256(folder / name) for name in FILES}
    manifest = {
        "format": FORMAT,
        "backbone": model.backbone.name,
        "classes": [{"index": n, "folder": name, "name": display_name(name)} for n, name in enumerate(model.classes)],
        "temperature": model.temperature,
        "threshold": model.limits.probability,
        "logit_threshold": model.limits.logit,
        **facts,
        "files": files,
    }
    text = json.dumps(manifest, indent=1, allow_nan=False)
    (folder / "model.json").write_text(text + "\n", encoding="utf-8")


def weights_sha256(module: nn.Module) -> str:
    """One hash of a module's weights."""
    whole = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        whole.update(name.encode() + value.numpy().tobytes())
    return whole.hexdigest()


def _input(picture: Picture, preprocess: Preprocess) -> Pixels:
    return preprocess.to_input(preprocess.decode(picture.path.read_bytes(), max_bytes=MAX_BYTES))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
