"""What a row of the table of actions says, and how it becomes requests to evaluate."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local_aws.iam.policy import Request
from local_aws.settings import ACCOUNT_ID, REGION

Params = Mapping[str, Any]
Tags = Callable[[str], Mapping[str, str]]  # ARN of a resource -> its tags
_MEMBER = re.compile(r"\{([^}]+)\}")


def strings(params: Any, path: str) -> list[str]:
    """Every text at a dotted path of members; a list on the way stands for all of its items."""
    if isinstance(params, (list, tuple)):
        return [text for item in params for text in strings(item, path)]
    if not path:
        return [] if params is None else [str(params)]
    name, _, rest = path.partition(".")
    return strings(params.get(name), rest) if isinstance(params, Mapping) else []


def _whole(text: str) -> str:
    """An ARN from a filled-in template; a member may itself have been the whole ARN."""
    start = text.rfind("arn:aws:")
    return text[start:] if start >= 0 else f"arn:aws:{text}"


@dataclass(frozen=True)
class Need:
    """One IAM action that an operation takes.

    `resources` are ARNs after `arn:aws:`, with {Member} (or {Member.Member}) for members of the request, {region} and
    {account}; a member that is absent gives no ARN, a list gives one ARN for each item. A function gives whole ARNs.
    `fallback` is the resource when none came out; None means the action is then not needed.
    `when` names a member without which the action is not needed. `context` maps condition keys to a member's path,
    or, with a leading =, to a constant.
    """

    action: str
    resources: tuple[str | Callable[[Params], list[str]], ...] = ()
    fallback: str | None = "*"
    when: str = ""
    context: Mapping[str, str] = field(default_factory=dict)
    lower: bool = False
    tags: str = "Tags"

    def _arns(self, params: Params) -> Iterator[str]:
        for one in self.resources:
            if callable(one):
                yield from one(params)
                continue
            texts = [one.replace("{region}", REGION).replace("{account}", ACCOUNT_ID)]
            while (match := _MEMBER.search(texts[0] if texts else "")) is not None:
                values = strings(params, match.group(1))
                values = [value.lower() for value in values] if self.lower else values
                texts = [text.replace(match.group(0), value) for text in texts for value in values]
            yield from map(_whole, texts)

    def requests(self, params: Params, tags_of: Tags) -> Iterator[Request]:
        """The requests to evaluate for an operation called with `params`."""
        if self.when and not params.get(self.when):
            return
        arns = list(dict.fromkeys(self._arns(params)))
        if not arns and self.fallback is not None:
            arns = [self.fallback]
        keys = _request_keys(params, self.tags)
        for name, source in self.context.items():
            values = [source[1:]] if source.startswith("=") else strings(params, source)
            if values:
                keys[name.lower()] = values[0] if len(values) == 1 else values
        for arn in arns:
            yield Request(self.action, arn, {**keys, **_resource_keys(self.action, tags_of(arn))})


def pairs(given: Any) -> dict[str, str]:
    """Tags in any of the forms services take: a list of Key/Value or key/value, or a map."""
    if isinstance(given, Mapping):
        return {str(key): str(value) for key, value in given.items()}
    found = {}
    for one in given or []:
        key = one.get("Key", one.get("key", one.get("TagKey")))
        if key is not None:
            found[str(key)] = str(one.get("Value", one.get("value", one.get("TagValue", ""))))
    return found


def _request_keys(params: Params, member: str) -> dict[str, str | list[str]]:
    given = pairs(params.get(member) or params.get(member[:1].lower() + member[1:]))
    names = list(given) or [str(one) for one in params.get("TagKeys", [])]
    keys: dict[str, str | list[str]] = {f"aws:requesttag/{key.lower()}": value for key, value in given.items()}
    return {**keys, "aws:tagkeys": names} if names else keys


def _resource_keys(action: str, tags: Mapping[str, str]) -> dict[str, str | list[str]]:
    own = action.partition(":")[0]
    return {f"{prefix}:resourcetag/{key.lower()}": value for key, value in tags.items() for prefix in ("aws", own)}
