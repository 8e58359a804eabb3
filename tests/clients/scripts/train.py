"""ModelTrainer: uploads code and data, trains, shows the log. Writes the job's end as JSON.

Argument: {"answer": a path, "role", "image", "source", "data", "instances", "hyperparameters"}.
"""

import json
import logging
import sys
from pathlib import Path

from sagemaker.core.utils.exceptions import FailedStatusError
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode
from sagemaker.train.distributed import Torchrun

given = json.loads(sys.argv[1])
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
trainer = ModelTrainer(
    training_image=given["image"],
    source_code=SourceCode(source_dir=given["source"], entry_script="train.py"),
    distributed=Torchrun() if given["instances"] > 1 else None,
    compute=Compute(instance_type="ml.m5.large", instance_count=given["instances"]),
    hyperparameters=given["hyperparameters"],
    role=given["role"],
    base_job_name="trainer",
)
reason = None
try:
    trainer.train(input_data_config=[InputData(channel_name="training", data_source=given["data"])], wait=True)
except FailedStatusError as error:
    reason = str(error)
job = trainer._latest_training_job
artifacts = job.model_artifacts.s3_model_artifacts if reason is None else None
Path(given["answer"]).write_text(json.dumps({"status": job.training_job_status, "reason": reason, "model": artifacts}))
