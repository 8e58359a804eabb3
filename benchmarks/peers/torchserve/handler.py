"""The engine as a TorchServe handler."""

from typing import Any

from benchmarks.peers import engine

_loaded: list[engine.Engine] = []


def handle(data: list[dict[str, Any]] | None, _: Any) -> list[dict[str, Any]] | None:
    """The likeliest classes of each request's picture; TorchServe calls it once without data, to load."""
    if not _loaded:
        _loaded.append(engine.load(engine.settings()))
    if data is None:
        return None
    inputs = [_loaded[0].decode(bytes(one["body"])) for one in data]
    return engine.answers(_loaded[0].infer(inputs))
