"""`python -m serving [serve]`: the process a SageMaker endpoint, or the embedded one, starts.

It listens at once, answers /ping with 503 until the model is verified, compiled and warm, and refuses to live (exit 1,
one line on standard error) with a model it cannot vouch for. SIGTERM: /ping says no, requests are still taken for a
moment so that callers can turn elsewhere, then what is inside is finished, and the exit status is 0.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator

import uvicorn
import uvloop

from serving.app import App
from serving.log import set_up_logging
from serving.manifest import Manifest, ModelRefused, read_manifest
from serving.model import Model
from serving.settings import Settings, read_settings

LOG = logging.getLogger("serving")
FINISH_SECONDS = 25  # SIGKILL comes 30 seconds after SIGTERM
IDLE_SECONDS = 75  # longer than a router keeps its connections, so that the router is the one to close them


class Server(uvicorn.Server):
    """uvicorn, but for signals: its own way is to stop listening at once and to die of the signal in the end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to `serve`."""
        yield


def main(argv: list[str]) -> int:
    """Runs the server until it is told to stop; the exit status."""
    if argv not in ([], ["serve"]):
        print(f"error: {' '.join(argv)!r} is not understood; the only argument is serve", file=sys.stderr)
        return 2
    set_up_logging()
    try:
        settings = read_settings(os.environ)
        manifest = read_manifest(settings.model_dir)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, manifest))
    except (ModelRefused, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


async def serve(settings: Settings, manifest: Manifest) -> None:
    """Serves until SIGTERM or SIGINT. Raises `ModelRefused` when the model turns out not to load."""
    app = App(settings)
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=FINISH_SECONDS,
    )
    server = Server(config)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if not app.stopping:
            inside = app.invocations.inside if app.invocations else 0
            LOG.info("stopping", extra={"facts": {"inside": inside}})
        app.stopping = True
        loop.call_later(settings.drain, setattr, server, "should_exit", True)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    listener = _listen(settings)
    LOG.info("listening", extra={"facts": {"port": listener.getsockname()[1], "threads": settings.threads}})
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        app.start(await asyncio.to_thread(_load, settings, manifest))
    finally:
        if app.invocations is None:
            server.should_exit = True
            await serving
    await serving
    app.stop()
    LOG.info("stopped")


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise OSError(f"cannot listen on {settings.host} port {settings.port}: {error.strerror}") from error


def _load(settings: Settings, manifest: Manifest) -> Model:
    started = time.perf_counter()
    model = Model(manifest, settings.threads, settings.precision)
    model.warm(settings.batch_ms)
    wanted, found = settings.precision or manifest.precision, model.precision.name
    if found != wanted:
        LOG.warning("this CPU does not compute in bf16", extra={"facts": {"wanted": wanted, "precision": found}})
    facts = {
        "model": manifest.version,
        "classes": len(manifest.classes),
        "precision": found,
        "batch": model.batch,
        "shares_cores": model.shares_cores,
    }
    LOG.info("ready", extra={"facts": facts | {"seconds": time.perf_counter() - started}})
    return model


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
