"""Findings of the judges, and the skips that stand beside what they are about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Finding(NamedTuple):
    """`rule` is broken at `where`; `about` tells findings of one rule in one place apart; `text` is for a person."""

    rule: str
    where: str
    about: str = ""
    text: str = ""


@dataclass
class Verdict:
    """What a judge says: how many checks passed (None: it counts none), what failed, how many skips were needed."""

    judge: str
    passed: int | None
    failed: list[Finding]
    skipped: int = 0
    note: str = ""


@dataclass
class Skips:
    """The skips of one judge: from (rule, where, about) to the reason."""

    reasons: dict[tuple[str, str, str], str] = field(default_factory=dict)

    @classmethod
    def of_template(cls, template: dict[str, Any], judge: str) -> Skips:
        """Those in `Metadata: {JUDGE: {skip: [{id, about, comment}, ...]}}` of the resources; checkov's own form."""
        found = cls()
        for name, resource in template["Resources"].items():
            for skip in resource.get("Metadata", {}).get(judge, {}).get("skip", []):
                found.reasons[skip["id"], name, skip.get("about", "")] = skip.get("comment", "")
        return found

    def judge(self, judge: str, passed: int | None, findings: Iterable[Finding]) -> Verdict:
        """The verdict after the skips. One without a reason, or that nothing needs any more, is a finding itself."""
        unique = set(findings)
        failed = sorted(one for one in unique if one[:3] not in self.reasons)
        needed = {one[:3] for one in unique} & self.reasons.keys()
        for skip, reason in self.reasons.items():
            rule, where, about = skip
            if skip not in needed:
                failed.append(
                    Finding(rule, where, about, "is skipped, but nothing is found any more: take the skip away")
                )
            elif len(reason) < 15:
                failed.append(Finding(rule, where, about, "is skipped without a reason: write it into the comment"))
        return Verdict(judge, passed, failed, len(needed))
