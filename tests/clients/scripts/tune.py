"""HyperparameterTuner over a ModelTrainer: two ranges, four trials. Writes the search's end as JSON.

Argument: {"answer": a path, "role", "image", "source", "data"}, `data` an s3:// URI.
"""

import json
import sys
from pathlib import Path

from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter
from sagemaker.core.resources import TrainingJob
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode
from sagemaker.train.tuner import HyperparameterTuner

given = json.loads(sys.argv[1])
trainer = ModelTrainer(
    training_image=given["image"],
    source_code=SourceCode(source_dir=given["source"], entry_script="train.py"),
    compute=Compute(instance_type="ml.m5.large", instance_count=1),
    hyperparameters={"mode": "good"},
    role=given["role"],
    base_job_name="tuned",
)
tuner = HyperparameterTuner(
    model_trainer=trainer,
    objective_metric_name="score",
    metric_definitions=[{"Name": "score", "Regex": "score=(.*?);"}],
    hyperparameter_ranges={"rate": ContinuousParameter(0.0, 1.0), "epochs": CategoricalParameter(["1", "2"])},
    strategy="Random",
    max_jobs=4,
    max_parallel_jobs=2,
    random_seed=7,
)
tuner.tune(inputs=[InputData(channel_name="training", data_source=given["data"])], wait=True)
job = tuner.latest_tuning_job.refresh()
best = TrainingJob.get(tuner.best_training_job())
trials = [one.training_job_name for one in job.get_all_training_jobs()]
Path(given["answer"]).write_text(
    json.dumps(
        {
            "status": job.hyper_parameter_tuning_job_status,
            "completed": job.training_job_status_counters.completed,
            "trials": len(trials),
            "best": {"rate": best.hyper_parameters["rate"], "in": best.training_job_name in trials},
            "objective": job.best_training_job.final_hyper_parameter_tuning_job_objective_metric.value,
        }
    )
)
