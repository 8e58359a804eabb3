"""The stack as CloudFormation gets it, for tools that know neither SAM nor CloudFormation's functions."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from tools.template import ROOT, holds

ACCOUNT, REGION = "123456789012", "us-east-1"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/kennel/1",
    "AWS::StackName": "kennel",
    "AWS::URLSuffix": "amazonaws.com",
}
_REGIONAL = f"{REGION}:{ACCOUNT}"
# What `!GetAtt X.Arn` is for an X of this type that is named {}.
ARNS = {
    "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{_REGIONAL}:alarm:{{}}",
    "AWS::CodeBuild::Project": f"arn:aws:codebuild:{_REGIONAL}:project/{{}}",
    "AWS::ECR::Repository": f"arn:aws:ecr:{_REGIONAL}:repository/{{}}",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{}}",
    "AWS::KMS::Key": f"arn:aws:kms:{_REGIONAL}:key/{{}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{_REGIONAL}:function:{{}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{_REGIONAL}:log-group:{{}}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::SNS::Topic": f"arn:aws:sns:{_REGIONAL}:{{}}",
    "AWS::StepFunctions::StateMachine": f"arn:aws:states:{_REGIONAL}:stateMachine:{{}}",
}
# What parameters are that policies name, and that are empty by default.
GIVEN = {
    "DataBucketName": "pictures",
    "DataBucketOwner": "210987654321",
    "KmsKeyArn": f"arn:aws:kms:{_REGIONAL}:key/11111111-2222-3333-4444-555555555555",
}
REFERRED_TO_BY_ARN = ("AWS::SNS::Topic", "AWS::StepFunctions::StateMachine")
_ABSENT = object()
Template = dict[str, Any]


class Policy(NamedTuple):
    """A policy document without functions: `owner` is its resource's logical id, `place` where in it the policy is."""

    owner: str
    place: str
    document: dict[str, Any]


def transform(template: Template) -> Template:
    """The template after the Serverless transform; code that would be uploaded is somewhere in S3.

    The transform asks boto3 for a region: AWS_DEFAULT_REGION has to be set.
    """
    template = copy.deepcopy(template)
    logging.getLogger("samtranslator").setLevel(logging.ERROR)  # it tells of its own switches otherwise
    for resource in template["Resources"].values():
        for source in {"CodeUri", "ContentUri", "DefinitionUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][source] = "s3://code/uploaded"
    transformed: Template = Translator({}, Parser()).translate(template, {})
    return transformed


@cache
def source() -> Template:
    """template.yaml, with !Sub as Fn::Sub. Reading it takes a second."""
    read: Template = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    return read


def transformed() -> Template:
    """template.yaml after the transform."""
    return transform(source())


def as_by_default(template: Template) -> Template:
    """The template with every Fn::If decided as the parameters' defaults decide it; all its resources are kept."""
    return {**template, "Resources": _Resolver(template, lambda name: _holds(template, name)).decided()}


def _holds(template: Template, condition: str) -> bool:
    """Whether a condition holds with every parameter at its default."""

    def text(term: Any) -> str:
        if not isinstance(term, dict):
            return str(term)
        return PSEUDO.get(term["Ref"]) or str(template["Parameters"][term["Ref"]]["Default"])

    return holds(template["Conditions"][condition], template["Conditions"], text)


def policies(template: Template) -> list[Policy]:
    """Every policy document of a transformed template, in every form it has.

    That is with all conditions true, with none, and with each of them alone.
    """
    found: list[Policy] = []
    conditions = list(template.get("Conditions", {}))
    for true in (conditions, [], *([one] for one in conditions)):
        resolver = _Resolver(template, true.__contains__)
        for owner, resource in template["Resources"].items():
            for place, document in _documents(resource.get("Properties", {})):
                policy = Policy(owner, place, resolver.value(document))
                if policy not in found:
                    found.append(policy)
    return found


def _documents(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Whatever has statements, wherever it is."""
    if isinstance(value, dict) and "Statement" in value:
        yield place, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _documents(member, f"{place}.{name}".lstrip("."))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _documents(member, f"{place}[{index}]")


class _Resolver:
    """Works out CloudFormation's functions; `choose` says whether a condition holds."""

    def __init__(self, template: Template, choose: Callable[[str], bool]) -> None:
        self.template, self.choose = template, choose

    def decided(self) -> Any:
        """The resources with nothing but Fn::If worked out."""
        return self._walk(self.template["Resources"], functions=False)

    def value(self, term: Any) -> Any:
        """The term with every function worked out."""
        return self._walk(term, functions=True)

    def _walk(self, term: Any, *, functions: bool) -> Any:
        if isinstance(term, list):
            members = [self._walk(one, functions=functions) for one in term]
            return [one for one in members if one is not _ABSENT]
        if not isinstance(term, dict):
            return term
        if term == {"Ref": "AWS::NoValue"}:
            return _ABSENT
        if term.keys() == {"Fn::If"}:
            condition, then, otherwise = term["Fn::If"]
            return self._walk(then if self.choose(condition) else otherwise, functions=functions)
        if functions and len(term) == 1:
            ((function, argument),) = term.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._call(function, argument)
        walked = {name: self._walk(member, functions=functions) for name, member in term.items()}
        return {name: member for name, member in walked.items() if member is not _ABSENT}

    def _call(self, function: str, argument: Any) -> Any:
        if function == "Ref":
            return self._reference(argument)
        if function == "Fn::GetAtt":
            return self._attribute(*(argument if isinstance(argument, list) else argument.split(".", 1)))
        if function == "Fn::Sub":
            text, own = (argument, {}) if isinstance(argument, str) else argument
            own = {name: self.value(member) for name, member in own.items()}
            return re.sub(r"\$\{([\w:.]+)\}", lambda found: str(own.get(found[1]) or self._named(found[1])), text)
        terms = self.value(argument)
        if function == "Fn::Join":
            return terms[0].join(terms[1])
        if function == "Fn::Select":
            return terms[1][int(terms[0])]
        if function == "Fn::Split":
            return terms[1].split(terms[0])
        raise ValueError(f"a policy uses {function}: teach {__name__} what it answers")

    def _named(self, name: str) -> str:
        return self._attribute(*name.split(".", 1)) if "." in name else self._reference(name)

    def _reference(self, name: str) -> str:
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.template["Parameters"]:
            return GIVEN.get(name) or str(self.template["Parameters"][name]["Default"])
        if self.template["Resources"][name]["Type"] in REFERRED_TO_BY_ARN:
            return self._attribute(name, "Arn")
        return name.lower()

    def _attribute(self, name: str, attribute: str) -> str:
        kind = self.template["Resources"][name]["Type"]
        if attribute != "Arn":
            return f"{name}-{attribute}".lower()
        if kind not in ARNS:
            raise ValueError(f"a policy names the ARN of {name}, a {kind}: add the form of such an ARN to {__name__}")
        return ARNS[kind].format(name.lower())
