"""Do the heat maps show what decided? A quarter of a photograph is hidden: the warmest, the coldest, or one by chance.

The default model, trained on 20 breeds, explains its answer to every test photograph; then the same picture is asked
again with a quarter of its places made grey, and what counts is how much of the answer's probability is left. Were the
map no more than decoration, it would not matter which quarter is hidden. A dog stands in the middle of most
photographs, so a fourth quarter is hidden, too: the middle, which needs no map.

Also the time: a heat map beside the answer that it explains, on one thread each.

Needs the development photographs (see `unknown_breeds`); they are not in this repository.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.claims import claim, figure, record, rounded
from benchmarks.unknown_breeds import photographs, pictures_in, trained
from serving.explain import Explainer
from serving.manifest import read_manifest
from serving.model import Model, softmax
from serving.preprocess import RGB

GREY = 127
HIDDEN = 4  # one part in so many
SEED = 4


def hide(pixels: RGB, heat: npt.NDArray[np.float32]) -> RGB:
    """`pixels` [size, size, 3] with the quarter of the places grey where `heat` [height, width] is highest."""
    size = len(pixels)
    order = np.argsort(-heat, axis=None, kind="stable")[: heat.size // HIDDEN]
    chosen = np.zeros(heat.shape, dtype=np.uint8)
    chosen.flat[order] = 255
    mask = np.asarray(Image.fromarray(chosen).resize((size, size), Image.Resampling.NEAREST)) > 0
    hidden = pixels.copy()
    hidden[mask] = GREY
    return hidden


def main() -> int:
    """Measure and record."""
    found = photographs()
    if found is None:
        return 0
    draw = np.random.default_rng(SEED)
    left: dict[str, list[float]] = {name: [] for name in ("warmest", "coldest", "by chance", "the middle")}
    times: dict[str, list[float]] = {"answer": [], "heat map": []}
    with tempfile.TemporaryDirectory(prefix="kennel-bench-") as scratch:
        model = Model(read_manifest(trained(found[0], Path(scratch) / "model")), threads=1)
        explainer = Explainer(model.core, model.manifest.directory / "model.xml", model.manifest.preprocess.size)

        def probabilities(pixels: RGB) -> npt.NDArray[np.float64]:
            return softmax(model.logits(pixels[None])[0], model.precision.temperature)

        for path in pictures_in(found[0] / "test"):
            pixels = model.decode(path.read_bytes())
            started = time.perf_counter()
            whole = probabilities(pixels)
            answered = time.perf_counter()
            best = int(whole.argmax())
            heat = explainer.seen(pixels, best)
            times["answer"].append(answered - started)
            times["heat map"].append(time.perf_counter() - answered)
            across, down = np.meshgrid(*[np.arange(side) - (side - 1) / 2 for side in heat.shape])
            hidden = {
                "warmest": heat,
                "coldest": -heat,
                "by chance": draw.random(heat.shape),
                "the middle": -(across**2 + down**2),
            }
            for name, where in hidden.items():
                left[name].append(float(probabilities(hide(pixels, where))[best] / whole[best]))
    kept = {name: np.array(values) for name, values in left.items()}
    claims = [
        claim("the warmest quarter hidden costs more than the coldest", ">=", 0.9, share(kept, "coldest"), "share"),
        claim(
            "the warmest quarter hidden costs more than one by chance", ">=", 0.75, share(kept, "by chance"), "share"
        ),
        *(figure(f"probability left, hidden: {name}", float(values.mean()), "of 1") for name, values in kept.items()),
    ]
    details = {
        "pictures": len(kept["warmest"]),
        "warmest_costs_more_than_the_middle": share(kept, "the middle"),
        "milliseconds": {name: 1e3 * statistics.median(values) for name, values in times.items()},
    }
    return record("heat_maps", claims, rounded(details))


def share(kept: dict[str, npt.NDArray[np.float64]], other: str) -> float:
    """Of the pictures whose answer loses more with the warmest quarter than with the `other` one."""
    return float((kept["warmest"] < kept[other]).mean())


if __name__ == "__main__":
    sys.exit(main())
