"""Containers of tensors and plain values as the bytes of one safetensors file: nothing in it can run code when read."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

_TREE = "tree"  # the tensor that holds the JSON of everything else
_SEQUENCES = {"list": list, "tuple": tuple}


def packed(value: Any) -> bytes:
    """`value`: tensors, None, numbers, texts, and lists, tuples and mappings (keys: texts, whole numbers) of them.

    Raises TypeError for anything else.
    """
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps(_plain(value, tensors)).encode()
    tensors[_TREE] = torch.from_numpy(np.frombuffer(text, np.uint8).copy())
    return save(tensors)


def unpacked(content: bytes) -> Any:
    """What `packed` was given, tensors on the CPU. Raises many kinds of error for bytes that it did not make."""
    tensors = load(content)
    return _whole(json.loads(tensors[_TREE].numpy().tobytes()), tensors)


def _plain(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """`value` as JSON can say it: tensors are put into `tensors` and named, containers become {kind: members}."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()  # safetensors takes none that share their memory
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"mapping": [[key, _plain(one, tensors)] for key, one in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_plain(one, tensors) for one in value]}
    raise TypeError(f"a {type(value).__name__} cannot be kept")


def _whole(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, members),) = value.items()
    if kind == "tensor":
        return tensors[members]
    if kind == "mapping":
        return {key: _whole(one, tensors) for key, one in members}
    return _SEQUENCES[kind](_whole(one, tensors) for one in members)
