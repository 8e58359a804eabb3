"""The emulator process: MiniStack with our services in it, served on loopback until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from local_aws import durable, internal
from local_aws.processes import reap
from local_aws.settings import ACCOUNT_ID, MINISTACK_VERSION, REGION, STATE_MARK, Paths, autosave_seconds, time_factor

logger = logging.getLogger("local_aws")
# What a stack of this project needs: the rest of MiniStack's 80 services is refused instead of half there.
SERVICES = (
    "account,apigateway,autoscaling,budgets,cloudformation,codebuild,cloudtrail,cloudwatch-logs,dynamodb,ec2,ecr,events,iam,kms,"
    "lambda,logs,monitoring,resource-groups,s3,scheduler,secretsmanager,sns,sqs,ssm,states,sts,tagging,wafv2"
)


def configure(paths: Paths, port: int) -> None:
    """MiniStack's settings: it reads them from the environment when it is imported."""
    for folder in paths.passing:  # a killed one has left them
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (paths.root, paths.ministack, paths.s3, paths.images, *paths.passing):
        folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(
        {
            STATE_MARK: str(paths.root),
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
            "PERSIST_STATE": "1",
            "STATE_DIR": str(paths.ministack),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(paths.s3),
            "SERVICES": os.environ.get("SERVICES", SERVICES),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": "unix:///nonexistent",
            "LAMBDA_WARM_TTL_SECONDS": "60",
            "SFN_WAIT_SCALE": os.environ.get("SFN_WAIT_SCALE", str(1 / time_factor())),
            "TMPDIR": str(paths.tmp),
            "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
        }
    )


class Emulator:
    """MiniStack's ASGI application with our start and end around its own."""

    def __init__(self, paths: Paths, port: int) -> None:
        from ministack import app  # noqa: PLC0415 - only after `configure`

        from local_aws import patches  # noqa: PLC0415
        from local_aws.autoscaling import AutoScaling  # noqa: PLC0415
        from local_aws.codebuild import Builds  # noqa: PLC0415
        from local_aws.ec2_api import EC2  # noqa: PLC0415
        from local_aws.iam import http as iam  # noqa: PLC0415
        from local_aws.query_definitions import QueryDefinitions  # noqa: PLC0415
        from local_aws.sagemaker.api import SageMaker  # noqa: PLC0415
        from local_aws.scaling_loop import ScalingLoop  # noqa: PLC0415
        from local_aws.store import Store  # noqa: PLC0415

        if app._version() != MINISTACK_VERSION:
            raise SystemExit(f"local_aws needs ministack=={MINISTACK_VERSION}, found {app._version()}")
        self.paths = paths
        self.port = port
        self.ministack = app
        self.iam = iam
        self.patches = patches
        self.changed = False
        self._autosaving: asyncio.Task[None] | None = None
        self.sagemaker = SageMaker(paths)
        endpoints = self.sagemaker.store.table("endpoints")
        autoscaling = AutoScaling(paths.root / "autoscaling.db", endpoints)
        queries = Store(paths.root / "queries.db")
        self.stores = (self.sagemaker.store, autoscaling.store, queries)
        self.sagemaker.endpoints.is_scaled = autoscaling.is_scaled
        patches.apply(self.sagemaker, autoscaling, QueryDefinitions(queries))
        self.scaling = ScalingLoop(autoscaling, self.sagemaker)
        patches.patch_alarms(self.scaling.wake)
        patches.patch_builds(Builds(paths))
        self.ec2 = EC2(paths, app._get_module, app.SERVICE_HANDLERS["ec2"])
        app.SERVICE_HANDLERS["ec2"] = self.ec2.handle

    async def autosave(self) -> None:
        """Saves MiniStack's services while they change by themselves (durable.py saves what a request has changed)."""
        while True:
            await asyncio.sleep(autosave_seconds())
            if self.changed:
                self.changed = False
                durable.save(self.ministack._build_persistence_save_dict())

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["path"] == self.iam.PATH:
            await self.iam.page(scope, receive, send)
            return
        if scope["type"] == "http" and scope["path"].startswith(internal.PREFIX):
            interrupt = {"TrainingJobName": self.sagemaker.jobs.interrupt, "InstanceId": self.ec2.instances.interrupt}
            await internal.handle(scope, receive, send, interrupt)
            return
        if scope["type"] != "lifespan":
            data_plane = scope.get("path", "").startswith(("/endpoints/", "/restapis/", "/_aws/execute-api/"))
            if scope.get("method") not in ("GET", "HEAD", "OPTIONS") and not data_plane:
                self.changed = True
            await self.iam.serve(self.ministack.app, scope, receive, send)
            return

        async def listening(message: dict[str, Any]) -> None:
            if message["type"] == "lifespan.startup.complete":
                self.patches.restore(self.paths)
                self.sagemaker.start()
                self.scaling.start()
                self._autosaving = asyncio.create_task(self.autosave())
                self.announce()
            await send(message)

        async def ending() -> Any:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                if self._autosaving is not None:
                    self._autosaving.cancel()
                await self.scaling.stop()
                await asyncio.to_thread(self.sagemaker.abandon_jobs)
                await asyncio.to_thread(self.ec2.instances.abandon)
                await self.sagemaker.endpoints.shutdown()
                self.patches.finish()
                for store in self.stores:
                    for place in store.unwritten():
                        logger.error("the record %s was changed and not written", place)
            return message

        await self.ministack.app(scope, ending, listening)

    def announce(self) -> None:
        """Writes local_aws.json: from here on the endpoint answers (the socket already listens)."""
        info = {
            "pid": os.getpid(),
            "port": self.port,
            "endpoint_url": f"http://127.0.0.1:{self.port}",
            "region": REGION,
            "account_id": ACCOUNT_ID,
        }
        fresh = self.paths.info.with_suffix(".tmp")
        fresh.write_text(json.dumps(info, indent=2))
        fresh.replace(self.paths.info)


def listen(port: int) -> socket.socket:
    """A listening loopback socket. Raises SystemExit with one clear line when the port is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        raise SystemExit(f"error: cannot listen on 127.0.0.1:{port}: {error.strerror}") from error
    listener.listen(256)
    return listener


async def serve(emulator: Emulator, listener: socket.socket) -> None:
    """Serves until SIGTERM or SIGINT."""
    from hypercorn.asyncio import serve as hypercorn_serve  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    config.loglevel = os.environ["LOG_LEVEL"]
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await hypercorn_serve(emulator, config, shutdown_trigger=ended.wait)  # type: ignore[arg-type]


def run(root: Path, port: int) -> None:
    """The whole life of the process. When it returns, nothing it started runs any more."""
    paths = Paths(root)
    listener = listen(port)
    port = int(listener.getsockname()[1])
    configure(paths, port)
    logging.basicConfig(level=os.environ["LOG_LEVEL"], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        asyncio.run(serve(Emulator(paths, port), listener))
    finally:
        reap(paths.root)
        for folder in paths.passing:
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            paths.info.rename(paths.info.with_suffix(".last.json"))


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]))
