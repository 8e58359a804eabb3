"""What SageMaker tells a training container about itself, through its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from training.errors import TrainingError

_CHANNEL = "SM_CHANNEL_"
_CHECKPOINTS = Path("/opt/ml/checkpoints")


@dataclass(frozen=True)
class Host:
    """One training host: where its data lies, where results go, and which of the job's processes it is.

    channels      folders of input, by the channel's name
    checkpoints   where checkpoints are kept; None when the job keeps none
    cpus          cores for this process
    rank          0 to `world` - 1; `local_rank` counts the processes of this host alone, as its GPUs are counted
    address       (host, port) where the processes of rank > 0 find rank 0
    code          where the code came from
    """

    model_dir: Path
    cpus: int
    rank: int
    local_rank: int
    world: int
    address: tuple[str, int]
    code: str | None
    checkpoints: Path | None = None
    channels: Mapping[str, Path] = field(default_factory=dict)

    def channel(self, name: str) -> Path:
        """The folder of the channel `name`. Raises TrainingError when the job has none or it is no folder."""
        folder = self.channels.get(name)
        if folder is None:
            raise TrainingError(
                f"{_CHANNEL}{name.upper()} is not set: this script runs as a SageMaker training job with a channel "
                f"{name!r} does"
            )
        if not folder.is_dir():
            raise TrainingError(f"{_CHANNEL}{name.upper()}: {folder} is not a folder")
        return folder

    @property
    def features(self) -> Path | None:
        """Where computed features outlive an interrupted job, beside its checkpoints; None when it keeps none."""
        return self.checkpoints / "features" if self.checkpoints else None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Host":
        """Reads SM_* and, where a launcher such as torchrun has set them, RANK, WORLD_SIZE and MASTER_*.

        Raises TrainingError naming the variable that is missing.
        """
        hosts = sorted(_hosts(environ.get("SM_HOSTS", "")))
        current = environ.get("SM_CURRENT_HOST", hosts[0])
        cpus = _count(environ, "SM_NUM_CPUS", len(os.sched_getaffinity(0)))
        if current not in hosts:
            raise TrainingError(f"SM_CURRENT_HOST {current!r} is not one of SM_HOSTS ({', '.join(hosts)})")
        return cls(
            model_dir=Path(_needed(environ, "SM_MODEL_DIR")),
            cpus=max(1, cpus // _count(environ, "LOCAL_WORLD_SIZE", 1)),
            rank=_count(environ, "RANK", hosts.index(current), least=0),
            local_rank=_count(environ, "LOCAL_RANK", 0, least=0),
            world=_count(environ, "WORLD_SIZE", len(hosts)),
            address=(environ.get("MASTER_ADDR", hosts[0]), _count(environ, "MASTER_PORT", 7777)),
            code=environ.get("SM_MODULE_DIR"),
            checkpoints=_checkpoints(environ.get("SM_CHECKPOINT_DIR")),
            channels={
                name.removeprefix(_CHANNEL).lower(): Path(folder)
                for name, folder in environ.items()
                if name.startswith(_CHANNEL) and folder
            },
        )


def _checkpoints(named: str | None) -> Path | None:
    """SageMaker's own folder is there only in jobs that keep checkpoints."""
    if named:
        return Path(named)
    return _CHECKPOINTS if _CHECKPOINTS.is_dir() else None


def _hosts(text: str) -> list[str]:
    """SM_HOSTS is a JSON list of names; host names hold none of the characters that JSON quotes with."""
    return [name.strip(' "') for name in text.strip("[] ").split(",") if name.strip(' "')] or ["localhost"]


def _needed(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name)
    if not value:
        raise TrainingError(f"{name} is not set: this script runs as a SageMaker training job does")
    return value


def _count(environ: Mapping[str, str], name: str, default: int, least: int = 1) -> int:
    text = environ.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise TrainingError(f"{name}: {text!r} is not a whole number from {least} upwards")
    return int(text)
