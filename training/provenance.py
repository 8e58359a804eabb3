"""Where a model came from, as it is written into model.json."""

import hashlib
import platform
import re
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from training.backbones import Backbone
from training.parameters import Parameters
from training.report_shape import ProvenanceFigures

_LIBRARIES = ("torch", "torchvision", "openvino", "nncf", "onnx", "numpy", "pillow", "simplejpeg", "safetensors")
_ROOT = Path(__file__).resolve().parents[1]
_CODE_URI = re.compile(r"/([0-9a-f]{64})/[^/]*$")


def provenance(
    parameters: Parameters, data_version: str, code_uri: str | None, backbone: Backbone
) -> ProvenanceFigures:
    """Data version, code version, parameters, libraries and the time (UTC). code_uri: see `code_version`."""
    return {
        "data_version": data_version,
        "code_sha256": code_version(code_uri),
        "backbone_sha256": backbone.weights_sha256,
        "parameters": asdict(parameters),
        "libraries": {"python": platform.python_version(), **_versions()},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def code_version(code_uri: str | None, root: Path = _ROOT) -> str:
    """One hash of the code. code_uri: where SageMaker took it from; root: the folder of the code that runs.

    The stack publishes it under the hash of its content; code from elsewhere gets the hash of the files that run.
    """
    published = _CODE_URI.search(code_uri or "")
    return published[1] if published else _running_code_sha256(root)


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _running_code_sha256(root: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted([*root.glob("training/**/*.py"), *root.glob("serving/**/*.py")]):
        whole.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return whole.hexdigest()
