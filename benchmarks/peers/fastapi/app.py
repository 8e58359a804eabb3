"""FastAPI: a process a core behind one socket (`uvicorn --workers`), the model in a thread, so that reading goes on.

With all cores for one picture it is one process, which answers a single caller soonest.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvicorn
from fastapi import FastAPI, Request

from benchmarks.peers import engine

app = FastAPI()
pool = ThreadPoolExecutor(1)
state: dict[str, engine.Engine] = {}


@app.post("/invocations")  # type: ignore[untyped-decorator]
async def invocations(request: Request) -> dict[str, Any]:
    """A picture's bytes, its likeliest classes."""
    data = await request.body()
    return await asyncio.get_running_loop().run_in_executor(pool, predict, data)


def predict(data: bytes) -> dict[str, Any]:
    """The whole work on a picture."""
    made = state["engine"]
    return engine.answers(made.infer([made.decode(data)]))[0]


if __name__ == "__main__":
    wanted = engine.settings()
    uvicorn.run(
        "benchmarks.peers.fastapi.app:app",
        port=wanted.port,
        workers=wanted.workers,
        access_log=False,
        log_level="error",
        timeout_worker_healthcheck=60,  # importing torch may take longer than its five seconds
    )
else:
    state["engine"] = engine.load(engine.settings())
