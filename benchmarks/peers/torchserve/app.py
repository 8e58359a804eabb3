"""TorchServe: a worker a core with one thread each, as its performance guide advises, and without a log line a request.

RACE_ENGINE=baseline is the baseline's handler in the server that its image runs. Neither the image nor its toolkit sets
the number of threads: each worker would have one a core, and they would mostly wait for one another, so that a loaded
machine hardly answers. They get one each here, too, which flatters the baseline.
"""

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.claims import ROOT
from benchmarks.parts.servers import free_port
from benchmarks.peers import engine

HERE = Path(__file__).parent
QUIET = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration><Loggers><Root level="error"/></Loggers></Configuration>
"""


def main() -> None:
    """Becomes torchserve."""
    wanted = engine.settings()
    baseline = wanted.engine == "baseline"
    folder = Path(tempfile.mkdtemp(prefix="torchserve-"))
    handler = "baseline_handler.py" if baseline else "handler.py"
    tool = Path(sys.executable).with_name("torch-model-archiver")
    archive = ["--model-name", "race", "--version", "1", "--handler", str(HERE / handler)]
    if os.spawnv(os.P_WAIT, str(tool), [str(tool), *archive, "--export-path", str(folder)]):
        raise SystemExit("torch-model-archiver failed")
    lines = [
        f"inference_address=http://127.0.0.1:{wanted.port}",
        f"management_address=http://127.0.0.1:{free_port()}",
        f"metrics_address=http://127.0.0.1:{free_port()}",
        f"grpc_inference_port={free_port()}",
        f"grpc_management_port={free_port()}",
        "disable_token_authorization=true",
        "disable_system_metrics=true",
        "async_logging=true",
        f"default_workers_per_model={wanted.workers}",
    ]
    (folder / "config.properties").write_text("\n".join(lines) + "\n")
    (folder / "log.xml").write_text(QUIET)
    os.environ["OMP_NUM_THREADS"] = str(wanted.cores)
    os.environ |= {"PYTHONPATH": str(ROOT), "LOG_LOCATION": str(folder), "METRICS_LOCATION": str(folder)}
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    os.chdir(folder)
    command = [str(Path(sys.executable).with_name("torchserve")), "--start", "--foreground", "--ncs"]
    command += ["--model-store", str(folder), "--models", "race=race.mar", "--disable-token-auth"]
    command += ["--ts-config", str(folder / "config.properties"), "--log-config", str(folder / "log.xml")]
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
