"""What may import what (docs/architecture.md), read from the syntax trees of the whole product."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN = {"functions", "kennel", "training", "serving", "local_aws", "tools", "benchmarks", "tests"}
AWS = {"boto3", "botocore"}
PICTURES = {"numpy", "PIL", "simplejpeg"}
TORCH = {"torch", "torchvision", "torchaudio"}


@dataclass(frozen=True)
class Rule:
    """`own`: what of ours may be imported; `only`: what of others may be (None: anything but `never`)."""

    own: frozenset[str]
    only: frozenset[str] | None = None
    never: frozenset[str] = frozenset()


def rule(own: set[str], only: set[str] | None = None, never: set[str] | None = None) -> Rule:
    return Rule(frozenset(own), None if only is None else frozenset(only), frozenset(never or ()))


RULES = {
    # Lambda: its runtime has boto3, the layer has Powertools and kennel; nothing else is there.
    "functions": rule({"kennel"}, {*AWS, "aws_lambda_powertools"}),
    # Clients come in as arguments: botocore is for its exceptions.
    "layers/common/kennel": rule({"kennel"}, {"botocore", "aws_lambda_powertools"}),
    # Data arrives by SM_CHANNEL_*, never by boto3. Shared with serving: the preprocessing, what a whole model is, and
    # what is sampled of a picture.
    "training": rule(
        {"training", "serving.preprocess", "serving.manifest", "serving.sampled"},
        never={*AWS, "sagemaker", "aws_lambda_powertools", "requests"},
    ),
    # Torch never enters the serving image.
    "serving": rule({"serving"}, never={*TORCH, *AWS, "sagemaker", "requests"}),
    # Runs training and serving only as processes, by the same contract as SageMaker.
    "local_aws": rule({"local_aws"}, never={*TORCH, "openvino", "PIL", "simplejpeg"}),
    # Drive the stack from outside, as a user does.
    "tools": rule({"tools"}, never={*TORCH}),
    "benchmarks": rule({"benchmarks", "training", "serving", "tools"}),
}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import in a file, wherever it stands; `from a import b` also as `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def breaks(rule: Rule, name: str, siblings: set[str]) -> bool:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in siblings:
        return False
    if top in OWN:
        return not any(f"{name}.".startswith(f"{allowed}.") for allowed in rule.own)
    return top in rule.never if rule.only is None else top not in rule.only


def files(folder: str) -> list[Path]:
    hidden = (".venv", "__pycache__", ".aws-sam")
    return [path for path in sorted((ROOT / folder).rglob("*.py")) if not any(part in hidden for part in path.parts)]


@pytest.mark.parametrize("folder", RULES)
def test_only_what_the_rules_allow_is_imported(folder: str) -> None:
    assert files(folder)
    broken = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in files(folder)
        for line, name in imports(path)
        if breaks(RULES[folder], name, {"_typeshed"})
    ]
    assert not broken, "\n".join(broken)


def test_a_function_imports_no_other_function() -> None:
    for path in files("functions"):
        assert not [name for _, name in imports(path) if name.startswith(("functions", "app"))], path


def test_training_takes_three_modules_of_serving_only() -> None:
    taken = {
        name.split(".")[1] for path in files("training") for _, name in imports(path) if name.startswith("serving")
    }
    assert taken <= {"preprocess", "manifest", "sampled"}


def test_nobody_imports_the_embedded_aws_the_benchmarks_or_the_tests() -> None:
    for folder, rule_ in RULES.items():
        for outside in {"local_aws", "benchmarks", "tests"} - {folder}:
            assert outside not in rule_.own


def test_the_rules_would_notice() -> None:
    assert breaks(RULES["functions"], "torch", set())
    assert breaks(RULES["functions"], "functions.publish_code.app", set())
    assert breaks(RULES["layers/common/kennel"], "boto3", set())
    assert breaks(RULES["training"], "serving.app", set())
    assert breaks(RULES["serving"], "torch.nn", set())
    assert breaks(RULES["local_aws"], "kennel.errors", set())
    assert not breaks(RULES["training"], "serving.preprocess.load", set())
    assert not breaks(RULES["functions"], "kennel.errors", set())
