"""The baseline's serving script in the container that it is deployed to: TorchServe, one request at a time."""

from typing import Any

from torch import nn

from benchmarks.baseline import inference
from benchmarks.peers import engine

_loaded: list[nn.Module] = []


def handle(data: list[dict[str, Any]] | None, _: Any) -> list[Any] | None:
    """What the image's default handler does with the script's four functions."""
    if not _loaded:
        _loaded.append(inference.model_fn(str(engine.settings().model)))
    if data is None:
        return None
    return [answer(bytes(one["body"])) for one in data]


def answer(body: bytes) -> list[list[float]]:
    """One request."""
    return inference.output_fn(inference.predict_fn(inference.input_fn(body, "image/jpeg"), _loaded[0]))
