"""The frozen network over many files, as fast as this machine can: by torch on its GPU, else by OpenVINO on its CPU.

Each machine has an exact way, f32, which is what serving computes by default and what everything is judged by; and,
where it calculates in 16 bits natively, a fast one, which is taken for training views once it has been seen to agree.
"""

import copy
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch.utils.data import DataLoader

from training.backbones import Backbone
from training.tensors import Batch, Floats, normalised

BATCH = 128  # views, on a GPU
# A bf16 number has 8 significant bits, so a step of the network is off by up to 0.4 %, and steps add up: on photographs
# EfficientNet-lite0 was off by 3 % in the mean and 5 % at worst, lite2 by 3 and 9 %. A cosine of 0.99 is 14 %; more is
# no rounding any more (numbers beyond the range of f16, a kernel at fault).
MOST_ERROR = 0.14
_REDUCED = {"bf16": torch.bfloat16, "f16": torch.float16}


@dataclass(frozen=True)
class Outcome:
    """What one file gave; it travels between processes and hosts, the features themselves do so apart.

    bad   (kind, reason) of a file that cannot be used
    """

    sha256: str
    bad: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decoded:
    """A file that was read. `views`: uint8 [views, size, size, 3]; None where there is nothing to compute."""

    outcome: Outcome
    views: Batch | None = None


class Files(Protocol):
    """Files to be read, `count` views of each. They may be read in any order, in other threads and processes."""

    @property
    def count(self) -> int:
        """Views of a file."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, position: int) -> Decoded: ...


class Network(Protocol):
    """A frozen network on one kind of processor. `name` tells where and in which precision it calculates."""

    @property
    def name(self) -> str:
        """Such as "openvino f32"."""
        ...

    def features(self, batch: Batch) -> Floats:
        """float32 [n, features] of uint8 [n, size, size, 3]."""
        ...

    def run(self, files: Files) -> Iterator[tuple[Outcome, Floats | None]]:
        """Every file's outcome and features [views, features], in their order, all cores decoding."""
        ...


class OnTorch:
    """By torch, in batches of several files: the way on a GPU. It runs on a CPU as well, where it is slow."""

    def __init__(self, backbone: Backbone, device: torch.device, precision: str, processes: int) -> None:
        """precision: f32, bf16 or f16. processes: how many decode; 0 for the caller alone."""
        torch.backends.cudnn.allow_tf32 = False  # f32 is to mean f32
        self.name = f"torch {precision} on {device.type}"
        self._backbone, self._device, self._processes = backbone, device, processes
        self._reduced = _REDUCED.get(precision)
        # A copy: the original goes on to be exported from the CPU.
        module: Any = copy.deepcopy(backbone.module)
        self._module = module.to(device, memory_format=torch.channels_last)

    def features(self, batch: Batch) -> Floats:
        """float32 [n, features] of uint8 [n, size, size, 3]."""
        return _Sent(self._compute(torch.from_numpy(batch))).received()

    def run(self, files: Files) -> Iterator[tuple[Outcome, Floats | None]]:
        """Every file's outcome and features [views, features], in their order.

        Processes decode, because Python's threads would wait for each other; the GPU works on one batch while the next
        is sent to it.
        """
        waiting: list[tuple[list[tuple[Outcome, bool]], _Sent | None]] = []
        for read, batch in self.batches(files):
            waiting.append((read, _Sent(self._compute(batch)) if len(batch) else None))
            if len(waiting) > 1:
                yield from _dealt(*waiting.pop(0), files.count)
        for last in waiting:
            yield from _dealt(*last, files.count)

    def batches(self, files: Files) -> Iterator[tuple[list[tuple[Outcome, bool]], torch.Tensor]]:
        """The files in their order, decoded: the outcome of each and whether it has views, and all views together."""
        yield from DataLoader(
            cast("Any", files),
            max(1, BATCH // files.count),
            num_workers=self._processes,
            multiprocessing_context="fork" if self._processes else None,
            worker_init_fn=_may_be_ended,
            collate_fn=_collated,
            pin_memory=self._device.type == "cuda",
            generator=torch.Generator(),  # its own, which nobody draws from: the job's must not move
        )

    def _compute(self, batch: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), torch.autocast(self._device.type, self._reduced, enabled=bool(self._reduced)):
            pixels = normalised(batch, self._backbone.preprocess, self._device)
            found: torch.Tensor = self._module(pixels)
            return found.float()


class _Sent:
    """Features on their way from the device."""

    def __init__(self, found: torch.Tensor) -> None:
        self._host = found.to("cpu", non_blocking=True)
        self._done = torch.cuda.current_stream().record_event() if found.is_cuda else None

    def received(self) -> Floats:
        """float32 [n, features], once they are there."""
        if self._done:
            self._done.synchronize()
        found: Floats = self._host.numpy()
        return found


def _may_be_ended(_worker: int) -> None:
    """The programs block SIGTERM for a thread that waits for it (`training.stopping`), which a process has not."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _collated(files: list[Decoded]) -> tuple[list[tuple[Outcome, bool]], torch.Tensor]:
    """The outcomes, each with whether the file has views, and all views together."""
    found = [one.views for one in files if one.views is not None]
    batch = torch.from_numpy(np.concatenate(found)) if found else torch.empty(0, dtype=torch.uint8)
    return [(one.outcome, one.views is not None) for one in files], batch


def _dealt(read: list[tuple[Outcome, bool]], sent: _Sent | None, count: int) -> Iterator[tuple[Outcome, Floats | None]]:
    rows = sent.received() if sent else np.empty((0, 0), np.float32)
    place = 0
    for outcome, has_views in read:
        yield outcome, rows[place : place + count] if has_views else None
        place += count if has_views else 0


def on_cores(
    files: Files, threads: int, begin: Callable[[], Callable[[Batch], Floats]]
) -> Iterator[tuple[Outcome, Floats | None]]:
    """`Network.run` with a core per thread, which decodes a file and computes it. `begin` makes a thread's own network.

    Both give the interpreter free for nearly all of their time, the network's being most of it.
    """
    local = threading.local()

    def one(position: int) -> tuple[Outcome, Floats | None]:
        decoded = files[position]
        if decoded.views is None:
            return decoded.outcome, None
        if not hasattr(local, "compute"):
            local.compute = begin()
        return decoded.outcome, local.compute(decoded.views)

    with ThreadPoolExecutor(threads, thread_name_prefix="features") as pool:
        yield from pool.map(one, range(len(files)))


def networks(backbone: Backbone, device: torch.device, threads: int) -> tuple[Network, Network | None]:
    """This machine's exact way and, if it has one, its fast way. `threads`: cores to decode with, and to compute with
    where there is no GPU."""
    if device.type == "cpu":
        from training.engine import on_cpu  # noqa: PLC0415 - a GPU's machine needs no OpenVINO to compute features

        return on_cpu(backbone, threads)
    half = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "f16"  # which older GPUs have
    return OnTorch(backbone, device, "f32", threads), OnTorch(backbone, device, half, threads)


def worst_error(found: Floats, exact: Floats) -> float:
    """Of the pictures' features [n, features]: how far off the worst are, relative to their length."""
    errors = np.linalg.norm(found - exact, axis=1) / np.maximum(np.linalg.norm(exact, axis=1), 1e-12)
    return float(errors.max())


def evenly(count: int, most: int) -> Sequence[int]:
    """Up to `most` of `count` positions, spread evenly."""
    return sorted({int(n) for n in np.linspace(0, count - 1, min(count, most))}) if count else []
