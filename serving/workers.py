"""The threads that decode and predict, one for each core. They take together what waits together.

Nothing ever waits for company: a thread that has nothing to do takes what is there, its share of a longer queue, at
most a batch of the model. So a lone picture is not late for others' sake (in quiet times it even has all cores), and a
full queue gets the speed of batches.
"""

import asyncio
import queue
import threading
import time
from dataclasses import dataclass, field

import numpy as np

from serving.errors import Problem
from serving.explain import NotExplained
from serving.model import Logits, Model, Outcome
from serving.preprocess import RGB
from serving.sampled import look

# A picture on all cores takes more of them in total, and the next one finds none free. So none has them all until, for
# as long as this, no two were inside at once: near the server's limit that lengthens the tail (decision 10).
QUIET_SECONDS = 0.25


@dataclass
class Job:
    """A picture on its way. `answer` is the event loop's, the rest a worker's.

    explain   a heat map is wanted; sample: what the log keeps of a sampled picture
    """

    data: bytes
    explain: bool
    sample: bool
    answer: "asyncio.Future[Outcome]"
    since: float = field(default_factory=time.perf_counter)
    timing_ms: dict[str, float] = field(default_factory=dict)
    pixels: RGB | None = None
    came: Outcome | Exception | None = None

    def decode(self, model: Model) -> None:
        """Fills `pixels`, or `came` with what is wrong."""
        started = time.perf_counter()
        self.timing_ms["queue"] = (started - self.since) * 1e3
        try:
            self.pixels = model.decode(self.data)
        except Exception as error:  # whoever asked gets it
            self.came = error
        self.timing_ms["decode"] = (time.perf_counter() - started) * 1e3

    def finish(self, model: Model, logits: Logits, model_ms: float) -> None:
        """Fills `came`."""
        self.timing_ms["model"] = model_ms
        looks = look(self.pixels) if self.sample and self.pixels is not None else None
        heat_map = b""
        if self.explain and self.pixels is not None:
            started = time.perf_counter()
            try:
                heat_map = model.heat_map(self.pixels, int(logits.argmax()))
            except Exception as error:  # of this picture alone: those that were taken with it want no map
                self.came = Problem("not-explained", str(error)) if isinstance(error, NotExplained) else error
                return
            self.timing_ms["explain"] = (time.perf_counter() - started) * 1e3
        self.came = Outcome(logits, heat_map, self.timing_ms, looks)

    def tell(self) -> None:
        """Hands `came` to whoever waits; on the event loop."""
        if self.answer.cancelled():
            return
        if isinstance(self.came, Outcome):
            self.answer.set_result(self.came)
        else:
            self.answer.set_exception(self.came or RuntimeError("a picture came to nothing"))


class Workers:
    """`threads` of them, for one event loop; `stop` ends them when what waits is done."""

    def __init__(self, model: Model, threads: int) -> None:
        self._model = model
        self._loop = asyncio.get_running_loop()
        self._waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._inside = 0  # pictures that have no answer yet; counted on the event loop
        self._crowded = -QUIET_SECONDS  # when last there was more than one; the loop's, on perf_counter's clock
        self._threads = [threading.Thread(target=self._work, name=f"predict-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def predict(self, data: bytes, *, explain: bool = False, sample: bool = False) -> "asyncio.Future[Outcome]":
        """What the model says of a picture. The future raises `BadImage`."""
        job = Job(data, explain, sample, self._loop.create_future())
        self._inside += 1
        if self._inside > 1:
            self._crowded = job.since
        self._waiting.put(job)
        return job.answer

    def stop(self) -> None:
        """Ends the threads, after what they have been given."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            jobs = self._with_others(first)
            self._run(jobs)
            self._loop.call_soon_threadsafe(self._tell, jobs)

    def _with_others(self, first: Job) -> list[Job]:
        jobs = [first]
        share = -(-(self._waiting.qsize() + 1) // len(self._threads))
        while len(jobs) < min(share, self._model.batch):
            try:
                job = self._waiting.get_nowait()
            except queue.Empty:
                break
            if job is None:  # meant for a thread that stops
                self._waiting.put(None)
                break
            jobs.append(job)
        return jobs

    def _run(self, jobs: list[Job]) -> None:
        """Fills `came` of each; a picture that fails spoils no other."""
        for job in jobs:
            job.decode(self._model)
        good = [job for job in jobs if job.came is None]
        try:
            started = time.perf_counter()
            pixels = [job.pixels for job in good if job.pixels is not None]
            lone = self._inside == 1 and started - self._crowded >= QUIET_SECONDS
            logits = self._model.logits(np.stack(pixels), lone=lone) if pixels else ()
            spent = (time.perf_counter() - started) * 1e3
            for job, row in zip(good, logits, strict=True):
                job.finish(self._model, row, spent)
        except Exception as error:  # whoever asked gets it
            for job in good:
                job.came = job.came or error

    def _tell(self, jobs: list[Job]) -> None:
        for job in jobs:
            self._inside -= 1
            job.tell()
