"""Condition blocks of IAM policies, compiled once into functions over a request's condition keys.

An operator or a key that is not known here is refused when the policy is read: to skip it would allow what AWS forbids.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Context = Mapping[str, str | list[str]]  # condition key in lower case -> its value or values
Condition = Callable[[Context], bool]


class PolicyError(Exception):
    """A policy that this evaluation cannot judge; the message names what it does not know."""


KEYS = frozenset(
    {
        "aws:calledvia",
        "aws:currenttime",
        "aws:principalaccount",
        "aws:principalarn",
        "aws:requestedregion",
        "aws:resourceaccount",
        "aws:securetransport",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:tagkeys",
        "application-autoscaling:scalable-dimension",
        "application-autoscaling:service-namespace",
        "cloudwatch:namespace",
        "ec2:createaction",
        "ec2:instanceprofile",
        "ec2:instancetype",
        "iam:awsservicename",
        "iam:passedtoservice",
        "kms:grantisforawsresource",
        "kms:viaservice",
        "lambda:sourcefunctionarn",
        "s3:delimiter",
        "s3:max-keys",
        "s3:prefix",
        "sagemaker:instancetypes",
    }
)
# Keys that end in the name of a tag, or of a part of KMS's encryption context.
NAMED_KEYS = (
    "aws:resourcetag/",
    "aws:requesttag/",
    "ec2:resourcetag/",
    "kms:encryptioncontext:",
    "sagemaker:resourcetag/",
)

_NUMBERS: dict[str, Callable[[float, float], bool]] = {
    "numericequals": lambda actual, wanted: actual == wanted,
    "numericlessthan": lambda actual, wanted: actual < wanted,
    "numericlessthanequals": lambda actual, wanted: actual <= wanted,
    "numericgreaterthan": lambda actual, wanted: actual > wanted,
    "numericgreaterthanequals": lambda actual, wanted: actual >= wanted,
}
_NEGATED = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "numericnotequals": "numericequals",
    "arnnotequals": "arnlike",
    "arnnotlike": "arnlike",
}


def wildcard(pattern: str, ignore_case: bool = False) -> re.Pattern[str]:
    """IAM's `*` (any characters) and `?` (one character) as a regular expression for fullmatch."""
    text = "".join({"*": ".*", "?": "."}.get(one, re.escape(one)) for one in pattern)
    return re.compile(text, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _arn_like(pattern: str) -> Callable[[str], bool]:
    """Each of an ARN's six parts is matched by itself, so that a `*` does not reach into the next one."""
    parts = [wildcard(part) for part in pattern.split(":", 5)]

    def match(value: str) -> bool:
        values = value.split(":", 5)
        return len(values) == len(parts) and all(one.fullmatch(part) for one, part in zip(parts, values, strict=True))

    return match


def _number(operator: str, wanted: str) -> Callable[[str], bool]:
    compare, limit = _NUMBERS[operator], float(wanted)

    def match(value: str) -> bool:
        try:
            return compare(float(value), limit)
        except ValueError:
            return False

    return match


def _matcher(operator: str, wanted: str) -> Callable[[str], bool]:
    """Whether one value of the request meets one value of the policy."""
    if "${" in wanted:
        raise PolicyError(f"the policy variable in {wanted!r}")
    if operator == "stringequals":
        return lambda value: value == wanted
    if operator in ("stringequalsignorecase", "bool"):
        return lambda value: value.lower() == wanted.lower()
    if operator == "stringlike":
        pattern = wildcard(wanted)
        return lambda value: pattern.fullmatch(value) is not None
    if operator in ("arnlike", "arnequals"):
        return _arn_like(wanted)
    if operator in _NUMBERS:
        return _number(operator, wanted)
    raise PolicyError(f"the condition operator {operator}")


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(one).lower() if isinstance(one, bool) else str(one) for one in values]


def _known(key: str) -> str:
    lowered = key.lower()
    if lowered not in KEYS and not lowered.startswith(NAMED_KEYS):
        raise PolicyError(f"the condition key {key}")
    return lowered


def _one(name: str, key: str, wanted: list[str]) -> Condition:
    """One line of a condition block, such as StringEquals: {key: [values]}."""
    quantifier, colon, operator = name.lower().rpartition(":")
    if colon and quantifier not in ("forallvalues", "foranyvalue"):
        raise PolicyError(f"the condition operator {name}")
    if operator == "null":
        absent = wanted == ["true"]
        return lambda context: (key not in context) == absent
    optional = operator.endswith("ifexists")
    operator = operator.removesuffix("ifexists")
    negated = operator in _NEGATED
    matchers = [_matcher(_NEGATED.get(operator, operator), one) for one in wanted]

    def meets(value: str) -> bool:
        return any(match(value) for match in matchers) != negated

    def condition(context: Context) -> bool:
        given = context.get(key)
        if given is None:
            return optional or quantifier == "forallvalues" or (negated and not quantifier)
        values = given if isinstance(given, list) else [given]
        if quantifier == "forallvalues":
            return all(map(meets, values))
        return any(map(meets, values))

    return condition


def compiled(block: Mapping[str, Mapping[str, Any]]) -> tuple[Condition, ...]:
    """Every line of a Condition block; all of them must hold. Raises PolicyError for what is not known."""
    return tuple(
        _one(operator, _known(key), _texts(wanted))
        for operator, lines in block.items()
        for key, wanted in lines.items()
    )
