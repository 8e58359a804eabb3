"""Every MiniStack symbol this package replaces, extends or reads, in one place.

MiniStack has no plug-in interface, so these are private names: the version is pinned (settings.MINISTACK_VERSION) and
tests/contract/test_ministack_patches.py checks that every one is there with the parameters expected here.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from local_aws import codebuild, lambda_workers, log_delivery, logs, metrics, models, stepfunctions
from local_aws.autoscaling import AutoScaling
from local_aws.dispatch import COVERAGE
from local_aws.errors import JSON_1_1, Response
from local_aws.sagemaker.api import SageMaker

# module -> name -> parameter names (None: a table or a value, not a function)
SYMBOLS: dict[str, dict[str, tuple[str, ...] | None]] = {
    "ministack.app": {
        "app": ("scope", "receive", "send"),
        "SERVICE_HANDLERS": None,
        "_version": (),
        "_build_persistence_save_dict": (),
        "save_all": ("services",),
        "_get_module": ("name",),
        "call_service_handler_sync": ("handler", "method", "path", "headers", "body", "query_params", "timeout"),
    },
    "ministack.core.router": {"SERVICE_PATTERNS": None, "_is_aws_service_name": ("scope_name",)},
    "ministack.core.responses": {"_service_model": ("service",)},
    "ministack.services.stepfunctions": {
        "_SERVICE_DISPATCH": None,
        "_AWS_SDK_SERVICE_MAP": None,
        "_AWS_SDK_ERROR_PREFIX": None,
        "_AWS_SDK_ERROR_CODE_OVERRIDES": None,
        "_SFN_WAIT_SCALE": None,
        "_executions": None,
        "_state_machines": None,
        "_service_model": ("service",),
        "_run_execution": ("exec_arn",),
        "_fail_execution": ("execution", "error", "cause"),
        "_execute_task": ("state_def", "raw_input", "execution", "ctx"),
        "_invoke_resource_with_timeout": ("resource", "input_data", "timeout"),
        "_scaled_sleep": ("seconds",),
        "_find_matching_retrier": ("retriers", "error", "retry_counts"),
        "_apply_state_assign": ("state_def", "raw_input", "ctx", "result", "error_output"),
        "_apply_jsonata_template": ("value", "raw_input", "ctx", "result", "error_output"),
        "_jsonata_state_field": ("state_def", "field", "expected", "raw_input", "ctx"),
        "_state_query_language": ("state_def", "ctx"),
        "_add_event": ("execution", "event_type", "details"),
        "_emit_execution_status_event": ("execution",),
        "_ExecutionError": ("self", "error", "cause"),
        "now_iso": (),
    },
    "ministack.services.codebuild": {
        "_start_build": ("data",),
        "_stop_build": ("data",),
        "_build_id": ("project_name",),
        "_make_build_record": ("project", "build_id", "source_version"),
        "_projects": None,
        "_builds": None,
    },
    "ministack.services.ecr": {
        "_describe_images": ("data",),
        "_put_image": ("data",),
        "_find_image": ("repo_name", "image_id"),
        "_repositories": None,
        "_registry_id": (),
    },
    "ministack.core.lambda_runtime": {
        "_PYTHON_WORKER_SCRIPT": None,
        "Worker": ("self", "func_name", "config", "code_zip"),
    },
    "ministack.services.lambda_svc": {
        "_emit_lambda_metrics": ("function_name", "duration_ms", "error", "throttle"),
        "_execute_function_warm": ("func", "event", "request_id"),
        "_execute_function_dispatch": ("func", "config", "event", "request_id", "started"),
    },
    "ministack.services.cloudwatch_logs": {
        "_log_groups": None,
        "_create_log_group": ("data",),
        "_create_log_stream": ("data",),
        "_append_log_events": ("stream", "events"),
        "_log_events_lock": None,
        "_log_records": None,
        "_put_log_events": ("data",),
    },
    "ministack.services.apigateway_v1": {
        "handle_execute": ("api_id", "stage_name", "method", "path", "headers", "body", "query_params"),
        "stages_for_api": ("api_id",),
        "_media_type_matches": ("media_type", "binary_media_types"),
        "_stages_v1": None,
        "_api_keys": None,
    },
    "ministack.services.cloudformation.provisioners": {
        "_RESOURCE_HANDLERS": None,
        "_apigw_stage_create": ("logical_id", "props", "stack_name"),
        "_apigw_stage_update": ("physical_id", "old_props", "new_props", "stack_name"),
    },
    "ministack.services.cloudwatch": {
        "_metrics": None,
        "_alarms": None,
        "_metric_bucket": ("key",),
        "_dims_key": ("dims",),
        "_dims_from_list": ("dimensions",),
        "_calc_stats": ("points",),
        "_stat_value": ("stats", "stat_name", "points"),
        "_evaluate_alarm": ("alarm",),
        "_record_history": ("alarm_name", "old_state", "new_state", "reason", "alarm_type", "reason_data"),
        "_dispatch_alarm_actions": ("alarm", "old_state", "new_state", "reason"),
        "_evaluate_parent_alarms": ("child", "seen"),
        "_put_metric_alarm": ("params", "cbor_data", "is_cbor", "is_json"),
        "_delete_alarms": ("params", "cbor_data", "is_cbor", "is_json"),
    },
    "ministack.services.s3": {"_buckets": None, "_get_object_data": ("bucket_name", "key", "version_id")},
}

SDK_SERVICES: dict[str, dict[str, str]] = {
    "sagemaker": {"target_prefix": "SageMaker", "protocol": "json"},
    "codebuild": {"target_prefix": "CodeBuild_20161006", "protocol": "json"},
    "applicationautoscaling": {
        "target_prefix": "AnyScaleFrontendService",
        "protocol": "json",
        "service_key": "application-autoscaling",
    },
}
SDK_ERROR_PREFIXES = {
    "sagemaker": "SageMaker",
    "codebuild": "CodeBuild",
    "applicationautoscaling": "ApplicationAutoScaling",
}

Handler = Callable[..., Awaitable[Response]]


class Handlers(dict[str, Handler]):
    """MiniStack's table of services; one it does not hold is refused in AWS's form, naming COVERAGE.md."""

    def get(self, service: str, default: Any = None) -> Any:
        """The handler of `service`, or one that refuses."""
        return super().get(service, default) or functools.partial(_refuse_service, service)


async def _refuse_service(service: str, *_: Any) -> Response:
    body = {"__type": "NotImplementedException", "message": f"{service} is not there in the local AWS: see {COVERAGE}"}
    return 501, {"Content-Type": JSON_1_1, "x-amzn-ErrorType": "NotImplementedException"}, json.dumps(body).encode()


def apply(sagemaker: SageMaker, autoscaling: AutoScaling) -> None:
    """Puts our services and wrappers into the imported MiniStack. Once per process."""
    from ministack import app  # noqa: PLC0415 - MiniStack reads its environment when it is imported
    from ministack.core import responses, router  # noqa: PLC0415

    app.SERVICE_HANDLERS = Handlers(app.SERVICE_HANDLERS)
    app.SERVICE_HANDLERS["sagemaker"] = sagemaker.handle
    app.SERVICE_HANDLERS["application-autoscaling"] = autoscaling.handle
    router.SERVICE_PATTERNS["sagemaker"] = {"target_prefixes": ["SageMaker."]}
    router.SERVICE_PATTERNS["application-autoscaling"] = {"target_prefixes": ["AnyScaleFrontendService."]}
    # MiniStack would load every service model of botocore (hundreds of MB) to know a name.
    router._is_aws_service_name = lambda scope_name: scope_name in models.signing_names()
    ours = {"sagemaker": sagemaker.service, "application-autoscaling": autoscaling.service}
    original_model = responses._service_model

    def model(service: str) -> Any:
        return ours[service].model() if service in ours else original_model(service)

    responses._service_model = model
    _patch_stepfunctions(sagemaker, model)
    _patch_lambda()
    app._get_module = _patched_on_load(app._get_module)


def _patch_stepfunctions(sagemaker: SageMaker, model: Callable[[str], Any]) -> None:
    from ministack.services import stepfunctions as sfn  # noqa: PLC0415

    describe = {"TrainingJob": sagemaker.jobs.describe, "HyperParameterTuningJob": sagemaker.tuning.describe}
    tasks = stepfunctions.SageMakerTasks(sagemaker.service, describe)
    sfn._SERVICE_DISPATCH["arn:aws:states:::sagemaker:"] = tasks.invoke
    sfn._AWS_SDK_SERVICE_MAP.update(SDK_SERVICES)
    sfn._AWS_SDK_ERROR_PREFIX.update(SDK_ERROR_PREFIXES)
    sfn._AWS_SDK_ERROR_CODE_OVERRIDES["sagemaker"] = stepfunctions.SDK_ERRORS
    sfn._service_model = model
    sfn._add_event = stepfunctions.add_event(sfn._add_event)
    sfn._run_execution = stepfunctions.run_execution(sfn._run_execution)
    sfn._fail_execution = stepfunctions.fail_execution(sfn._fail_execution)
    sfn._execute_task = stepfunctions.execute_task(sfn._execute_task)
    sfn._invoke_resource_with_timeout = stepfunctions.invoke_with_timeout(sfn._invoke_resource_with_timeout)
    sfn._scaled_sleep = stepfunctions.scaled_sleep
    sfn._find_matching_retrier = stepfunctions.find_matching_retrier(sfn._find_matching_retrier)
    sfn._apply_state_assign = stepfunctions.apply_state_assign


def _patched_on_load(original: Callable[[str], Any]) -> Callable[[str], Any]:
    """MiniStack's module loader, which patches what is not loaded at the start (CloudFormation alone takes 40 MB)."""
    done: set[str] = set()

    def get_module(name: str) -> Any:
        module = original(name)
        if name not in done:
            done.add(name)
            if name == "apigateway_v1":
                module.handle_execute = log_delivery.handle_execute(module.handle_execute)
                module._media_type_matches = untyped_is_json(module._media_type_matches)
            elif name == "cloudformation":
                from ministack.services.cloudformation import provisioners  # noqa: PLC0415

                handlers = provisioners._RESOURCE_HANDLERS
                handlers["AWS::ApiGateway::Stage"] = log_delivery.stage_provisioner(handlers["AWS::ApiGateway::Stage"])
        return module

    return get_module


def untyped_is_json(original: Callable[[str | None, list[str]], bool]) -> Callable[[str | None, list[str]], bool]:
    """API Gateway takes a body without a content type for application/json; MiniStack for text, even under `*/*`."""
    return lambda media_type, binary_media_types: original(media_type or "application/json", binary_media_types)


def _patch_lambda() -> None:
    """Workers as on AWS, logs that end, and metrics of every invocation: MiniStack counts direct ones only."""
    from ministack.core import lambda_runtime  # noqa: PLC0415
    from ministack.services import cloudwatch_logs, lambda_svc  # noqa: PLC0415

    cloudwatch_logs._append_log_events = logs.capped(cloudwatch_logs._append_log_events)
    lambda_runtime._PYTHON_WORKER_SCRIPT = lambda_workers.worker_script(lambda_runtime._PYTHON_WORKER_SCRIPT)
    lambda_runtime.Worker._drain_stderr_bounded = lambda_workers.drain_log
    lambda_svc._execute_function_warm = lambda_workers.execute_warm(lambda_svc._execute_function_warm)
    original = lambda_svc._execute_function_dispatch

    def dispatch(func: dict[str, Any], config: dict[str, Any], event: Any, request_id: str, started: float) -> Any:
        result = original(func, config, event, request_id, started)
        failed = bool(result.get("error")) if isinstance(result, dict) else False
        spent = (time.time() - started) * 1000
        metrics.put_lambda(config.get("FunctionName", "unknown"), spent, failed, throttle=False)
        return result

    def emit(function_name: str, duration_ms: float, error: bool, throttle: bool) -> None:
        if throttle:
            metrics.put_lambda(function_name, duration_ms, error, throttle=True)

    lambda_svc._execute_function_dispatch = dispatch
    lambda_svc._emit_lambda_metrics = emit


def patch_alarms(tell: Callable[[], None]) -> None:
    """Alarms that heed dimensions and periods and go back to OK; `tell` hears of every one that is put."""
    from ministack.services import cloudwatch as service  # noqa: PLC0415

    from local_aws import alarms  # noqa: PLC0415

    service._evaluate_alarm = alarms.evaluate_and(tell)


def patch_builds(builds: codebuild.Builds) -> None:
    """CodeBuild builds that build, and ECR that knows what is not there. Loads both modules."""
    from ministack.services import codebuild as service  # noqa: PLC0415
    from ministack.services import ecr  # noqa: PLC0415

    service._start_build = builds.start
    service._stop_build = builds.stop
    ecr._describe_images = codebuild.describe_images(ecr._describe_images)
