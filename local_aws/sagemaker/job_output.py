"""What a training job prints: to its log, and to the metrics that its regular expressions find in it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from local_aws import logs, metrics
from local_aws.iam.services import Work
from local_aws.sagemaker.common import now
from local_aws.store import Record

LOG_GROUP = "/aws/sagemaker/TrainingJobs"


class JobOutput:
    """Takes the lines of all hosts of a job, from any thread. `update(secondary, **members)` changes its record.

    `on_metric` hears every value of every metric: the record keeps the last ones only.
    """

    def __init__(
        self, record: Record, update: Callable[..., None], on_metric: Callable[[str, float], None] | None
    ) -> None:
        self.record = record
        self.update = update
        self.on_metric = on_metric
        # Under which role the job runs, and what of its output may be seen; known once it has begun.
        self.work: Work | None = None
        definitions = record["AlgorithmSpecification"].get("MetricDefinitions", [])
        self._metrics = [(one["Name"], re.compile(one["Regex"])) for one in definitions]
        self._lock = threading.Lock()

    def line(self, stream: str, line: str) -> None:
        """One line of a script's output."""
        if self.work is None or self.work.logs:
            logs.append(LOG_GROUP, stream, [line])
        for name, expression in self._metrics:
            match = expression.search(line)
            if match:
                self._metric(name, match.group(1) if match.groups() else match.group(0))

    def _metric(self, name: str, text: str) -> None:
        try:
            value = float(text)
        except ValueError:
            return
        with self._lock:
            final = [one for one in self.record.get("FinalMetricDataList", []) if one["MetricName"] != name]
            final.append({"MetricName": name, "Value": value, "Timestamp": now()})
            self.update(None, FinalMetricDataList=final)
        if self.on_metric is not None:
            self.on_metric(name, value)
        if self.work is None or self.work.metrics:
            metrics.put(LOG_GROUP, name, value, "None", {"TrainingJobName": self.record["TrainingJobName"]})
