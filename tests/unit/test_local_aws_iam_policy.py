"""Evaluation of IAM policies: what is allowed, what is denied, what cannot be judged."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.iam.conditions import PolicyError
from local_aws.iam.policy import Request, evaluate, names_role, names_service, parse

OBJECT = "arn:aws:s3:::data/dogImages/a.jpg"


def allows(request: Request, *statements: dict[str, Any]) -> bool:
    parsed = parse("p", {"Statement": [{"Effect": "Allow", "Resource": "*", **one} for one in statements]})
    return evaluate(parsed, request).allowed


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ({"Action": "s3:GetObject"}, True),
        ({"Action": "S3:getobject"}, True),
        ({"Action": "s3:Get*"}, True),
        ({"Action": ["s3:PutObject", "s3:GetObjec?"]}, True),
        ({"Action": "s3:GetObjectVersion"}, False),
        ({"NotAction": "s3:Put*"}, True),
        ({"NotAction": "s3:Get*"}, False),
        ({"Action": "*", "Resource": "arn:aws:s3:::data/*"}, True),
        ({"Action": "*", "Resource": "arn:aws:s3:::DATA/*"}, False),
        ({"Action": "*", "Resource": "arn:aws:s3:::data"}, False),
        ({"Action": "*", "Resource": ["arn:aws:s3:::other/*", "arn:aws:s3:::data/dog*/?.jpg"]}, True),
    ],
)
def test_actions_and_resources_match_with_wildcards(statement: dict[str, Any], allowed: bool) -> None:
    assert allows(Request("s3:GetObject", OBJECT), statement) is allowed


def test_not_resource_means_everything_else() -> None:
    statement = {"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::data/*"}

    parsed = parse("p", {"Statement": statement})

    assert not evaluate(parsed, Request("s3:GetObject", OBJECT)).allowed
    assert evaluate(parsed, Request("s3:GetObject", "arn:aws:s3:::other/a")).allowed


def test_an_explicit_deny_wins_wherever_it_stands() -> None:
    deny = {"Sid": "No", "Effect": "Deny", "Action": "s3:*", "Resource": OBJECT}
    allow = {"Sid": "Yes", "Effect": "Allow", "Action": "*", "Resource": "*"}

    decisions = [
        evaluate(parse("p", {"Statement": order}), Request("s3:GetObject", OBJECT))
        for order in ([deny, allow], [allow, deny])
    ]

    assert [(one.allowed, one.statement and one.statement.sid) for one in decisions] == [(False, "No")] * 2


CONTEXT: dict[str, str | list[str]] = {
    "aws:resourcetag/kennel:stack": "kennel",
    "aws:tagkeys": ["kennel:stack", "kennel:run"],
    "s3:prefix": "code/abc",
    "aws:sourcearn": "arn:aws:sagemaker:us-east-1:000000000000:training-job/a",
    "s3:max-keys": "10",
    "aws:securetransport": "true",
}


@pytest.mark.parametrize(
    ("operator", "key", "value", "allowed"),
    [
        ("StringEquals", "aws:ResourceTag/kennel:stack", "kennel", True),
        ("StringEquals", "aws:ResourceTag/kennel:stack", ["other", "kennel"], True),
        ("StringEquals", "aws:ResourceTag/kennel:stack", "Kennel", False),
        ("StringEqualsIgnoreCase", "aws:ResourceTag/kennel:stack", "Kennel", True),
        ("StringEquals", "aws:ResourceTag/absent", "a", False),
        ("StringEqualsIfExists", "aws:ResourceTag/absent", "a", True),
        ("StringNotEquals", "aws:ResourceTag/kennel:stack", ["other", "kennel"], False),
        ("StringNotEquals", "aws:ResourceTag/absent", "a", True),
        ("StringLike", "s3:prefix", ["runs/*", "code/*"], True),
        ("StringNotLike", "s3:prefix", "code/*", False),
        ("ArnLike", "aws:SourceArn", "arn:aws:sagemaker:*:000000000000:*", True),
        ("ArnLike", "aws:SourceArn", "arn:aws:*:training-job/a", False),
        ("ArnEquals", "aws:SourceArn", "arn:aws:sagemaker:us-east-1:000000000000:training-job/b", False),
        ("NumericLessThanEquals", "s3:max-keys", "10", True),
        ("NumericGreaterThan", "s3:max-keys", 10, False),
        ("Bool", "aws:SecureTransport", "false", False),
        ("Bool", "aws:SecureTransport", True, True),
        ("Null", "aws:ResourceTag/absent", "true", True),
        ("Null", "aws:ResourceTag/kennel:stack", True, False),
        ("ForAllValues:StringEquals", "aws:TagKeys", ["kennel:stack", "kennel:run", "more"], True),
        ("ForAllValues:StringLike", "aws:TagKeys", "kennel:s*", False),
        ("ForAllValues:StringEquals", "aws:RequestTag/absent", "a", True),
        ("ForAnyValue:StringEquals", "aws:TagKeys", "kennel:run", True),
        ("ForAnyValue:StringEquals", "aws:RequestTag/absent", "a", False),
        ("ForAnyValue:StringNotEquals", "aws:TagKeys", "kennel:run", True),
    ],
)
def test_conditions(operator: str, key: str, value: Any, allowed: bool) -> None:
    statement = {"Action": "*", "Condition": {operator: {key: value}}}

    assert allows(Request("s3:ListBucket", "arn:aws:s3:::data", CONTEXT), statement) is allowed


def test_every_line_of_a_condition_must_hold() -> None:
    block = {"StringLike": {"s3:prefix": "code/*"}, "StringEquals": {"aws:ResourceTag/kennel:stack": "other"}}

    assert not allows(Request("s3:ListBucket", "arn:aws:s3:::data", CONTEXT), {"Action": "*", "Condition": block})


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ({"Action": "*", "Condition": {"StringEqualz": {"s3:prefix": "a"}}}, "stringequalz"),
        ({"Action": "*", "Condition": {"StringEquals": {"s3:colour": "a"}}}, "s3:colour"),
        ({"Action": "*", "Condition": {"ForSome:StringEquals": {"s3:prefix": "a"}}}, "ForSome:StringEquals"),
        ({"Action": "*", "Condition": {"StringEquals": {"s3:prefix": "${aws:username}"}}}, "policy variable"),
        ({"Action": "*", "Resource": "arn:aws:s3:::data/${aws:username}"}, "policy variable"),
        ({"Action": "*", "Effect": "Maybe"}, "Maybe"),
        ({"Action": "*", "Resources": "*"}, "Resources"),
        ({}, "Action"),
    ],
)
def test_what_is_not_known_is_refused_by_name(statement: dict[str, Any], named: str) -> None:
    with pytest.raises(PolicyError, match="policy p, statement Mine") as caught:
        allows(Request("s3:GetObject", OBJECT), {"Sid": "Mine", **statement})

    assert named in str(caught.value)


def test_a_trust_policy_names_services_and_principals() -> None:
    role = "arn:aws:iam::000000000000:role/r"
    principals: list[Any] = [
        {"Service": "lambda.amazonaws.com"},
        {"Service": ["states.amazonaws.com", "lambda.amazonaws.com"]},
        {"AWS": "arn:aws:iam::000000000000:root"},
        {"AWS": ["111111111111", role]},
        {"AWS": "111111111111"},
        "*",
    ]
    statements = [
        parse("t", {"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": one}})[0]
        for one in principals
    ]

    assert [names_service(one, "lambda.amazonaws.com") for one in statements] == [True, True, False, False, False, True]
    assert [names_role(one, role) for one in statements] == [False, False, True, True, False, True]
