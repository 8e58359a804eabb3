"""What SageMaker tells a training container about itself, through its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.errors import TrainingError


@dataclass(frozen=True)
class Host:
    """One training host: where its data lies, where results go, and which of the job's processes it is.

    `rank` counts from 0 to `world` - 1; `address` (host, port) is where the processes of rank > 0 find rank 0.
    """

    data: Path
    pretrained: Path | None
    model_dir: Path
    output_dir: Path
    cpus: int
    rank: int
    world: int
    address: tuple[str, int]
    code: str | None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Host":
        """Reads SM_* and, where a launcher such as torchrun has set them, RANK, WORLD_SIZE and MASTER_*.

        Raises TrainingError naming the variable that is missing.
        """
        hosts = sorted(_hosts(environ.get("SM_HOSTS", "")))
        current = environ.get("SM_CURRENT_HOST", hosts[0])
        if current not in hosts:
            raise TrainingError(f"SM_CURRENT_HOST {current!r} is not one of SM_HOSTS ({', '.join(hosts)})")
        pretrained = environ.get("SM_CHANNEL_PRETRAINED")
        return cls(
            data=_folder(environ, "SM_CHANNEL_TRAINING"),
            pretrained=Path(pretrained) if pretrained else None,
            model_dir=Path(_needed(environ, "SM_MODEL_DIR")),
            output_dir=Path(_needed(environ, "SM_OUTPUT_DATA_DIR")),
            cpus=_count(environ, "SM_NUM_CPUS", len(os.sched_getaffinity(0))),
            rank=_count(environ, "RANK", hosts.index(current), least=0),
            world=_count(environ, "WORLD_SIZE", len(hosts)),
            address=(environ.get("MASTER_ADDR", hosts[0]), _count(environ, "MASTER_PORT", 7777)),
            code=environ.get("SM_MODULE_DIR"),
        )


def _hosts(text: str) -> list[str]:
    """SM_HOSTS is a JSON list of names; host names hold none of the characters that JSON quotes with."""
    return [name.strip(' "') for name in text.strip("[] ").split(",") if name.strip(' "')] or ["localhost"]


def _needed(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name)
    if not value:
        raise TrainingError(f"{name} is not set: this script runs as a SageMaker training job does")
    return value


def _folder(environ: Mapping[str, str], name: str) -> Path:
    folder = Path(_needed(environ, name))
    if not folder.is_dir():
        raise TrainingError(f"{name}: {folder} is not a folder")
    return folder


def _count(environ: Mapping[str, str], name: str, default: int, least: int = 1) -> int:
    text = environ.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise TrainingError(f"{name}: {text!r} is not a whole number from {least} upwards")
    return int(text)
