"""Parts without a server: `python -m benchmarks.parts.compute_alone MODEL PICTURES SECONDS PRECISION...`.

Prints JSON: pictures a second that all cores decode (a thread a core, as ours does), and that the graph alone computes
on all cores in each precision: by the number of streams and the batch size, the best of which is what the machine can.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from openvino import properties
from openvino.properties import hint

from serving.manifest import Manifest, read_manifest

CORES = len(os.sched_getaffinity(0))
# (streams, pictures in a batch): each core for itself, or all of them on one batch
WAYS = ((CORES, 1), (CORES, 4), (CORES, 8), (1, 1), (1, 8), (1, 16))


def rate(workers: list[Callable[[], int]], seconds: float) -> float:
    """Pictures a second of `workers`, each in a thread of its own; each call says how many pictures it did."""
    done = [0] * len(workers)
    ends = 0.0

    def work(number: int) -> None:
        while time.perf_counter() < ends:
            done[number] += workers[number]()

    for worker in workers:
        worker()  # warm
    began = time.perf_counter()
    ends = began + seconds
    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - began)


def decoding(manifest: Manifest, pictures: list[bytes], seconds: float) -> float:
    """JPEG bytes to the model's input."""

    def worker() -> int:
        for picture in pictures:
            manifest.preprocess(picture)
        return len(pictures)

    return rate([worker] * CORES, seconds)


def computing(manifest: Manifest, precision: str, way: tuple[int, int], seconds: float) -> float:
    """The graph alone."""
    streams, batch = way
    wanted = manifest.precisions[precision]
    core, side = openvino.Core(), manifest.preprocess.size
    graph = core.read_model(*(manifest.directory / name for name in wanted.graph))
    graph.reshape([batch, side, side, 3])
    settings: dict[Any, Any] = {
        hint.performance_mode(): hint.PerformanceMode.THROUGHPUT,
        properties.num_streams(): streams,
        properties.inference_num_threads(): CORES,
        hint.inference_precision(): wanted.arithmetic,
    }
    compiled = core.compile_model(graph, "CPU", settings)
    pixels = np.random.default_rng(1).integers(0, 256, (batch, side, side, 3), np.uint8)

    def worker(request: Any) -> Callable[[], int]:
        def once() -> int:
            request.infer(pixels, share_inputs=True, share_outputs=True)
            return batch

        return once

    return rate([worker(compiled.create_infer_request()) for _ in range(streams)], seconds)


def main(model: str, folder: str, seconds: str, *precisions: str) -> None:
    """Measure and print."""
    manifest = read_manifest(model)
    pictures = [path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))]
    alone = {
        name: {
            f"{streams} streams, batches of {batch}": computing(manifest, name, (streams, batch), float(seconds))
            for streams, batch in dict.fromkeys(WAYS)
        }
        for name in precisions
    }
    print(json.dumps({"decode": decoding(manifest, pictures, 2 * float(seconds)), "model": alone}))


if __name__ == "__main__":
    main(*sys.argv[1:])
