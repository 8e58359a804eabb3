"""What cfn-lint, checkov and parliament find in the template."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tools.judges import stack
from tools.judges.skips import Finding, Skips, Verdict
from tools.template import ROOT

CHECKOV_PASSES = 81  # the goal; a template that loses what is checked would pass with fewer
CHECK, SAM = ROOT / ".venv-check" / "bin", ROOT / ".venv-sam" / "bin"


def cfn_lint(path: Path = ROOT / "template.yaml") -> Verdict:
    """Every rule, the informational ones, too; what the Metadata of the template or a resource ignores is skipped."""
    done = _run(SAM / "cfn-lint", "--include-checks", "I", "--format", "json", "--", path)
    findings = [
        Finding(one["Rule"]["Id"], f"line {one['Location']['Start']['LineNumber']}", text=one["Message"])
        for one in json.loads(done)
    ]
    source = stack.source()
    ignored = sum(
        len(one.get("Metadata", {}).get("cfn-lint", {}).get("config", {}).get("ignore_checks", []))
        for one in (source, *source["Resources"].values())
    )
    return Verdict("cfn-lint", None, findings, ignored)


def checkov(template: stack.Template, folder: Path) -> Verdict:
    """The transformed template, as the parameters' defaults decide it; `folder` takes the file that checkov reads.

    It sees no skips, so that one which nothing needs any more shows.
    """
    resources = stack.as_by_default(template)["Resources"].items()
    bare = {name: {**resource, "Metadata": {}} for name, resource in resources}
    path = folder / "template.json"
    path.write_text(json.dumps({**template, "Resources": bare}, default=str), encoding="utf-8")
    options = ["--framework", "cloudformation", "--skip-download", "--soft-fail", "--output", "json", "--file"]
    report = json.loads(_run(CHECK / "python", CHECK / "checkov", *options, path))
    if report["summary"]["parsing_errors"]:
        raise RuntimeError("checkov could not read the transformed template")
    findings = [
        Finding(one["check_id"], written(one["resource"].partition(".")[2]), text=one["check_name"])
        for one in report["results"]["failed_checks"]
    ]
    if (passed := report["summary"]["passed"]) < CHECKOV_PASSES:
        findings.append(Finding("passed", "template.yaml", text=f"{passed} checks, fewer than {CHECKOV_PASSES}"))
    return Skips.of_template(stack.source(), "checkov").judge("checkov", passed, findings)


def parliament(template: stack.Template) -> Verdict:
    """Every policy of the transformed template; a policy without a finding has passed."""
    policies = stack.policies(template)
    found = in_parliament(policies)
    passed = len(policies) - len({number for number, _ in found})
    skips = Skips.of_template(stack.source(), "parliament")
    return skips.judge("parliament", passed, [finding for _, finding in found])


def written(resource: str) -> str:
    """The resource of template.yaml that this one of the transformed template comes from."""
    if resource in stack.source()["Resources"]:
        return resource
    return max((one for one in stack.source()["Resources"] if resource.startswith(one)), key=len, default=resource)


def in_parliament(policies: list[stack.Policy]) -> list[tuple[int, Finding]]:
    """The number of the policy and what is found.

    `about` is the statement's Sid; of a whole policy each action that is meant, or what several make possible.
    """
    asked = json.dumps([_asked(policy) for policy in policies], default=str)
    findings = []
    for number, issue, detail, location in json.loads(
        _run(CHECK / "python", "-P", "tools/judges/in_parliament.py", given=asked)
    ):
        policy = policies[number]
        subjects = [location["type"]] if "type" in location else location.get("actions", [policy.place])
        if "line" in location:
            subjects = [_statements(policy)[location["line"] - 2].get("Sid", policy.place)]
        findings += [(number, Finding(issue, policy.owner, about, detail)) for about in subjects]
    return findings


def _statements(policy: stack.Policy) -> list[dict[str, Any]]:
    statements = policy.document["Statement"]
    return statements if isinstance(statements, list) else [statements]


# Policies of one resource only, which they leave unsaid or call "*"; parliament wants its name.
_OF_ITSELF = {"AssumeRolePolicyDocument": "AWS::IAM::Role", "KeyPolicy": "AWS::KMS::Key"}


def _asked(policy: stack.Policy) -> str:
    """The policy with a statement on each line, so that a line tells the statement."""
    itself = {"Resource": stack.ARNS[kind].format(policy.owner)} if (kind := _OF_ITSELF.get(policy.place)) else {}
    lines = [json.dumps({**statement, **itself}, default=str) for statement in _statements(policy)]
    version = json.dumps(policy.document.get("Version"), default=str)
    return f'{{"Version": {version}, "Statement": [\n' + ",\n".join(lines) + "\n]}"


def _run(*command: str | Path, given: str | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, input=given, capture_output=True, text=True, check=False
    )
    if not re.match(r"\s*[\[{]", done.stdout):
        raise RuntimeError(f"{Path(command[0]).name} gave no report:\n{done.stdout}{done.stderr}")
    return done.stdout
