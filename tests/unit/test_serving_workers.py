"""What the container does with requests that come together or again: its threads and its memory, in this process."""

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from serving.errors import Problem
from serving.explain import NotExplained
from serving.manifest import read_manifest
from serving.model import Model, Outcome
from serving.remembered import Remembered
from serving.workers import Workers
from tests.tiny_model import write_model_directory


class TestRemembered:
    def test_what_failed_is_tried_again(self) -> None:
        async def twice() -> tuple[list[str], bytes]:
            remembered, tried = Remembered(2), []

            async def compute() -> bytes:
                tried.append("tried")
                if len(tried) == 1:
                    raise RuntimeError("the first time")
                return b"well"

            with pytest.raises(RuntimeError):
                await remembered.answer("a", compute)
            return tried, await remembered.answer("a", compute)

        assert asyncio.run(twice()) == (["tried", "tried"], b"well")

    def test_one_that_comes_while_the_first_is_inside_joins_it_and_the_oldest_is_forgotten(self) -> None:
        async def ask() -> list[str]:
            remembered, computed = Remembered(2), []

            def compute(name: str) -> Callable[[], Awaitable[bytes]]:
                async def answer() -> bytes:
                    await asyncio.sleep(0)
                    computed.append(name)
                    return name.encode()

                return answer

            both = await asyncio.gather(*[remembered.answer("a", compute("a")) for _ in range(2)])
            assert both == [b"a", b"a"]
            for name in ("b", "c", "a"):
                await remembered.answer(name, compute(name))
            return computed

        assert asyncio.run(ask()) == ["a", "b", "c", "a"]


class TestBatches:
    def test_what_waits_is_taken_together_and_shared_among_the_threads(self) -> None:
        # given a model that is faster by fours, and eleven pictures that wait while two threads are busy
        model = _Slow(batch=4)

        async def ask() -> list[Outcome]:
            workers = Workers(cast(Model, model), threads=2)
            first = [workers.predict(b"0"), workers.predict(b"1")]
            while model.entered < 2:
                await asyncio.sleep(0.001)
            rest = [workers.predict(b"%d" % n) for n in range(2, 13)]
            model.go.set()
            found = await asyncio.gather(*first, *rest)
            workers.stop()
            return found

        outcomes = asyncio.run(ask())

        # then each has its own answer, and none waited for company
        assert [float(outcome.logits[0]) for outcome in outcomes] == list(range(13))
        assert sum(model.sizes) == 13
        assert (model.sizes.count(1) >= 2, max(model.sizes)) == (True, 4)
        assert {"queue", "decode", "model"} == set(outcomes[5].timing_ms)

    def test_a_heat_map_that_fails_spoils_no_other_picture_of_its_batch(self) -> None:
        # given a network that cannot be explained, and three pictures that wait together
        model = _Slow(batch=4)

        async def ask() -> list[Outcome | BaseException]:
            workers = Workers(cast(Model, model), threads=1)
            first = workers.predict(b"0")
            while model.entered < 1:
                await asyncio.sleep(0.001)
            rest = [workers.predict(b"%d" % n, explain=n == 1) for n in (1, 2, 3)]
            model.go.set()
            found = await asyncio.gather(first, *rest, return_exceptions=True)
            workers.stop()
            return found

        _, explained, *others = asyncio.run(ask())

        assert model.sizes == [1, 3]
        assert isinstance(explained, Problem)
        assert explained.slug == "not-explained"
        assert [float(one.logits[0]) for one in others if isinstance(one, Outcome)] == [2, 3]

    def test_only_a_picture_that_is_alone_and_comes_in_quiet_times_may_have_all_cores(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # given pictures one after the other, then two at once, then one by one again: too soon, and when it is quiet
        monkeypatch.setattr("serving.workers.QUIET_SECONDS", 3600)
        model = _Slow(batch=1)
        model.go.set()

        async def ask() -> None:
            workers = Workers(cast(Model, model), threads=2)
            await workers.predict(b"0")
            await workers.predict(b"1")
            await asyncio.gather(workers.predict(b"2"), workers.predict(b"3"))
            await workers.predict(b"4")
            monkeypatch.setattr("serving.workers.QUIET_SECONDS", 0)
            await workers.predict(b"5")
            workers.stop()

        asyncio.run(ask())
        assert model.lone[:2] == [True, True]
        assert not all(model.lone[2:4])
        assert model.lone[4:] == [False, True]

    def test_batches_are_no_longer_than_allowed_and_one_core_has_nothing_to_share(self, tmp_path: Path) -> None:
        model = Model(read_manifest(write_model_directory(tmp_path / "model")), threads=1)
        model.warm(batch_ms=0)
        assert (model.batch, model.shares_cores) == (1, False)

    @pytest.mark.parametrize(("batch", "lone"), [(1, False), (1, True), (2, False), (4, False)])
    def test_each_graph_gives_what_the_others_give(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, lone: bool
    ) -> None:
        # given that every graph is worth its memory
        monkeypatch.setattr("serving.model.BATCH_WORTH", math.inf)
        monkeypatch.setattr("serving.model.WHOLE_WORTH", math.inf)
        monkeypatch.setattr("serving.model.BATCHES", (batch,))
        manifest = read_manifest(write_model_directory(tmp_path / "model"))
        pixels = np.random.default_rng(1).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
        plain, model = Model(manifest, threads=2), Model(manifest, threads=2)
        model.warm(batch_ms=math.inf)
        assert (model.batch, model.shares_cores) == (batch, True)
        np.testing.assert_allclose(model.logits(pixels, lone=lone), plain.logits(pixels), atol=1e-5)


class _Slow:
    """A model whose logit is the number that the picture is; it waits until it may go."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.entered = 0
        self.go = threading.Event()
        self.sizes: list[int] = []
        self.lone: list[bool] = []

    def decode(self, data: bytes) -> np.ndarray:
        return np.array([int(data)], dtype=np.uint8)

    def heat_map(self, pixels: np.ndarray, index: int) -> bytes:
        raise NotExplained("no map")

    def logits(self, pixels: np.ndarray, *, lone: bool) -> np.ndarray:
        self.entered += 1
        self.lone.append(lone)
        assert self.go.wait(10)
        self.sizes.append(len(pixels))
        return pixels.astype(np.float32)
