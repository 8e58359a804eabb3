"""The model directory: graphs, weights, preprocessing and a manifest with everybody's SHA-256."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openvino
import torch
from safetensors.torch import save
from torch import nn

from serving.manifest import FORMAT, INT8_GRAPH
from serving.sampled import Numbers
from training.backbones import Backbone
from training.calibrate import softmax
from training.data import display_name
from training.drift import drift_baseline
from training.engine import computes_bf16, to_graph, traced
from training.features import Features
from training.onnx_file import onnx_of
from training.parameters import Parameters
from training.precision import Judged, judge, logits_of, require_exact, validated
from training.quantize import quantized
from training.report_shape import ExportFigures, GraphFigures
from training.usage import Timings

FILES = ("model.xml", "model.bin", "model.onnx", "preprocess.json", "weights.safetensors")

Log = Callable[[str], None]


@dataclass(frozen=True)
class Classifier:
    """The network and its classes by position.

    finetuned   the backbone is no longer the pretrained one, so its weights are kept with the head's
    """

    backbone: Backbone
    head: nn.Linear
    classes: tuple[str, ...]
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


@dataclass(frozen=True)
class Exported:
    """The network as graphs, and what each of them is worth on the validation split.

    int8       None where it was not wanted, or may not serve
    judged     by precision, f32 always among them; `onnx` is judged in f32
    looks      what the validation pictures look like, [pictures, looks]
    valid      the precisions that may serve, the fastest first
    """

    f32: openvino.Model
    int8: openvino.Model | None
    onnx: bytes
    judged: Mapping[str, Judged]
    judged_onnx: Judged
    looks: Numbers
    valid: tuple[str, ...]

    @property
    def precision(self) -> str:
        """The one that serves."""
        return self.valid[0]

    @property
    def served(self) -> Judged:
        """What that is worth."""
        return self.judged[self.precision]

    def figures(self) -> ExportFigures:
        """The same as JSON."""
        return {
            "pictures": len(self.served.logits),
            "precision": self.precision,
            "precisions": {name: {**_figures(one), "valid": name in self.valid} for name, one in self.judged.items()},
            "onnx": _figures(self.judged_onnx),
        }


def _figures(one: Judged) -> GraphFigures:
    return {
        "accuracy": one.accuracy,
        "label_agreement": one.label_agreement,
        "probability_gap": one.probability_gap,
    }


def export(
    model: Classifier,
    splits: Mapping[str, Features],
    parameters: Parameters,
    *,
    threads: int,
    timings: Timings,
    log: Log,
) -> Exported:
    """The graphs that `parameters.precision` asks for, judged on the split `valid`.

    A precision that may not serve is left out, and the log says why. Raises TrainingError where a graph in full
    precision is not what was trained.
    """
    network, preprocess, valid = model.network(), model.backbone.preprocess, splits["valid"]
    asked = parameters.precision
    with timings.stage("export"):
        recorded = traced(network, preprocess)
        graph, onnx = to_graph(recorded, preprocess, "logits"), onnx_of(recorded, preprocess)
        graphs = {"f32": (graph, "f32"), "onnx": (openvino.Core().read_model(onnx, b""), "f32")}
    if asked in ("auto", "bf16"):
        if computes_bf16():
            graphs["bf16"] = (graph, "bf16")
        else:
            log("precision: bf16 cannot be judged here, because this CPU does not compute in it")
    if asked in ("auto", "int8"):
        with timings.stage("quantize"):
            graphs["int8"] = (quantized(graph, splits["train"].pictures, preprocess, threads), "f32")
    with timings.stage("validation"):
        expected, found, looks = logits_of(network, graphs, valid.pictures, preprocess, threads)
        judged = {name: judge(expected, one, valid.labels, parameters.unknown_keep) for name, one in found.items()}
    judged_onnx = judged.pop("onnx")
    require_exact("model.xml", judged["f32"])
    require_exact("model.onnx", judged_onnx)
    good = validated(judged, log)
    return Exported(graph, graphs["int8"][0] if "int8" in good else None, onnx, judged, judged_onnx, looks, good)


def write(folder: Path, model: Classifier, exported: Exported, facts: Mapping[str, Any]) -> None:
    """Writes the model directory; model.json, without which nothing loads it, comes last.

    facts: further members of model.json: version, metrics, provenance.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # What an earlier attempt left must not vouch for half of this one, nor lie about unlisted.
    for name in ("model.json", *INT8_GRAPH):
        (folder / name).unlink(missing_ok=True)
    openvino.save_model(exported.f32, folder / "model.xml", compress_to_fp16=False)
    if exported.int8 is not None:
        openvino.save_model(exported.int8, folder / INT8_GRAPH[0], compress_to_fp16=False)
    (folder / "model.onnx").write_bytes(exported.onnx)
    # Not by save_file: its files are for their owner only, and the container may run as somebody else.
    (folder / "weights.safetensors").write_bytes(save(model.weights()))
    model.backbone.preprocess.save(folder / "preprocess.json")
    written = FILES + (INT8_GRAPH if exported.int8 is not None else ())
    manifest = {
        "format": FORMAT,
        "backbone": model.backbone.name,
        "classes": [{"index": n, "folder": name, "name": display_name(name)} for n, name in enumerate(model.classes)],
        "precision": exported.precision,
        "precisions": {name: _calibrated(exported.judged[name], exported.looks) for name in exported.valid},
        **facts,
        "files": {name: _sha256(folder / name) for name in written},
    }
    text = json.dumps(manifest, indent=1, allow_nan=False)
    (folder / "model.json").write_text(text + "\n", encoding="utf-8")


def _calibrated(one: Judged, looks: Numbers) -> dict[str, Any]:
    return {
        "temperature": one.temperature,
        "threshold": one.limits.probability,
        "logit_threshold": one.limits.logit,
        **_figures(one),
        "drift": drift_baseline(one.logits, softmax(one.logits, one.temperature), looks),
    }


def weights_sha256(module: nn.Module) -> str:
    """One hash of a module's weights."""
    whole = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        whole.update(name.encode() + value.numpy().tobytes())
    return whole.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
