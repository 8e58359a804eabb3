"""torchvision, also where its wheel does not fit the torch beside it.

torchvision's wheel on package indexes is linked against CUDA. Beside a CPU build of torch its compiled library does
not load, so the operators it would register are unknown, and `import torchvision` fails with "operator torchvision::nms
does not exist" when it declares what those operators do on meta tensors. Models and transforms need none of them.
Declaring the two schemas first lets the import go through; calling such an operator still fails, and says so. Where
torchvision is whole, nothing is done here.
"""

import importlib
import sys
from types import ModuleType

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept: list[torch.library.Library] = []  # a schema lives as long as the object that declared it


def torchvision_models() -> ModuleType:
    """`torchvision.models`."""
    try:
        return importlib.import_module("torchvision.models")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]  # the half that was imported before the failure
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        library.define(schema)  # type: ignore[no-untyped-call]
    _kept.append(library)
    return importlib.import_module("torchvision.models")
