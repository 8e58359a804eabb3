"""Which precision serves: judged on validation, calibrated for itself, and int8 for real on a tiny network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from torch import nn

from serving.manifest import ModelRefused, read_manifest
from serving.model import Model, softmax
from serving.preprocess import Preprocess
from tests.tiny_model import write_model_directory
from tests.unit.training_world import CLASSES, draw_data
from training import data as pictures_of
from training import export as exporting
from training.backbones import Backbone
from training.engine import to_graph
from training.errors import TrainingError
from training.export import Classifier, Exported, export, write
from training.features import Features
from training.parameters import Parameters
from training.precision import Judged, judge, require_exact, validated
from training.usage import Timings

PREPROCESS = Preprocess(32, 36)
LABELS = np.array([0, 1, 2] * 100)
FACTS = {"version": "tiny", "metrics": {}, "provenance": {}}


def logits(wrong: int) -> np.ndarray:
    """Of 300 pictures, the first `wrong` of which are told wrong."""
    answers = LABELS.copy()
    answers[:wrong] = (answers[:wrong] + 1) % 3
    found: np.ndarray = np.eye(3, dtype=np.float32)[answers] * 4
    return found


def judged(**wrong: int) -> dict[str, Judged]:
    return {name: judge(logits(3), logits(count), LABELS, 0.95) for name, count in wrong.items()}


def test_a_graph_is_judged_against_torch_and_calibrated_on_its_own_logits() -> None:
    torchs = logits(3)

    same, other = judge(torchs, torchs, LABELS, 0.95), judge(torchs, 2 * logits(6), LABELS, 0.95)

    assert (same.accuracy, same.label_agreement, same.probability_gap) == (0.99, 1.0, 0.0)
    assert (other.accuracy, other.label_agreement) == (0.98, 0.99)
    assert other.probability_gap > 0.9  # where the two answer differently
    # twice as large logits want about twice the temperature, and a limit to match
    assert other.temperature / same.temperature == pytest.approx(2, rel=0.4)
    assert other.limits.logit == 8.0


@pytest.mark.parametrize(
    ("wrong", "serves", "said"),
    [
        ({"f32": 3}, ("f32",), []),
        ({"f32": 3, "bf16": 4, "int8": 4}, ("int8", "bf16", "f32"), []),  # a third of a point less
        ({"f32": 3, "bf16": 3, "int8": 0}, ("int8", "bf16", "f32"), []),  # no harm in being better
        ({"f32": 3, "bf16": 3, "int8": 5}, ("bf16", "f32"), ["int8", "98.3%", "0.7 points", "0.5 are allowed"]),
    ],
)
def test_the_fastest_that_loses_half_a_point_at_most_serves(
    wrong: dict[str, int], serves: tuple[str, ...], said: list[str]
) -> None:
    log: list[str] = []

    assert validated(judged(**wrong), log.append) == serves
    assert len(log) == bool(said)
    assert all(part in log[0] for part in said)


def test_a_graph_in_full_precision_that_differs_is_a_fault() -> None:
    require_exact("model.onnx", judged(f32=3)["f32"])
    with pytest.raises(TrainingError, match=r"\(model.onnx\) is not the trained one: on 300 validation pictures"):
        require_exact("model.onnx", judged(f32=4)["f32"])


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Features]:
    found = pictures_of.scan(draw_data(tmp_path_factory.mktemp("pictures") / "data"))
    none = np.zeros((0, 1, 0), np.float32)
    return {
        name: Features(pictures, none, np.array([picture.label for picture in pictures]), (), {}, {})
        for name, pictures in found.splits.items()
    }


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """A network of five convolutions, one of them depthwise, that sees the shapes' colours."""
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU6(), nn.Conv2d(8, 8, 3, groups=8, stride=2), nn.ReLU6()]
    layers += [nn.Conv2d(8, 16, 1), nn.ReLU6(), nn.Conv2d(16, 16, 3), nn.ReLU6(), nn.Conv2d(16, 16, 1)]
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval().requires_grad_(False)
    return Classifier(
        Backbone("tiny", module, 16, PREPROCESS, None, "", stages=()), nn.Linear(16, 3).requires_grad_(False), CLASSES
    )


def exported(model: Classifier, splits: dict[str, Features], precision: str, log: list[str]) -> Exported:
    wanted = Parameters(precision=precision)
    return export(model, splits, wanted, threads=2, timings=Timings(lambda _: None), log=log.append)


def test_int8_is_quantized_shipped_and_served_with_its_own_calibration(
    classifier: Classifier, splits: dict[str, Features], tmp_path: Path
) -> None:
    log: list[str] = []
    found = exported(classifier, splits, "int8", log)
    write(tmp_path, classifier, found, FACTS)

    manifest = read_manifest(tmp_path)
    assert (found.precision, manifest.precision, set(manifest.precisions)) == ("int8", "int8", {"int8", "f32"})
    assert {"int8.xml", "int8.bin", "model.onnx"} < set(json.loads((tmp_path / "model.json").read_text())["files"])
    nodes = openvino.Core().read_model(tmp_path / "int8.xml").get_ordered_ops()
    weights = [
        node for node in nodes if node.get_type_name() == "Constant" and node.get_element_type() == openvino.Type.i8
    ]
    assert len(weights) == 3  # of the last two of the five convolutions, and of the head
    served, full = Model(manifest, threads=1), Model(manifest, threads=1, precision="f32")
    assert (served.precision.name, full.precision.name) == ("int8", "f32")
    for position, picture in enumerate(splits["valid"].pictures):
        outcome = served.run(picture.path.read_bytes())
        np.testing.assert_allclose(outcome.logits, found.judged["int8"].logits[position], atol=1e-4)
        answer = served.answer(outcome, 1)
        expected = softmax(outcome.logits, found.judged["int8"].temperature).max()
        assert answer["predictions"][0]["probability"] == pytest.approx(expected, abs=1e-6)


@pytest.fixture(scope="module")
def plain(classifier: Classifier, splits: dict[str, Features]) -> Exported:
    """The same in full precision alone."""
    return exported(classifier, splits, "f32", [])


def test_onnx_takes_what_the_graph_takes(plain: Exported) -> None:
    onnx = openvino.Core().read_model(plain.onnx, b"")

    assert str(onnx.inputs[0].get_partial_shape()) == str(plain.f32.inputs[0].get_partial_shape()) == "[?,32,32,3]"
    assert (onnx.inputs[0].any_name, onnx.outputs[0].any_name) == ("pictures", "logits")
    batch = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
    one, other = (openvino.Core().compile_model(graph, "CPU")(batch)[0] for graph in (onnx, plain.f32))
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert (plain.judged_onnx.label_agreement, plain.int8) == (1.0, None)


def test_int8_that_loses_too_much_is_not_shipped(
    monkeypatch: pytest.MonkeyPatch,
    classifier: Classifier,
    splits: dict[str, Features],
    plain: Exported,
    tmp_path: Path,
) -> None:
    # given validation pictures of the classes that full precision takes them for, and an int8 that turns that round
    right = splits | {"valid": replace(splits["valid"], labels=plain.judged["f32"].logits.argmax(axis=1))}
    turned = replace(classifier, head=nn.Linear(16, 3))
    turned.head.load_state_dict({name: -value for name, value in classifier.head.state_dict().items()})
    monkeypatch.setattr(exporting, "quantized", lambda *_: to_graph(turned.network(), PREPROCESS, "logits"))
    monkeypatch.setattr(exporting, "computes_bf16", lambda: False)
    (tmp_path / "int8.xml").touch()  # of an earlier attempt
    log: list[str] = []

    found = exported(classifier, right, "auto", log)
    write(tmp_path, classifier, found, FACTS)

    assert (found.precision, found.int8, found.valid) == ("f32", None, ("f32",))
    assert found.figures()["precisions"]["int8"]["valid"] is False
    assert log[0] == "precision: bf16 cannot be judged here, because this CPU does not compute in it"
    assert log[1].startswith(
        "precision: int8 may not serve: it tells 0.0% of the validation pictures right, 100.0 points"
    )
    assert set(read_manifest(tmp_path).precisions) == {"f32"}
    assert not (tmp_path / "int8.xml").exists()


@pytest.fixture
def bf16_model(tmp_path: Path) -> Path:
    """A model that was validated in bf16, where it has another calibration, and f32."""
    folder = write_model_directory(tmp_path / "model")
    path = folder / "model.json"
    document = json.loads(path.read_text())
    document["precisions"]["bf16"] = document["precisions"]["f32"] | {"temperature": 2.0}
    path.write_text(json.dumps(document | {"precision": "bf16"}))
    return folder


def test_bf16_is_served_where_the_cpu_has_it_and_full_precision_elsewhere(bf16_model: Path) -> None:
    manifest = read_manifest(bf16_model)

    assert [manifest.served("", has).temperature for has in (True, False)] == [2.0, 1.0]
    assert manifest.served("f32", True).name == "f32"


def test_a_precision_that_was_not_validated_is_refused(bf16_model: Path) -> None:
    with pytest.raises(ModelRefused, match=r"int8 is not a precision of this model, f32, bf16 are"):
        Model(read_manifest(bf16_model), threads=1, precision="int8")
