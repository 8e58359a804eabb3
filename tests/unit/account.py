"""An account for a state machine to act in: what the worlds of the walked machines have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Account:
    """Answers a machine's calls by its methods `do_ACTION`, and remembers them.

    `fail` names calls (`sagemaker__createModel`) and what they answer or raise instead. A list there is used up call by
    call, None meaning the ordinary answer.
    """

    def __init__(self, **fail: Any) -> None:
        self.fail = {
            name.replace("__", ":"): list(answer) if isinstance(answer, list) else answer
            for name, answer in fail.items()
        }
        self.requests: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, call: str, arguments: dict[str, Any]) -> Any:
        self.requests.append((call, arguments))
        answer = self.fail.get(self.known_as(call, arguments))
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else None
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return answer
        method: Callable[[dict[str, Any]], Any] = getattr(self, "do_" + call.partition(":")[2].partition(".")[0])
        return method(arguments)

    def known_as(self, call: str, arguments: dict[str, Any]) -> str:
        """The call's name in `fail`."""
        return call

    @property
    def calls(self) -> list[str]:
        """The names of the calls that were made, in order."""
        return [call for call, _ in self.requests]

    def arguments(self, call: str, number: int = 0) -> dict[str, Any]:
        """What the first (or a later) such call was given."""
        return [arguments for made, arguments in self.requests if made == call][number]
