"""tools.invoke: what a built template says about a function before anything is deployed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.invoke import InvokeError, built_function, resolve

TEMPLATE = """
Globals:
  Function:
    Handler: app.handler
    Timeout: 10
    Environment: {Variables: {POWERTOOLS_LOG_LEVEL: INFO}}
Parameters:
  Memory: {Type: Number, Default: 512}
Resources:
  DataBucket: {Type: 'AWS::S3::Bucket'}
  CommonLayer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: CommonLayer}
  ClassifyFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: ClassifyFunction
      MemorySize: {Ref: Memory}
      Environment:
        Variables:
          ENDPOINT_NAME: {Ref: 'AWS::StackName'}
          OWN_BUCKETS: {'Fn::Sub': '${DataBucket},${AWS::Region}'}
          CODE_URI: {'Fn::GetAtt': [Code, CodeUri]}
          SPOT: false
"""


def test_a_function_is_read_with_the_templates_defaults(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(TEMPLATE)

    function = built_function("ClassifyFunction", tmp_path)

    assert function.folder == tmp_path / "ClassifyFunction"
    assert function.layers == (tmp_path / "CommonLayer" / "python",)
    assert (function.handler, function.memory_mb, function.timeout_seconds) == ("app.handler", 512, 10)
    assert function.environment == {
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "ENDPOINT_NAME": "kennel",
        "OWN_BUCKETS": "DataBucket,us-east-1",
        "CODE_URI": "Code.CodeUri",
        "SPOT": "false",
    }


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvokeError, match="run 'sam build' first"):
        built_function("ClassifyFunction", tmp_path)
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    with pytest.raises(InvokeError, match="no function Nothing; it has ClassifyFunction"):
        built_function("Nothing", tmp_path)


def test_a_value_that_only_a_deployment_has_is_refused() -> None:
    with pytest.raises(InvokeError, match="Fn::ImportValue"):
        resolve({"Fn::ImportValue": "x"}, {})


def test_what_hangs_on_a_condition_is_as_the_defaults_have_it() -> None:
    conditions = {
        "Own": {"Fn::Equals": [{"Ref": "Bucket"}, ""]},
        "Private": {"Fn::And": [{"Condition": "Own"}, {"Fn::Not": [{"Fn::Equals": [{"Ref": "Network"}, "PUBLIC"]}]}]},
    }
    buckets = {"Fn::Join": [",", [{"Fn::If": ["Own", {"Ref": "DataBucket"}, {"Ref": "Bucket"}]}, "other"]]}
    network = {"Fn::If": ["Private", "no", "yes"]}
    for defaults, expected in (
        ({"Bucket": "", "Network": "PUBLIC"}, ("DataBucket,other", "yes")),
        ({"Bucket": "", "Network": "PRIVATE"}, ("DataBucket,other", "no")),
        ({"Bucket": "mine", "Network": "PRIVATE"}, ("mine,other", "yes")),
    ):
        assert (resolve(buckets, defaults, conditions), resolve(network, defaults, conditions)) == expected
