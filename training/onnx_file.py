"""The network as ONNX, for whoever serves it with something else. The container does not read it."""

import io
import warnings

import torch
from torch import nn

from serving.preprocess import Preprocess
from training.engine import traced
from training.tensors import normalised

OPSET = 17  # what runtimes of the last years read


class _FromPixels(nn.Module):
    def __init__(self, network: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.network, self.preprocess = network, preprocess

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(normalised(pictures, self.preprocess))
        return logits


def onnx_of(network: nn.Module, preprocess: Preprocess) -> bytes:
    """The ONNX of `network` (float32 [n, 3, size, size], normalised -> logits [n, classes]), normalisation inside.

    As in OpenVINO's graph: `pictures`, uint8 RGB [n, size, size, 3] with n open -> `logits`, float32 [n, classes].
    """
    whole, written = _FromPixels(traced(network, preprocess), preprocess), io.BytesIO()
    blank = torch.zeros(2, preprocess.size, preprocess.size, 3, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        # Torch calls this exporter its legacy: the newer one needs onnxscript, and traces everything anew.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            torch.jit.trace(whole, blank, check_trace=False),  # type: ignore[no-untyped-call]
            (blank,),
            written,  # type: ignore[arg-type]  # this exporter writes into a buffer, too
            dynamo=False,
            opset_version=OPSET,
            input_names=["pictures"],
            output_names=["logits"],
            dynamic_axes={"pictures": {0: "n"}, "logits": {0: "n"}},
        )
    return written.getvalue()
