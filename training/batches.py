"""Pictures from their files, batch by batch, for training on the pictures themselves."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from serving.preprocess import Preprocess
from training.data import Picture, quoted
from training.errors import TrainingError
from training.pictures import Pixels, read
from training.tensors import Batch

View = Callable[[Picture, Pixels], Pixels]


@dataclass(frozen=True)
class Reader:
    """Decodes pictures in the threads of `pool`."""

    pool: ThreadPoolExecutor
    preprocess: Preprocess

    def views(self, pictures: Sequence[Picture], batches: Sequence[torch.Tensor], view: View) -> Iterator[Batch]:
        """uint8 [n, size, size, 3] for each of `batches`, which hold positions in `pictures`: a `view` of each.

        The next batch is decoded while one is worked on. Raises TrainingError for a picture that is gone.
        """
        waiting: list[list[Future[Pixels]]] = []
        for batch in batches:
            waiting.append([self.pool.submit(self._one, pictures[position], view) for position in batch.tolist()])
            if len(waiting) > 1:
                yield self._stacked(waiting.pop(0))
        yield from map(self._stacked, waiting)

    def _one(self, picture: Picture, view: View) -> Pixels:
        reading = read(picture, self.preprocess)
        if reading.pixels is None:
            raise TrainingError(f"{quoted(picture.name)} cannot be read any more: {reading.reason}")
        return view(picture, reading.pixels)

    def _stacked(self, futures: list[Future[Pixels]]) -> Batch:
        size = self.preprocess.size
        if not futures:  # the share of a rank in a last, small batch
            return np.zeros((0, size, size, 3), dtype=np.uint8)
        return np.stack([future.result() for future in futures])
