"""What the pipeline's input may be: one table of fields that parses, refuses and documents (`kennel.reference`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kennel import ranges
from kennel.errors import InvalidRun
from kennel.fields import Field, shown

BACKBONES = ("resnet50", "mobilenet_v3_large", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
PACKAGED_BACKBONES = BACKBONES[2:]  # their weights come with a package, so no folder of them is needed
_INSTANCE = r"ml\.[a-z0-9-]+\.[a-z0-9-]+"
_LABEL = 22  # so that the names of what a run makes fit into SageMaker's 63 characters behind the stack's name

RUN_FIELDS = (
    Field(
        "run",
        str,
        "the run's label; without it the start time",
        maximum=_LABEL,
        pattern=r"[a-zA-Z0-9](-*[a-zA-Z0-9])*",
    ),
    Field(
        "data",
        str,
        "the folder with train/, valid/ and test/; without it dogImages/ in the stack's data bucket",
        maximum=1100,
    ),
    Field(
        "approve",
        str,
        "`manual` waits until a person approves the model package (SageMaker's UpdateModelPackage)",
        "auto",
        choices=("auto", "manual"),
    ),
    Field("approve_within_hours", int, "how long `manual` waits; then the run fails", 24, 1, 72),
    Field(
        "expires_after_hours",
        int,
        "the endpoint and all that runs made are torn down this long after the run began; 0 is never",
        0,
        0,
        8760,
    ),
    Field(
        "budget_usd",
        float,
        "US dollars that the run may cost; one that may cost more by its estimate (docs/cost.md) is refused before "
        "anything starts. Serving is not in it; without it nothing is refused",
        minimum=0.01,
        maximum=1_000_000,
    ),
    Field(
        "features.backbone",
        str,
        "the frozen network that turns a picture into numbers",
        "efficientnet_lite0",
        choices=BACKBONES,
    ),
    Field(
        "features.views",
        int,
        "views of each training picture, computed once: the plain one, the others augmented",
        2,
        1,
        64,
    ),
    Field(
        "features.pretrained",
        str,
        "folder in the data bucket with the backbone's weights, `BACKBONE.safetensors` or `BACKBONE.pth`; "
        "`resnet50` and `mobilenet_v3_large` need it, because no package carries theirs",
        maximum=1100,
    ),
    Field(
        "tune.strategy",
        str,
        "how values are searched; without it (or with `tune` null) nothing is tuned. `embedded` searches inside one "
        "job: a trial on cached features takes seconds, the start of a job minutes",
        choices=ranges.STRATEGIES,
    ),
    Field("tune.trials", int, "how many combinations are tried at most", 12, 2, 100),
    Field(
        "tune.parallel",
        int,
        "trials at a time, each a training job; with `embedded` each a process of the one job, and at most 8",
        2,
        1,
        10,
    ),
    Field(
        "tune.ranges",
        dict,
        "what is searched: `{NAME: {minimum, maximum, scale}}` (scale `linear` or `log`) or `{NAME: {values}}` of "
        f"{', '.join(ranges.TUNABLE)}; `grid` takes values only",
    ),
    Field(
        "train.mode",
        str,
        "`single`: one SageMaker instance; `multi`: several, one model; `ec2`: one EC2 instance, the same script",
        "single",
        choices=("single", "multi", "ec2"),
    ),
    Field(
        "train.method",
        str,
        "`head` trains the last layer on frozen features; `finetune` goes on with the backbone, on the pictures",
        "head",
        choices=("head", "finetune"),
    ),
    Field("train.epochs", int, "passes over the training features; the best by validation is kept", 30, 1, 10_000),
    Field("train.batch_size", int, "pictures a step, over all instances together", 32, 1, 65_536),
    Field("train.learning_rate", float, "step size at the start", 0.002, 1e-6, 10),
    Field("train.weight_decay", float, "pull of the weights towards zero", 0.01, 0, 10),
    Field("train.label_smoothing", float, "share of certainty taken from the true breed", 0.1, 0, 0.9),
    Field("train.hidden", int, "units of a hidden layer beside the linear one; 0: the head is linear", 0, 0, 4096),
    Field(
        "train.mixup",
        float,
        "views are blended in pairs on the features, by shares from a beta distribution with this parameter; 0: not",
        0,
        0,
        10,
    ),
    Field(
        "train.class_balance",
        float,
        "how far breeds with few pictures count for more: 0 not at all, 1 each breed as much as any other",
        0,
        0,
        1,
    ),
    Field(
        "train.unfreeze",
        int,
        "`finetune` only: how many of the backbone's five stages learn, from the last on; 5: all",
        5,
        1,
        5,
    ),
    Field(
        "train.ema",
        float,
        "`finetune` only: decay of the moving average of the weights, which is then what is deployed; 0: none",
        0,
        0,
        0.9999,
    ),
    Field(
        "train.accumulate",
        int,
        "`finetune` only: parts that a step's pictures go through the network in, where memory is short; same result",
        1,
        1,
        1024,
    ),
    Field(
        "train.precision",
        str,
        "what the container computes in: `f32`; `bf16` or `int8`, if it loses at most half a point of validation "
        "accuracy, else `f32`; `auto` the fastest of them",
        "auto",
        choices=("auto", "f32", "bf16", "int8"),
    ),
    Field("train.seed", int, "same seed, same data, same machine: same model", 1, 0, 2**31 - 1),
    Field("train.max_bad_share", float, "share of unreadable pictures above which training stops", 0.05, 0, 1),
    Field(
        "train.instance_type",
        str,
        "instance of the jobs; with mode `ec2` the same without `ml.`, of the training only",
        "ml.c7i.xlarge",
        pattern=rf"{_INSTANCE}|[a-z0-9-]+\.[a-z0-9-]+",
    ),
    Field("train.instances", int, "instances of the training job; `multi` takes 2 and more", 1, 1, 20),
    Field(
        "train.ec2_instance_type",
        str,
        "EC2 instance of the training with mode `ec2`; `train.instance_type` of the same input goes before the default",
        "c7i.xlarge",
        pattern=r"[a-z0-9-]+\.[a-z0-9-]+",
    ),
    Field("train.volume_gb", int, "disk of each training instance", 30, 5, 1000),
    Field("train.max_runtime_seconds", int, "each job is stopped after this", 7200, 60, 432000),
    Field(
        "train.spot",
        bool,
        "spare capacity: cheaper, may be interrupted; goes on from the last checkpoint, at most a minute back",
        False,
    ),
    Field(
        "train.heartbeat_seconds",
        int,
        "`ec2` only: an instance that is silent for this long is given up",
        300,
        15,
        3600,
    ),
    Field("gate.least_accuracy", float, "test accuracy below which a model is not deployed", 0.5, 0, 1),
    Field(
        "gate.largest_drop",
        float,
        "how much test accuracy may be lost against the model in service, on the same pictures",
        0.02,
        0,
        1,
    ),
    Field(
        "gate.largest_calibration_error",
        float,
        "how far probabilities may be off, on average, from how often they are right",
        0.2,
        0,
        1,
    ),
    Field(
        "endpoint.serving",
        str,
        "`realtime`: instances that scale; `serverless`: paid for by the request, with cold starts",
        "realtime",
        choices=("realtime", "serverless"),
    ),
    Field("endpoint.instance_type", str, "SageMaker instance of the endpoint", "ml.c7i.large", pattern=_INSTANCE),
    Field("endpoint.initial_instances", int, "instances the endpoint starts with", 1, 1, 100),
    Field("endpoint.minimum", int, "instances autoscaling never goes below", 1, 1, 100),
    Field("endpoint.maximum", int, "instances autoscaling never goes above", 4, 1, 100),
    Field(
        "endpoint.target_metric",
        str,
        "what autoscaling holds: `invocations` a minute, or `concurrency`, requests at once, seen every 10 s",
        "invocations",
        choices=("invocations", "concurrency"),
    ),
    Field(
        "endpoint.target_invocations_per_minute", int, "what one instance is to answer in a MINUTE", 1800, 1, 1_000_000
    ),
    Field(
        "endpoint.requests_per_second",
        float,
        "measured most of one instance; the target is then this x 60 x 0.5, half of it being in reserve",
        minimum=0.1,
        maximum=10_000,
    ),
    Field("endpoint.target_concurrent_requests", float, "requests at once per instance", 2.0, 0.1, 1000),
    Field("endpoint.scale_in_cooldown_seconds", int, "wait after removing an instance", 300, 0, 3600),
    Field("endpoint.scale_out_cooldown_seconds", int, "wait after adding an instance", 60, 0, 3600),
    Field(
        "endpoint.rollout",
        str,
        "how traffic moves to a new model; `canary` and `linear` need 2 instances and more, and go back when an alarm "
        "of the endpoint fires",
        "all_at_once",
        choices=("all_at_once", "canary", "linear"),
    ),
    Field("endpoint.rollout_percent", int, "share of the instances that a step moves", 34, 10, 50),
    Field("endpoint.rollout_wait_seconds", int, "how long each step is watched", 300, 0, 3600),
    Field(
        "endpoint.capture_percent",
        int,
        "share of the requests of which SageMaker keeps pictures and answers, under `captured/RUN/` in the artifact "
        "bucket, as long as logs are kept; 0: none; `realtime` only",
        0,
        0,
        100,
    ),
    Field("endpoint.memory_mb", int, "`serverless` only", 3072, choices=(1024, 2048, 3072, 4096, 5120, 6144)),
    Field("endpoint.max_concurrency", int, "`serverless` only: requests at once", 5, 1, 200),
)
_SECTIONS = ("features", "tune", "train", "gate", "endpoint")
_TARGETS = {
    "invocations": {"endpoint.target_invocations_per_minute", "endpoint.requests_per_second"},
    "concurrency": {"endpoint.target_concurrent_requests"},
}


def parse_run(run_input: object, defaults: Mapping[str, object]) -> dict[str, dict[str, Any]]:
    """The pipeline's input, resolved: `{"": {"run", "data", ...}, "features": {...}, "tune": {...}, ...}`.

    Input goes before `defaults` (the stack's parameters, same shape), which go before the table's. `run` and `data` are
    None when not given, `tune.strategy` when nothing is tuned. Raises InvalidRun with every problem found, each
    beginning with the field's path.
    """
    problems: list[str] = []
    own = _flat(run_input, problems)
    given = {**_flat(defaults, problems, "DEFAULTS."), **own}
    resolved: dict[str, dict[str, Any]] = {section: {} for section in ("", *_SECTIONS)}
    for field in RUN_FIELDS:
        value = field.default
        if field.path in given:
            value, problem = field.check(given.pop(field.path))
            problems += [problem] if problem else []
        section, _, name = field.path.rpartition(".")
        resolved[section][name] = value
    problems += [f"{shown(path)}: there is no such field" for path in given]
    if not problems:
        problems = [
            *_tune_problems(resolved["tune"], own),
            *_train_problems(resolved["train"], own),
            *_scaling_problems(resolved["endpoint"], own),
        ]
    if problems:
        raise InvalidRun(problems)
    return resolved


def job_instance(train: Mapping[str, Any], defaults: Mapping[str, object]) -> str:
    """What the SageMaker jobs run on: with mode `ec2` the chosen type is EC2's, so they take the stack's default."""
    if train["mode"] != "ec2":
        return str(train["instance_type"])
    stack = defaults.get("train")
    return str(stack["instance_type"] if isinstance(stack, Mapping) else "ml.c7i.xlarge")


def _flat(value: object, problems: list[str], prefix: str = "") -> dict[str, object]:
    """`{"train": {"epochs": 1}}` -> `{"train.epochs": 1}`."""
    if not isinstance(value, Mapping):
        problems.append(f"{prefix or 'input'}: is not an object")
        return {}
    flat: dict[str, object] = {}
    for name, member in value.items():
        if name == "tune" and member is None:
            continue
        if name not in _SECTIONS:
            flat[str(name)] = member
        elif isinstance(member, Mapping):
            flat.update({f"{name}.{inner}": item for inner, item in member.items()})
        else:
            problems.append(f"{prefix}{name}: is not an object")
    return flat


def _tune_problems(tune: dict[str, Any], own: Mapping[str, object]) -> list[str]:
    """Fills in the ranges that are searched when none are given."""
    if tune["strategy"] is None:
        given = sorted(path for path in own if path.startswith("tune."))
        return [f"{path}: is given, but not tune.strategy" for path in given]
    tune["ranges"] = tune["ranges"] or ranges.defaults(tune["strategy"])
    fields = {field.path.removeprefix("train."): field for field in RUN_FIELDS if field.path.startswith("train.")}
    problems = ranges.problems(tune["ranges"], {name: fields[name] for name in ranges.TUNABLE}, tune["strategy"])
    if not problems and tune["strategy"] == "grid":
        tune["trials"] = ranges.combinations(tune["ranges"])
    if not problems and not 2 <= tune["trials"] <= 100:
        problems = [f"tune.ranges: a grid of {tune['trials']} combinations; from 2 to 100 can be tried"]
    tune["parallel"] = min(tune["parallel"], tune["trials"])
    return problems


def _train_problems(train: dict[str, Any], own: Mapping[str, object]) -> list[str]:
    """Mode, instances and instance type must agree; what the caller did not choose follows what was chosen."""
    mode, instance = train["mode"], train["instance_type"]
    if mode == "ec2":
        if "train.ec2_instance_type" in own or "train.instance_type" not in own:
            instance = train["ec2_instance_type"]
        train["instance_type"] = instance.removeprefix("ml.")
    elif not instance.startswith("ml."):
        return [f"train.instance_type: {instance} is EC2's name; with mode {mode} it is ml.{instance}"]
    if "train.instances" not in own:
        train["instances"] = max(2, train["instances"]) if mode == "multi" else 1
    if (mode == "multi") != (train["instances"] > 1):
        wanted = "2 or more" if mode == "multi" else "1"
        return [f"train.instances: is {train['instances']}, but mode {mode} takes {wanted}"]
    return []


def _scaling_problems(endpoint: dict[str, Any], own: Mapping[str, object]) -> list[str]:
    """The three counts must agree; a start that the caller did not choose is moved into the range that was chosen.

    So with the metric: a target that the caller gave decides what is held at it.
    """
    low, start, high = (endpoint[name] for name in ("minimum", "initial_instances", "maximum"))
    if low > high:
        return [f"endpoint.minimum: {low} is above endpoint.maximum, {high}"]
    if "endpoint.initial_instances" not in own:
        endpoint["initial_instances"] = start = min(max(low, start), high)
    if not low <= start <= high:
        return [f"endpoint.initial_instances: {start} is outside endpoint.minimum to endpoint.maximum, {low} to {high}"]
    if endpoint["rollout"] != "all_at_once" and (low < 2 or endpoint["serving"] == "serverless"):
        return [f"endpoint.rollout: {endpoint['rollout']} moves some of 2 or more instances; endpoint.minimum is {low}"]
    if endpoint["capture_percent"] and endpoint["serving"] == "serverless":
        return ["endpoint.capture_percent: SageMaker keeps no pictures of a serverless endpoint"]
    if "endpoint.target_metric" not in own:
        given = [name for name, targets in _TARGETS.items() if targets & own.keys()]
        endpoint["target_metric"] = given[0] if len(given) == 1 else endpoint["target_metric"]
    if endpoint["requests_per_second"] is not None:
        if "endpoint.target_invocations_per_minute" in own:
            return ["endpoint.requests_per_second: is given beside endpoint.target_invocations_per_minute"]
        endpoint["target_invocations_per_minute"] = max(1, round(endpoint["requests_per_second"] * 60 * 0.5))
    return []
