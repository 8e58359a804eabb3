"""Ray Serve: a replica a core, Serve's flags for throughput, and the model in a thread, which these flags ask for."""

import asyncio
import os
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from benchmarks.peers import engine


@serve.deployment(
    num_replicas=engine.settings().workers,
    ray_actor_options={"num_cpus": engine.settings().cores},
    max_ongoing_requests=32,
)
class Race:
    """The engine as a deployment."""

    def __init__(self) -> None:
        self.engine = engine.load(engine.settings())
        self.pool = ThreadPoolExecutor(1)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """A picture's likeliest classes."""
        data = await request.body()
        return await asyncio.get_running_loop().run_in_executor(self.pool, self.predict, data)

    def predict(self, data: bytes) -> dict[str, Any]:
        """The whole work on a picture."""
        return engine.answers(self.engine.infer([self.engine.decode(data)]))[0]


if __name__ == "__main__":
    os.environ |= {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    ray.init(
        num_cpus=engine.CORES,
        include_dashboard=False,
        object_store_memory=100_000_000,
        _temp_dir=tempfile.gettempdir(),  # its sockets' names may have 107 letters
    )
    serve.start(http_options={"host": "127.0.0.1", "port": engine.settings().port})
    serve.run(Race.bind(), route_prefix="/invocations")  # type: ignore[attr-defined]
    signal.pause()
