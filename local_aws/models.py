"""botocore's service models, cut down to the operations that are there.

The whole SageMaker model has 3,000 shapes; kept entire it would cost more memory than the emulator's own code.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel


def _without_documentation(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_documentation(value) for key, value in node.items() if key != "documentation"}
    if isinstance(node, list):
        return [_without_documentation(item) for item in node]
    return node


def _reachable(shapes: dict[str, Any], names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        shape = shapes[name]
        todo.extend(shape[part]["shape"] for part in ("member", "key", "value") if part in shape)
        todo.extend(member["shape"] for member in shape.get("members", {}).values())
    return found


def _references(operation: dict[str, Any]) -> list[str]:
    named = [operation[part]["shape"] for part in ("input", "output") if part in operation]
    return named + [error["shape"] for error in operation.get("errors", [])]


@functools.cache
def service_model(service: str, operations: tuple[str, ...]) -> ServiceModel:
    """botocore's model of `service` with only `operations` in it. Loaded at first use, kept for the process."""
    full = Loader().load_service_model(service, "service-2")
    kept = {name: _without_documentation(full["operations"][name]) for name in operations}
    shapes = _reachable(full["shapes"], (ref for operation in kept.values() for ref in _references(operation)))
    return ServiceModel(
        {
            "metadata": full["metadata"],
            "operations": kept,
            "shapes": {name: _without_documentation(full["shapes"][name]) for name in sorted(shapes)},
        },
        service,
    )


@functools.cache
def operation_names(service: str) -> frozenset[str]:
    """Every operation AWS has in `service`: tells "not here" from "no such thing"."""
    return frozenset(Loader().load_service_model(service, "service-2")["operations"])


@functools.lru_cache(maxsize=1)
def signing_names() -> frozenset[str]:
    """Names of AWS services, from the folders botocore ships: no model is read."""
    return frozenset(Loader().list_available_services("service-2"))
