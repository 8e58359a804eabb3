"""What a training job says while it runs: its log lines from CloudWatch, fit for one line of progress."""

from __future__ import annotations

import re
from typing import Any

import boto3
from botocore.exceptions import ClientError

METRIC_LINE = re.compile(r"metric (?P<name>\S+)=(?P<value>\S+) (?P<counted>epoch|trial)=(?P<number>\d+)")
GROUP = "/aws/sagemaker/TrainingJobs"


class JobLog:
    """The log of one training job, read piece by piece."""

    def __init__(self, job: str) -> None:
        self._job = job
        self._client: Any = boto3.client("logs")
        self._token: str | None = None

    def news(self) -> list[str]:
        """The lines since the last call, an epoch's metrics joined; none while there is no log yet."""
        try:
            streams = self._client.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{self._job}/")
            if not streams["logStreams"]:
                return []
            position = {"nextToken": self._token} if self._token else {"startFromHead": True}
            name = streams["logStreams"][0]["logStreamName"]
            found = self._client.get_log_events(logGroupName=GROUP, logStreamName=name, **position)
        except ClientError:
            return []
        self._token = found["nextForwardToken"]
        return one_line_an_epoch([event["message"].rstrip() for event in found["events"] if event["message"].strip()])


def one_line_an_epoch(lines: list[str]) -> list[str]:
    """Join an epoch's metric lines, ``epoch 3: validation:accuracy 0.95, train:loss 0.71``; others stay as they are.

    Accuracies come first: on a narrow terminal the rest of the line is cut.
    """
    joined: list[str] = []
    for line in lines:
        metric = METRIC_LINE.fullmatch(line)
        if not metric:
            joined.append(line)
            continue
        name, text = metric["name"], f"{metric['name']} {float(metric['value']):.4g}"
        head, _, rest = joined[-1].partition(": ") if joined else ("", "", "")
        mine = f"{metric['counted']} {metric['number']}"
        if head != mine or f"{name} " in rest:
            joined.append(f"{mine}: {text}")
        else:
            first, last = (text, rest) if name.endswith("accuracy") else (rest, text)
            joined[-1] = f"{head}: {first}, {last}"
    return joined
