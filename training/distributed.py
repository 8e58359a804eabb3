"""Several hosts as one: who does what, and how they exchange it. With one host there is no process group at all."""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from training.errors import TrainingError
from training.host import Host

T = TypeVar("T")
Shared = TypeVar("Shared", Sequence[Any], torch.Tensor)
TIMEOUT = timedelta(minutes=30)  # for all hosts to appear, and for the slowest to finish its share of a stage


@dataclass(frozen=True)
class Group:
    """The processes of the job; `rank` counts from 0. Every method is a meeting point: all ranks must call it."""

    rank: int = 0
    world: int = 1

    def share(self, items: Shared) -> Shared:
        """This rank's part of `items`: every `world`-th. No meeting point."""
        return items[self.rank :: self.world]

    def gather(self, value: T) -> list[T]:
        """Every rank's `value`, by rank, on every rank: something that JSON can say, in JSON's own types."""
        if self.world == 1:
            return [value]
        own = json.dumps(value).encode()
        return [json.loads(self._bytes_of(rank, own)) for rank in range(self.world)]

    def from_first(self, value: bytes | None) -> bytes | None:
        """Rank 0's `value` on every rank."""
        if self.world == 1:
            return value
        return self._bytes_of(0, value or b"") if self.agree(value is not None) else None

    def _bytes_of(self, source: int, own: bytes) -> bytes:
        """The `own` of one rank. Not by torch's way of sending objects, which unpickles whatever another host says."""
        size = torch.tensor([len(own)])
        dist.broadcast(size, src=source)
        box = np.frombuffer(own, np.uint8).copy() if self.rank == source else np.empty(int(size), np.uint8)
        if len(box):
            dist.broadcast(torch.from_numpy(box), src=source)
        return box.tobytes()

    def agree(self, value: bool) -> bool:
        """Rank 0's `value` on every rank."""
        if self.world == 1:
            return value
        box = torch.tensor([value])
        dist.broadcast(box, src=0)
        return bool(box.item())

    def gather_rows(self, own: npt.NDArray[np.float32], total: int) -> npt.NDArray[np.float32]:
        """float32 [total, ...] from each rank's `share` of the rows."""
        if self.world == 1:
            return own
        whole = np.empty((total, *own.shape[1:]), dtype=np.float32)
        for rank in range(self.world):
            part = own if rank == self.rank else np.empty_like(whole[rank :: self.world])
            if len(part):
                dist.broadcast(torch.from_numpy(part), src=rank)
            whole[rank :: self.world] = part
        return whole

    def require_same(self, digest: str, what: str) -> None:
        """Raises TrainingError on every rank unless all have the same `digest`."""
        digests = self.gather(digest)
        odd = [str(rank) for rank, other in enumerate(digests) if other != digests[0]]
        if odd:
            raise TrainingError(f"the hosts disagree about {what}: rank {', '.join(odd)} differs from rank 0")

    def averaging(self, module: nn.Module) -> nn.Module:
        """`module` whose gradients are the mean over the ranks after each backward pass."""
        if self.world == 1:
            return module
        # There are none. But without this the gradients are laid out anew after the first step, which changes the order
        # in which three or more ranks are added up, and so the last bits of a run that goes on from a checkpoint.
        # (torch warns once that there are none; the traversal it fears costs nothing beside a convolution.)
        # The buffers are batch norm's statistics, which stand still: there is nothing to send round at each step.
        return DistributedDataParallel(module, find_unused_parameters=True, broadcast_buffers=False)


def apart(module: nn.Module) -> contextlib.AbstractContextManager[None]:
    """In this block the gradients of what `Group.averaging` gave are only summed here, not yet averaged. No meeting
    point: the averaging is left to the next pass outside of it."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else contextlib.nullcontext()


def device_of(host: Host) -> torch.device:
    """The GPU of this process, by its number on the host, or the CPU where there is none.

    Raises TrainingError when the host runs more processes than it has GPUs.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if host.local_rank >= torch.cuda.device_count():
        raise TrainingError(
            f"LOCAL_RANK {host.local_rank}: this host has {torch.cuda.device_count()} GPUs; start one process for each"
        )
    torch.cuda.set_device(host.local_rank)  # nccl takes the current one
    return torch.device("cuda", host.local_rank)


@contextlib.contextmanager
def joined(host: Host) -> Iterator[Group]:
    """The job's group for the time of the block. Raises TrainingError when the hosts do not find or lose each other."""
    if host.world == 1:
        yield Group()
        return
    name, port = host.address
    # gloo would else listen on whatever address the host's own name resolves to.
    interface = os.environ.get("SM_NETWORK_INTERFACE_NAME")
    if interface:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
    try:
        # What lies in a GPU's memory goes by nccl, everything else by gloo.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(
            backend, init_method=f"tcp://{name}:{port}", rank=host.rank, world_size=host.world, timeout=TIMEOUT
        )
        try:
            yield Group(host.rank, host.world)
        finally:
            dist.destroy_process_group()
    except dist.DistError as error:
        raise TrainingError(_lost(error)) from error
    except RuntimeError as error:
        if "gloo" not in str(error).lower():  # gloo raises plain RuntimeErrors, as the rest of torch does
            raise
        raise TrainingError(_lost(error)) from error


def _lost(error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return f"another host of the job is not there or has ended; its own log says why ({reason})"
