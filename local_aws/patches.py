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

from local_aws import (
    codebuild,
    credentials,
    durable,
    ec2_images,
    ec2_instances,
    faults,
    lambda_workers,
    log_delivery,
    log_search,
    logs,
    metric_data,
    metrics,
    models,
    objects,
)
from local_aws.autoscaling import AutoScaling
from local_aws.dispatch import COVERAGE
from local_aws.errors import JSON_1_1, Response
from local_aws.query_definitions import QueryDefinitions
from local_aws.sagemaker import stack_resources
from local_aws.sagemaker.api import SageMaker
from local_aws.settings import Paths

# module -> name -> parameter names (None: a table or a value, not a function)
SYMBOLS: dict[str, dict[str, tuple[str, ...] | None]] = {
    "ministack.app": {
        "_s3_cors_target": ("host", "path", "path_style"),
        "app": ("scope", "receive", "send"),
        "SERVICE_HANDLERS": None,
        "_version": (),
        "_build_persistence_save_dict": (),
        "SERVICE_REGISTRY": None,
        "_state_map": None,
        "_get_module": ("name",),
        "_ct_event_name": ("service", "method", "path", "headers", "query_params"),
        "call_service_handler_sync": ("handler", "method", "path", "headers", "body", "query_params", "timeout"),
    },
    "ministack.core.persistence": {"STATE_DIR": None, "_json_default": ("obj",), "_state_format_version": ("service",)},
    "ministack.core.router": {"SERVICE_PATTERNS": None, "_is_aws_service_name": ("scope_name",)},
    "ministack.core.responses": {"_service_model": ("service",)},
    "ministack.services.stepfunctions": {
        "_create_state_machine": ("data",),
        "_update_state_machine": ("data",),
        "_delete_state_machine": ("data",),
        "get_state": (),
        "_state_machine_versions": None,
        "_state_machine_aliases": None,
        "_map_runs": None,
        "_tags": None,
        "_SFN_WAIT_SCALE": None,
        "_executions": None,
        "_state_machines": None,
        "_activities": None,
        "_activity_tasks": None,
        "_service_model": ("service",),
        "_start_execution": ("data",),
        "_send_task_success": ("data",),
        "_send_task_failure": ("data",),
        "_send_task_heartbeat": ("data",),
        "_run_execution": ("exec_arn",),
        "_fail_execution": ("execution", "error", "cause"),
        "_execute_task": ("state_def", "raw_input", "execution", "ctx"),
        "_run_sub_machine": ("states", "start_at", "input_data", "execution", "ctx"),
        "_run_parallel_branches": ("state_def", "raw_input", "execution", "ctx"),
        "_run_map_items": ("state_def", "raw_input", "execution", "ctx"),
        "_invoke_resource": ("resource", "input_data"),
        "_scaled_sleep": ("seconds",),
        "_error_matches": ("error_equals", "error"),
        "_find_matching_retrier": ("retriers", "error", "retry_counts"),
        "_find_matching_catcher": ("catchers", "error"),
        "_apply_catcher": ("catcher", "raw_input", "ctx", "query_language", "error_output"),
        "_apply_state_assign": ("state_def", "raw_input", "ctx", "result", "error_output"),
        "_apply_jsonata_template": ("value", "raw_input", "ctx", "result", "error_output"),
        "_apply_jsonata_arguments": ("state_def", "raw_input", "ctx"),
        "_apply_jsonata_output": ("state_def", "raw_input", "ctx", "result", "error_output", "default"),
        "_apply_input_path": ("state_def", "data", "ctx"),
        "_apply_parameters": ("state_def", "data", "ctx"),
        "_apply_result_selector": ("state_def", "data"),
        "_apply_result_path": ("state_def", "original", "result"),
        "_apply_output_path": ("state_def", "data", "ctx"),
        "_next_or_end": ("state_def",),
        "_jsonata_state_field": ("state_def", "field", "expected", "raw_input", "ctx"),
        "_state_query_language": ("state_def", "ctx"),
        "_add_event": ("execution", "event_type", "details"),
        "_emit_execution_status_event": ("execution",),
        "_ExecutionError": ("self", "error", "cause"),
        "now_iso": (),
    },
    "ministack.services.eventbridge": {
        "_put_events": ("data", "allow_aws_source"),
        "_parse_rate_seconds": ("expr",),
        "_SCHEDULER_TICK_INTERVAL": None,
        "_invoke_target": ("target", "event", "rule", "view"),
    },
    "ministack.services.scheduler": {"_SCHEDULE_TICK_INTERVAL": None},
    "ministack.services.codebuild": {
        "_start_build": ("data",),
        "_stop_build": ("data",),
        "_build_id": ("project_name",),
        "_make_build_record": ("project", "build_id", "source_version"),
        "_projects": None,
        "_builds": None,
    },
    "ministack.services.ec2": {
        "load_persisted_state": ("data",),
        "_launch_instances_internal": (
            "image_id",
            "instance_type",
            "subnet_id",
            "count",
            "key_name",
            "user_data",
            "sg_ids",
            "requested_private_ip",
            "iam_profile",
        ),
        "_registered_image": ("image_id",),
        "_ensure_defaults_initialized": (),
        "_instances": None,
        "_tags": None,
        "_volumes": None,
        "_subnets": None,
        "_security_groups": None,
        "_key_pairs": None,
        "_STUB_AMIS": None,
        "_DEFAULT_SUBNET_ID": None,
        "_DEFAULT_SG_ID": None,
    },
    "ministack.services.iam": {
        "_lookup_instance_profile": ("name", "arn"),
        "_roles": None,
        "_instance_profiles": None,
        "_create_service_linked_role": ("p",),
    },
    "ministack.services.ssm": {"_PUBLIC_AMI_PARAMETERS": None, "_select_parameter": ("name_or_arn",)},
    "ministack.services.ecr": {
        "_describe_images": ("data",),
        "_put_image": ("data",),
        "_find_image": ("repo_name", "image_id"),
        "_repositories": None,
        "_registry_id": (),
    },
    "ministack.core.lambda_runtime": {
        "execution_credentials": ("config",),
        "_PYTHON_WORKER_SCRIPT": None,
        "Worker": ("self", "func_name", "config", "code_zip"),
        "acquire_worker": ("func_name", "config", "code_zip", "qualifier", "max_concurrency"),
        "ensure_spawned": ("worker",),
    },
    "ministack.services.lambda_svc": {
        "execution_credentials": ("config",),
        "_emit_lambda_logs": ("func", "request_id", "log_text", "error", "duration_ms", "log_source"),
        "_probe_peak_memory_mb": ("func",),
        "_functions": None,
        "_emit_lambda_metrics": ("function_name", "duration_ms", "error", "throttle"),
        "_execute_function_warm": ("func", "event", "request_id"),
        "acquire_worker": ("func_name", "config", "code_zip", "qualifier", "max_concurrency"),
        "_execute_function_dispatch": ("func", "config", "event", "request_id", "started"),
    },
    "ministack.services.cloudwatch_logs": {
        "_log_groups": None,
        "_create_log_group": ("data",),
        "_create_log_stream": ("data",),
        "_append_log_events": ("stream", "events"),
        "_log_events_lock": None,
        "_log_records": None,
        "get_state": (),
        "_destinations": None,
        "_resource_policies": None,
        "_log_group_policies": None,
        "_metric_filters": None,
        "_queries": None,
        "_delivery_sources": None,
        "_delivery_destinations": None,
        "_deliveries": None,
        "_delete_log_group": ("data",),
        "_delete_log_stream": ("data",),
        "_put_log_events": ("data",),
        "_filter_log_events": ("data",),
        "_resolve_log_group_name": ("data",),
        "_start_query": ("data",),
        "_resolve_query_log_groups": ("data",),
        "_collect_query_records": ("group_names", "start_time_s", "end_time_s"),
    },
    "ministack.services.apigateway_v1": {
        "new_uuid": (),
        "handle_execute": ("api_id", "stage_name", "method", "path", "headers", "body", "query_params"),
        "stages_for_api": ("api_id",),
        "_media_type_matches": ("media_type", "binary_media_types"),
        "_stages_v1": None,
        "_rest_apis": None,
        "_resources": None,
        "_api_keys": None,
        "_account_settings": None,
    },
    "ministack.services.cloudformation.provisioners": {
        "_RESOURCE_HANDLERS": None,
        "_cw_metric_alarm_create": ("logical_id", "props", "stack_name"),
        "_cw_metric_alarm_update": ("physical_id", "old_props", "new_props", "stack_name", "logical_id"),
        "_apigw_stage_create": ("logical_id", "props", "stack_name"),
        "_apigw_stage_update": ("physical_id", "old_props", "new_props", "stack_name"),
    },
    "ministack.services.cloudwatch": {
        "_metrics": None,
        "_alarms": None,
        "get_state": (),
        "_composite_alarms": None,
        "_composite_triggers": None,
        "_alarm_history": None,
        "_dashboards": None,
        "_resource_tags": None,
        "_store_datum": ("namespace", "name", "dims", "ts", "unit", "value", "values", "counts", "stat_values"),
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
        "_get_metric_data": ("params", "cbor_data", "is_cbor", "is_json"),
        "_cbor_ok": ("data",),
        "_cbor_metric_data_result": ("result",),
        "_json_ok": ("data",),
        "_delete_alarms": ("params", "cbor_data", "is_cbor", "is_json"),
    },
    "ministack.services.s3": {
        "_bucket_encryption": None,
        "_buckets": None,
        "_get_object_data": ("bucket_name", "key", "version_id"),
        "_bucket_policies": None,
        "_persist_object": ("bucket", "key", "obj"),
        "_object_versions": None,
        "_version_file_exists": ("bucket_name", "key", "version_id", "account_id"),
    },
    "ministack.core.iam_evaluator": {
        "_resolve_managed_policy_document": ("policy_arn", "account_id"),
    },
    "ministack.core.iam_actions": {
        "access_denied_response": (
            "service",
            "action",
            "principal_arn",
            "request_id",
            "error_code",
            "message",
            "headers",
            "resource_arn",
            "explicit_deny",
            "resource_policy_arn",
        ),
    },
    "ministack.services.sts": {
        "_sessions": None,
        "register_session": ("access_key", "session"),
    },
}

Handler = Callable[..., Awaitable[Response]]


class Handlers(dict[str, Handler]):
    """MiniStack's table of services; one it does not hold is refused in AWS's form, naming COVERAGE.md."""

    def get(self, service: str, default: Any = None) -> Any:
        """The handler of `service`, or one that refuses; one that fails while a fault is due."""
        from local_aws.iam import gate  # noqa: PLC0415 - MiniStack reads its environment when it is imported

        found = super().get(service, default) or functools.partial(_refuse_service, service)
        return gate.guarded(service, faults.guarded(service, durable.guarded(service, found)))


async def _refuse_service(service: str, *_: Any) -> Response:
    body = {"__type": "NotImplementedException", "message": f"{service} is not there in the local AWS: see {COVERAGE}"}
    return 501, {"Content-Type": JSON_1_1, "x-amzn-ErrorType": "NotImplementedException"}, json.dumps(body).encode()


def apply(sagemaker: SageMaker, autoscaling: AutoScaling, queries: QueryDefinitions) -> None:
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
    _patch_roles(sagemaker, autoscaling)
    app.SERVICE_HANDLERS["logs"] = queries.handler(app.SERVICE_HANDLERS["logs"])
    app._get_module = _patched_on_load(app._get_module, sagemaker, queries)


def restore(paths: Paths) -> None:
    """After MiniStack has loaded what it saved: puts back what was written one by one, and goes on writing it."""
    from local_aws.stepfunctions import kept  # noqa: PLC0415

    logs.restore(paths.logs)
    metrics.restore(paths.metrics)
    kept.restore(paths.executions)


def finish() -> None:
    """Before an orderly end: what would still have been written goes to disk."""
    metrics.save()


def _patch_stepfunctions(sagemaker: SageMaker, model: Callable[[str], Any]) -> None:
    from ministack.services import eventbridge, scheduler  # noqa: PLC0415
    from ministack.services import stepfunctions as sfn  # noqa: PLC0415

    from local_aws.stepfunctions import kept, machine, running, schedules, sync, tasks, tokens  # noqa: PLC0415

    sfn._service_model = model
    sfn._add_event = machine.add_event(sfn._add_event)
    sfn._start_execution = kept.started(machine.start_execution(sfn._start_execution))
    sfn._delete_state_machine = kept.machine_deleted(sfn._delete_state_machine)
    sfn.get_state = kept.state
    sfn._run_execution = machine.run_execution(sfn._run_execution)
    sfn._fail_execution = machine.fail_execution(sfn._fail_execution)
    sfn._execute_task = tasks.Tasks(sync.Synchronous(sagemaker.service)).execute
    sfn._scaled_sleep = running.scaled_sleep
    sfn._error_matches = machine.error_matches
    sfn._find_matching_retrier = machine.find_matching_retrier(sfn._find_matching_retrier)
    sfn._apply_state_assign = machine.apply_state_assign
    sfn._run_sub_machine = machine.run_sub_machine(sfn._run_sub_machine)
    sfn._apply_output_path = machine.apply_output_path(sfn._apply_output_path)
    sfn._run_parallel_branches = machine.run_parallel_branches(sfn._run_parallel_branches)
    sfn._run_map_items = machine.run_map_items(sfn._run_map_items)
    sfn._send_task_success = tokens.send_success
    sfn._send_task_failure = tokens.send_failure
    sfn._send_task_heartbeat = tokens.send_heartbeat
    eventbridge._parse_rate_seconds = schedules.rate_seconds(eventbridge._parse_rate_seconds)
    eventbridge._SCHEDULER_TICK_INTERVAL = scheduler._SCHEDULE_TICK_INTERVAL = schedules.tick_seconds()


def _patched_on_load(
    original: Callable[[str], Any], sagemaker: SageMaker, queries: QueryDefinitions
) -> Callable[[str], Any]:
    """MiniStack's module loader, which patches what is not loaded at the start (CloudFormation alone takes 40 MB)."""
    done: set[str] = set()

    def get_module(name: str) -> Any:
        module = original(name)
        if name not in done:
            done.add(name)
            if name == "apigateway_v1":
                module.handle_execute = log_delivery.handle_execute(module.handle_execute)
                module.new_uuid = log_delivery.request_ids(module.new_uuid)
                module._media_type_matches = untyped_is_json(module._media_type_matches)
            elif name == "cloudformation":
                from ministack.services.cloudformation import provisioners  # noqa: PLC0415

                from local_aws import alarms  # noqa: PLC0415

                handlers = provisioners._RESOURCE_HANDLERS
                handlers["AWS::ApiGateway::Stage"] = log_delivery.stage_provisioner(handlers["AWS::ApiGateway::Stage"])
                handlers["AWS::SageMaker::ModelPackageGroup"] = stack_resources.model_package_group(sagemaker.groups)
                handlers["AWS::Logs::QueryDefinition"] = queries.provisioner()
                alarm = "AWS::CloudWatch::Alarm"
                handlers[alarm] = alarms.provisioner(handlers[alarm])
                _patch_roles_of(handlers)
            elif name == "ec2":
                ec2_images.add_images(module._STUB_AMIS)
                module.load_persisted_state = ec2_instances.restored(module)
            elif name == "s3":
                module._persist_object = objects.persisted(module)
            elif name == "ssm":
                ec2_images.add_parameters(module._PUBLIC_AMI_PARAMETERS)
        return module

    return get_module


def _patch_roles_of(provisioners: dict[str, Any]) -> None:
    """What CloudFormation makes with a role that cannot do its work is refused, as by the services themselves."""
    from local_aws.iam import functions, kms, machines  # noqa: PLC0415

    machine, function, bucket = "AWS::StepFunctions::StateMachine", "AWS::Lambda::Function", "AWS::S3::Bucket"
    provisioners[machine] = machines.machine_provisioner(provisioners[machine])
    provisioners[function] = functions.provisioner(provisioners[function])
    provisioners[bucket] = kms.bucket_provisioner(provisioners[bucket])


def _patch_roles(sagemaker: SageMaker, autoscaling: AutoScaling) -> None:
    """Everything that acts under a role of IAM."""
    from ministack.core import lambda_runtime  # noqa: PLC0415
    from ministack.services import eventbridge, lambda_svc  # noqa: PLC0415
    from ministack.services import stepfunctions as sfn  # noqa: PLC0415

    from local_aws.iam import functions, gate, machines, resources, targets  # noqa: PLC0415

    resources.use(sagemaker.store)
    credentials.on_issue[:] = [gate.announce]
    autoscaling.make_role = functools.partial(resources.make_service_role, resources.SCALING_ROLE)
    sfn._create_state_machine = machines.create_machine(sfn._create_state_machine)
    sfn._update_state_machine = machines.create_machine(sfn._update_state_machine)
    lambda_runtime.execution_credentials = functions.execution_credentials(lambda_runtime.execution_credentials)
    lambda_svc.execution_credentials = lambda_runtime.execution_credentials
    lambda_svc._emit_lambda_logs = functions.emit_logs(lambda_svc._probe_peak_memory_mb)
    eventbridge._invoke_target = targets.invoke_target(eventbridge._invoke_target)


def untyped_is_json(original: Callable[[str | None, list[str]], bool]) -> Callable[[str | None, list[str]], bool]:
    """API Gateway takes a body without a content type for application/json; MiniStack for text, even under `*/*`."""
    return lambda media_type, binary_media_types: original(media_type or "application/json", binary_media_types)


def _patch_lambda() -> None:
    """Workers as on AWS, logs that end, and metrics of every invocation: MiniStack counts direct ones only."""
    from ministack.core import lambda_runtime  # noqa: PLC0415
    from ministack.services import cloudwatch_logs, lambda_svc  # noqa: PLC0415

    cloudwatch_logs._append_log_events = logs.capped(cloudwatch_logs._append_log_events)
    cloudwatch_logs._put_log_events = logs.put(cloudwatch_logs._put_log_events)
    cloudwatch_logs._delete_log_group = logs.deleted(cloudwatch_logs._delete_log_group)
    cloudwatch_logs._delete_log_stream = logs.deleted(cloudwatch_logs._delete_log_stream)
    cloudwatch_logs.get_state = functools.partial(logs.state, cloudwatch_logs)
    cloudwatch_logs._filter_log_events = log_search.paged(cloudwatch_logs._filter_log_events)
    cloudwatch_logs._start_query = log_search.started(cloudwatch_logs._start_query)
    lambda_runtime._PYTHON_WORKER_SCRIPT = lambda_workers.worker_script(lambda_runtime._PYTHON_WORKER_SCRIPT)
    lambda_runtime.Worker._drain_stderr_bounded = lambda_workers.drain_log
    lambda_svc._execute_function_warm = lambda_workers.execute_warm(lambda_svc._execute_function_warm)
    lambda_svc.acquire_worker = lambda_workers.leased(lambda_svc.acquire_worker, lambda_runtime.ensure_spawned)
    original = lambda_svc._execute_function_dispatch

    def dispatch(func: dict[str, Any], config: dict[str, Any], event: Any, request_id: str, started: float) -> Any:
        name = config.get("FunctionName", "unknown")
        with metrics.at_work(name):
            result = original(func, config, event, request_id, started)
        failed = bool(result.get("error")) if isinstance(result, dict) else False
        metrics.put_lambda(name, (time.time() - started) * 1000, failed, throttle=False)
        return result

    def emit(function_name: str, duration_ms: float, error: bool, throttle: bool) -> None:
        if throttle:
            metrics.put_lambda(function_name, duration_ms, error, throttle=True)

    lambda_svc._execute_function_dispatch = dispatch
    lambda_svc._emit_lambda_metrics = emit


def patch_alarms(tell: Callable[[], None]) -> None:
    """Alarms that heed dimensions and periods and go back to OK; `tell` hears of every one that is put.

    Metrics that are read are computed, too.
    """
    from ministack.services import cloudwatch as service  # noqa: PLC0415

    from local_aws import alarms  # noqa: PLC0415

    service._evaluate_alarm = alarms.evaluate_and(tell)
    service._store_datum = metrics.store_datum(service._store_datum, service)
    service.get_state = functools.partial(metrics.state, service)
    service._get_metric_data = metric_data.with_mathematics(service._get_metric_data, service)


def patch_builds(builds: codebuild.Builds) -> None:
    """CodeBuild builds that build, and ECR that knows what is not there. Loads both modules."""
    from ministack.services import codebuild as service  # noqa: PLC0415
    from ministack.services import ecr  # noqa: PLC0415

    service._start_build = builds.start
    service._stop_build = builds.stop
    ecr._describe_images = codebuild.describe_images(ecr._describe_images)
