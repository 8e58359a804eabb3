"""Answers to requests that come again: a client that tries once more must not make the model work once more."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable


class Remembered:
    """The last `size` answers, those still being computed among them. The same key is the same answer."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._answers: OrderedDict[Hashable, asyncio.Future[bytes]] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._answers

    async def answer(self, key: Hashable, compute: Callable[[], Awaitable[bytes]]) -> bytes:
        """The answer under `key`; `compute` is called only where there is none. What it raises is not remembered."""
        found = self._answers.get(key)
        if found is None:
            found = self._answers[key] = asyncio.ensure_future(compute())
            found.add_done_callback(lambda done: self._forget_failed(key, done))
            while len(self._answers) > self._size:
                self._answers.popitem(last=False)
        else:
            self._answers.move_to_end(key)
        return await asyncio.shield(found)  # one caller that leaves must not take the answer from the others

    def _forget_failed(self, key: Hashable, done: "asyncio.Future[bytes]") -> None:
        if (done.cancelled() or done.exception()) and self._answers.get(key) is done:
            del self._answers[key]
