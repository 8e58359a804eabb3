"""What the environment says, read once at the start."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serving.manifest import PRECISIONS

MAX_TOP_K = 1000


@dataclass(frozen=True)
class Settings:
    """How this server runs.

    threads     batches worked on at a time (SERVING_THREADS; default: the cores it may use)
    capacity    pictures inside at a time, waiting ones too; more get 503 (SERVING_CAPACITY)
    batch_ms    the longest that the model may be busy with one batch, in milliseconds: what a picture may lose by being
                taken together with others (SERVING_BATCH_MS; 0: one picture at a time)
    remembered  answers kept for requests that come again (SERVING_REMEMBERED; 0: none)
    precision   int8, bf16 or f32 in place of the precision that training chose (SERVING_PRECISION); "" where none is
                wanted. Only one that the model was validated in is served
    top_k       classes in an answer to a request that asks for no number (SERVING_TOP_K)
    transform   a batch transform asks: a bad picture is a line among its results (SAGEMAKER_BATCH)
    sample      share of the pictures of which the log tells what drift is told by (SERVING_SAMPLE; 0: none). A batch
                transform has none: what it asks about is not the endpoint's traffic
    drain       seconds during which a stopping server still takes requests, while /ping says no (SERVING_DRAIN_SECONDS)
    """

    model_dir: Path
    host: str
    port: int
    threads: int
    capacity: int
    batch_ms: float
    remembered: int
    precision: str
    top_k: int
    transform: bool
    sample: float
    drain: float


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from `environ`. Raises ValueError naming the variable."""
    port = "PORT" if environ.get("PORT") else "SAGEMAKER_BIND_TO_PORT"
    precision = environ.get("SERVING_PRECISION", "")
    if precision and precision not in PRECISIONS:
        raise ValueError(f"SERVING_PRECISION: {precision!r} is none of {', '.join(PRECISIONS)}")
    threads = int(_number(environ, "SERVING_THREADS", cores(), 1, 256))
    transform = environ.get("SAGEMAKER_BATCH", "").lower() == "true"
    return Settings(
        model_dir=Path(environ.get("MODEL_DIR") or "/opt/ml/model"),
        host=environ.get("HOST") or "0.0.0.0",  # noqa: S104 - a container is reached from outside itself
        port=int(_number(environ, port, 8080, 0, 65535)),
        threads=threads,
        capacity=int(_number(environ, "SERVING_CAPACITY", max(64, 16 * threads), 1, 100_000)),
        batch_ms=_number(environ, "SERVING_BATCH_MS", 100, 0, 10_000),
        remembered=int(_number(environ, "SERVING_REMEMBERED", 1024, 0, 1_000_000)),
        precision=precision,
        top_k=int(_number(environ, "SERVING_TOP_K", 5, 1, MAX_TOP_K)),
        transform=transform,
        sample=0.0 if transform else _number(environ, "SERVING_SAMPLE", 0, 0, 1),
        drain=_number(environ, "SERVING_DRAIN_SECONDS", 0.5, 0, 20),
    )


def _number(environ: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    text = environ.get(name, "")
    try:
        value = float(text) if text else float(default)
    except ValueError:
        raise ValueError(f"{name}: {text!r} is not a number") from None
    if not low <= value <= high:
        raise ValueError(f"{name}: {text} is not between {low} and {high}")
    return value


def cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores this process may use: by affinity, and by the container's CPU quota where there is one."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        allowed, period = quota.read_text(encoding="ascii").split()
        count = min(count, math.ceil(int(allowed) / int(period)))
    except (OSError, ValueError):  # no such file, or "max": no quota
        pass
    return max(1, count)
