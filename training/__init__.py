"""What ships to a training host: SageMaker script mode, entry `train.py`. Torch and itself; never boto3."""

import sys

# OpenVINO's converter reports each use of it to its makers, unless it finds this package missing. A training job sends
# nothing anywhere. It stands here because it must come before the first import of openvino.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
