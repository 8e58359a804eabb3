"""The calls in a state machine, checked against botocore's service models: actions, arguments, error names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import botocore.session

from tools import asl_expressions
from tools.asl_integrations import (
    ACCEPTED,
    ANY_JSON,
    API_ARGUMENTS,
    API_ERROR,
    API_REQUIRED,
    LAMBDA_ERRORS,
    OPTIMIZED,
    OPTIMIZED_ERRORS,
    STATES_ERRORS,
)

Shape = Any
Model = Any

# Where Step Functions' name of a service is not botocore's folder without hyphens.
BOTOCORE_NAMES = {"cloudwatchlogs": "logs", "eventbridge": "events", "sfn": "stepfunctions", "states": "stepfunctions"}
PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "timestamp": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "list": (list,),
    "map": (dict,),
    "structure": (dict,),
}
# What a service may answer without modelling it; the SDK's own failures.
UNMODELLED = ("Throttling", "SdkClient", "Validation", "AccessDenied", "ServiceUnavailable", "InternalServer")

_RESOURCE = re.compile(r"arn:aws[a-z-]*:states:::(aws-sdk:)?([A-Za-z0-9-]+):([A-Za-z0-9]+)((?:\.[A-Za-z]+)?(?::\d)?)")
_PLACEHOLDER = re.compile(r"\$\{[^}]*\}")


class Call:
    """One Task's resource. `problems` says why it names no call there is; the other methods are for those that do."""

    def __init__(self, resource: str) -> None:
        self.problems: list[str] = []
        self.service = self.action = ""
        self.model: Model = None
        self.is_sdk = False
        self.pattern = ""
        match = _RESOURCE.fullmatch(resource)
        if not match:
            self.problems.append(
                f"Resource {resource} names no integration (functions are called by arn:aws:states:::lambda:invoke)"
            )
            return
        self.is_sdk = bool(match[1])
        self.service, self.action, self.pattern = match[2], match[3], match[4]
        self.problems += self._sdk(self.pattern) if self.is_sdk else self._optimized(self.pattern)
        if not self.problems:
            self.model = service_model(self.service)

    def _sdk(self, pattern: str) -> list[str]:
        model = service_model(self.service)
        if model is None:
            return [f"there is no service {self.service}{_suggest(self.service, _services())}"]
        actions = [name[0].lower() + name[1:] for name in model.operation_names]
        if self.action not in actions:
            return [f"{self.service} has no action {self.action}{_suggest(self.action, actions)}"]
        return [f"aws-sdk actions have no {pattern}"] if pattern not in ("", ".waitForTaskToken") else []

    def _optimized(self, pattern: str) -> list[str]:
        if self.service not in OPTIMIZED:
            hint = _suggest(self.service, OPTIMIZED)
            return [f"no optimized integration {self.service} is known{hint}; the others begin with aws-sdk:"]
        actions = OPTIMIZED[self.service]
        if self.action not in actions:
            return [f"{self.service} has no optimized action {self.action}{_suggest(self.action, actions)}"]
        if pattern and pattern not in actions[self.action]:
            there = ", ".join(("request and response", *sorted(actions[self.action])))
            return [f"{self.service}:{self.action} has no {pattern}; only {there}"]
        return []

    def check_arguments(self, arguments: Any) -> Iterator[str]:
        """Names, required ones, types, enumerations and ranges of what is literal in `arguments`."""
        if self.service == "apigateway" and not self.is_sdk:
            yield from _api_arguments(arguments)
            return
        shape = self.model.operation_model(self.action[0].upper() + self.action[1:]).input_shape
        accepted = None if self.is_sdk else ACCEPTED.get((self.service, self.action))
        given = [arguments] if isinstance(arguments, Mapping) else _built(arguments)
        for name in sorted(set().union(*given) - accepted) if accepted is not None else ():
            yield f"Arguments.{name}: the optimized {self.action} does not take it; the aws-sdk one may"
        yield from self._value(shape, arguments, "Arguments")

    def _value(self, shape: Shape, value: Any, path: str) -> Iterator[str]:
        if (self.service, path.rpartition(".")[2]) in ANY_JSON:
            return
        if isinstance(value, str) and asl_expressions.is_expression(value):
            tree = asl_expressions.parse(value)
            if not isinstance(tree, str):
                yield from self._tree(shape, tree, path)
        elif shape.type_name == "structure" and isinstance(value, Mapping):
            yield from self._names(shape, value, path)
            for name, member in value.items():
                if name in _members(shape):
                    yield from self._value(_members(shape)[name], member, f"{path}.{name}")
        elif shape.type_name == "list" and isinstance(value, list):
            for index, item in enumerate(value):
                yield from self._value(shape.member, item, f"{path}[{index}]")
        elif shape.type_name == "map" and isinstance(value, Mapping):
            for name, item in value.items():
                yield from self._value(shape.value, item, f"{path}.{name}")
        else:
            yield from _scalar(shape, value, path)

    def _tree(self, shape: Shape, tree: Any, path: str) -> Iterator[str]:
        """An expression's value is not known before it runs, but for the literals that it is built of."""
        if shape.type_name == "structure":
            for members in asl_expressions.objects(tree):
                yield from self._names(shape, members, path)
                for name, member in members.items():
                    if name in _members(shape):
                        yield from self._tree(_members(shape)[name], member, f"{path}.{name}")
        elif shape.type_name == "list":
            for index, item in enumerate(asl_expressions.items(tree)):
                yield from self._tree(shape.member, item, f"{path}[{index}]")
        elif (value := asl_expressions.literal(tree)) is not None:
            yield from _scalar(shape, value, path)

    def _names(self, shape: Shape, given: Iterable[str], path: str) -> Iterator[str]:
        members = _members(shape)
        for name in given:
            if name not in members:
                yield f"{path}.{name}: {self.service}:{self.action} has no such argument{_suggest(name, members)}"
        there = {_plain(name) for name in given}
        for name in sorted(shape.required_members):
            if _plain(name) not in there:
                yield f"{path}.{name[0].upper() + name[1:]} is missing; {self.service}:{self.action} requires it"

    def check_error(self, name: str) -> Iterator[str]:
        """Whether this call can end with the error `name`."""
        if name in STATES_ERRORS:
            return
        if self.pattern == ".waitForTaskToken" and "." not in name:
            return  # whoever answers with SendTaskFailure names it
        if self.service == "apigateway" and not self.is_sdk:
            if not API_ERROR.fullmatch(name):
                yield f"{name} is no error of apigateway:invoke: they are ApiGateway. and the HTTP status"
            return
        if self.service == "lambda" and not self.is_sdk:
            # a function's own exceptions are named as their classes
            if name not in LAMBDA_ERRORS and not re.fullmatch(r"[A-Za-z_]\w*", name):
                yield f"{name} is no error of lambda:invoke{_suggest(name, LAMBDA_ERRORS | STATES_ERRORS)}"
            return
        known = set(self._error_names())
        if name not in known:
            yield f"{name} is no error of {self.service}{_suggest(name, known | STATES_ERRORS)}"

    def _error_names(self) -> Iterator[str]:
        prefix = _sdk_prefix(self.model.service_id)
        base = prefix
        if not self.is_sdk:
            prefix, base = OPTIMIZED_ERRORS[self.service]
        for shape in self.model.error_shapes:
            yield f"{prefix}.{re.sub('(Exception|Fault)$', '', shape.name)}Exception"
        yield from (f"{prefix}.{name}Exception" for name in (base, *UNMODELLED))
        if self.service == "s3" and self.action == "headObject":
            yield "S3.NoSuchKeyException"


def _sdk_prefix(service_id: str) -> str:
    """What precedes the dot in errors of `aws-sdk:` integrations: SDK 2 for Java writes Ec2, Sfn, DynamoDb."""
    words = (word[:1].upper() + word[1:] for word in service_id.split())
    return "".join(re.sub(r"[A-Z]{2,}", lambda run: run[0].capitalize(), word) for word in words)


def _built(arguments: Any) -> list[dict[str, Any]]:
    """The objects that an expression in the place of all arguments builds."""
    tree = asl_expressions.parse(arguments) if asl_expressions.is_expression(str(arguments)) else ""
    return [] if isinstance(tree, str) else list(asl_expressions.objects(tree))


@cache
def service_model(service: str) -> Model:
    """botocore's model of the service that Step Functions calls `service`, or None."""
    name = BOTOCORE_NAMES.get(service) or _services().get(service)
    return botocore.session.get_session().get_service_model(name) if name else None


@cache
def _services() -> dict[str, str]:
    return {name.replace("-", ""): name for name in botocore.session.get_session().get_available_services()}


def _api_arguments(arguments: Any) -> Iterator[str]:
    given = arguments if isinstance(arguments, Mapping) else {}
    for name in given:
        if name not in API_ARGUMENTS:
            yield f"Arguments.{name}: apigateway:invoke has no such argument{_suggest(name, API_ARGUMENTS)}"
    yield from (
        f"Arguments.{name} is missing; apigateway:invoke requires it" for name in sorted(API_REQUIRED - set(given))
    )


def _members(shape: Shape) -> dict[str, Shape]:
    """Step Functions spells arguments in PascalCase, also where the API does not; SDK 2 lowers a leading acronym."""
    spelt = {name[0].upper() + name[1:]: member for name, member in shape.members.items()}
    return {_lowered(name): member for name, member in spelt.items()} | spelt


def _lowered(name: str) -> str:
    """KMSKeyId is KmsKeyId, ETag and ChecksumCRC32 stay."""
    acronym = re.match(r"[A-Z]{2,}(?![a-z])|[A-Z]{2,}(?=[A-Z][a-z])", name)
    return name[: acronym.end()].capitalize() + name[acronym.end() :] if acronym else name


def _plain(name: str) -> str:
    """One spelling for all of a name's, to compare by."""
    return _lowered(name[0].upper() + name[1:])


def _scalar(shape: Shape, value: Any, path: str) -> Iterator[str]:
    wanted = PYTHON_TYPES[shape.type_name]
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted != (bool,)):
        yield f"{path}: is {value!r}, but has to be of type {shape.type_name}"
        return
    if isinstance(value, str) and _PLACEHOLDER.search(value):
        return
    if isinstance(value, str) and shape.enum and value not in shape.enum:
        yield f"{path}: is {value!r}{_suggest(value, shape.enum) or ', which is not one of its values'}"
    size = len(value) if isinstance(value, str) else value if isinstance(value, int | float) else None
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if size is not None and ((low is not None and size < low) or (high is not None and size > high)):
        yield f"{path}: is {value!r}, outside {low} to {high}"


def _suggest(name: str, known: Iterable[str]) -> str:
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_lower, 1, 0.6)
    return f" (is it {by_lower[close[0]]}?)" if close else ""
