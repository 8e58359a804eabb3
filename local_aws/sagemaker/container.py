"""The SageMaker training container contract, for one process: folders, configuration files, environment, command line.

As documented for the SageMaker training toolkit ("script mode"). What is /opt/ml in a container is a folder per host
here, so a script that reads SM_* finds everything and one that hard-codes /opt/ml does not.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_aws.processes import child_environment
from local_aws.sagemaker import entrypoint
from local_aws.settings import REGION
from local_aws.store import Record

RESERVED = ("sagemaker_", "_tuning_objective_metric")


def _plain(value: str) -> Any:
    """A hyperparameter's value: the SageMaker SDK JSON-encodes each, other callers send plain text."""
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def hyperparameters(record: Record) -> dict[str, Any]:
    """All hyperparameters of a job, decoded, the reserved ones among them."""
    return {name: _plain(value) for name, value in record.get("HyperParameters", {}).items()}


def user_hyperparameters(record: Record) -> dict[str, Any]:
    """The hyperparameters that reach the script."""
    return {name: value for name, value in hyperparameters(record).items() if not name.startswith(RESERVED)}


@dataclass(frozen=True)
class Host:
    """One instance of a job: `algo-<rank+1>`, one of `names`, with its folder in the place of /opt/ml."""

    rank: int
    names: tuple[str, ...]
    root: Path
    master_port: int

    @property
    def name(self) -> str:
        """The host's name as SM_CURRENT_HOST gives it."""
        return self.names[self.rank]

    def channel(self, name: str) -> Path:
        """Where the data of a channel lies."""
        return self.root / "input" / "data" / name

    @property
    def checkpoints(self) -> Path:
        """What stands for /opt/ml/checkpoints, or for the LocalPath that the job asks for."""
        return self.root / "checkpoints"

    @property
    def code(self) -> Path:
        """Where the code bundle is unpacked: cwd of the script and on its PYTHONPATH."""
        return self.root / "code"

    def make(self, record: Record) -> None:
        """Creates the folders and input/config/*.json."""
        for part in ("input/config", "input/data", "model", "output/data", "checkpoints", "code"):
            (self.root / part).mkdir(parents=True, exist_ok=True)
        config = self.root / "input" / "config"
        (config / "hyperparameters.json").write_text(json.dumps(record.get("HyperParameters", {})))
        (config / "resourceconfig.json").write_text(json.dumps(self.resource_config(record)))
        (config / "inputdataconfig.json").write_text(json.dumps(self.input_data_config(record)))

    def resource_config(self, record: Record) -> dict[str, Any]:
        """input/config/resourceconfig.json."""
        instance_type = record["ResourceConfig"].get("InstanceType", "")
        group = {"instance_group_name": "homogeneousCluster", "instance_type": instance_type, "hosts": list(self.names)}
        return {
            "current_host": self.name,
            "current_instance_type": instance_type,
            "current_group_name": "homogeneousCluster",
            "hosts": list(self.names),
            "instance_groups": [group],
            "network_interface_name": "lo",
        }

    @staticmethod
    def input_data_config(record: Record) -> dict[str, Any]:
        """input/config/inputdataconfig.json."""
        return {
            channel["ChannelName"]: {
                "TrainingInputMode": "File",
                "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                    "S3DataDistributionType", "FullyReplicated"
                ),
                "RecordWrapperType": "None",
            }
            for channel in record.get("InputDataConfig", [])
        }

    def environment(self, record: Record) -> dict[str, str]:
        """The environment of the script: SM_*, MASTER_ADDR and MASTER_PORT, the job's own Environment."""
        reserved, parameters = hyperparameters(record), user_hyperparameters(record)
        channels = [channel["ChannelName"] for channel in record.get("InputDataConfig", [])]
        program = str(reserved.get("sagemaker_program", ""))
        cpus = max(1, (os.cpu_count() or 1) // len(self.names))
        values: dict[str, Any] = {
            "SM_HOSTS": list(self.names),
            "SM_CURRENT_HOST": self.name,
            "SM_CURRENT_INSTANCE_TYPE": record["ResourceConfig"].get("InstanceType", ""),
            "SM_NETWORK_INTERFACE_NAME": "lo",
            "SM_NUM_CPUS": cpus,
            "SM_NUM_GPUS": len(list(Path("/dev").glob("nvidia[0-9]*"))),
            "SM_NUM_NEURONS": 0,
            "SM_MODEL_DIR": self.root / "model",
            "SM_INPUT_DIR": self.root / "input",
            "SM_INPUT_CONFIG_DIR": self.root / "input" / "config",
            "SM_OUTPUT_DIR": self.root / "output",
            "SM_OUTPUT_DATA_DIR": self.root / "output" / "data",
            "SM_OUTPUT_INTERMEDIATE_DIR": self.root / "output" / "intermediate",
            "SM_CHECKPOINT_DIR": self.checkpoints,
            "SM_CHANNELS": channels,
            "SM_HPS": parameters,
            "SM_USER_ARGS": self.arguments(record),
            "SM_USER_ENTRY_POINT": program,
            "SM_MODULE_NAME": Path(program).stem,
            "SM_MODULE_DIR": reserved.get("sagemaker_submit_directory", ""),
            "SM_RESOURCE_CONFIG": self.resource_config(record),
            "SM_INPUT_DATA_CONFIG": self.input_data_config(record),
            "SM_LOG_LEVEL": reserved.get("sagemaker_container_log_level", 20),
            "TRAINING_JOB_NAME": record["TrainingJobName"],
            "TRAINING_JOB_ARN": record["TrainingJobArn"],
            "SAGEMAKER_REGION": REGION,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": self.master_port,
            "PYTHONPATH": self.code,
        }
        values |= {f"SM_CHANNEL_{name.upper()}": self.channel(name) for name in channels}
        values |= {f"SM_HP_{name.upper()}": value for name, value in parameters.items()}
        text = {
            name: json.dumps(value) if isinstance(value, (list, dict)) else str(value) for name, value in values.items()
        }
        whole = child_environment(**{**text, **record.get("Environment", {})})
        return entrypoint.environment(whole, self.root, record) if entrypoint.own_command(record) else whole

    @staticmethod
    def arguments(record: Record) -> list[str]:
        """The script's command line: `--name value` for every hyperparameter, sorted, as the toolkit does it."""
        found: list[str] = []
        for name, value in sorted(user_hyperparameters(record).items()):
            found += [f"-{name}" if len(name) == 1 else f"--{name}", str(value)]
        return found

    def command(self, record: Record) -> list[str]:
        """The process to run: the script, under torchrun when the job asks for torch's distribution."""
        if entrypoint.own_command(record):
            return entrypoint.launch(self.root, self.names, record)
        parameters = hyperparameters(record)
        script = [str(parameters["sagemaker_program"]), *self.arguments(record)]
        if parameters.get("sagemaker_torch_distributed_enabled") is not True:
            return [sys.executable, *script]
        where = [f"--nnodes={len(self.names)}", f"--node_rank={self.rank}", "--nproc_per_node=1"]
        master = ["--master_addr=127.0.0.1", f"--master_port={self.master_port}"]
        return [sys.executable, "-m", "torch.distributed.run", *where, *master, *script]
