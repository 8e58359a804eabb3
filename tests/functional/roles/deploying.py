"""What deploying the stack needs of its own roles: publishing the code, creating the state machines."""

from __future__ import annotations

import json
import uuid

from botocore.exceptions import ClientError

from .paths import Path, logged
from .world import World


def _publish(world: World) -> str:
    """Asks the custom resource, as CloudFormation does, to publish code that is not there yet."""
    s3, (bucket, key) = world.client("s3"), world.quick.code
    address = f"{world.quick.stack.endpoint_url}/{world.quick.stack.data_bucket}/answers/{uuid.uuid4().hex}"
    event = {
        "RequestType": "Create",
        "ResponseURL": address,
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "PublishedCode",
        "ResourceProperties": {"Bucket": bucket},
    }
    s3.delete_object(Bucket=bucket, Key=key)
    try:
        function = world.physical("PublishCodeFunction")
        answer = world.client("lambda").invoke(FunctionName=function, Qualifier="live", Payload=json.dumps(event))
        said = json.load(answer["Payload"])
    finally:
        world.quick.behave()  # the quick programs again in the place of what was published
    return "" if said.get("Status") == "SUCCESS" else f"not published: {said.get('Reason', said)}"


def _state_machine(kind: str) -> Path:
    """As CloudFormation does after a change: Step Functions looks whether the role can do what the machine needs."""

    def update(world: World) -> str:
        client, arn = world.client("stepfunctions"), world.machine(kind)
        known = client.describe_state_machine(stateMachineArn=arn)
        try:
            client.update_state_machine(stateMachineArn=arn, definition=known["definition"], roleArn=known["roleArn"])
        except ClientError as error:
            return str(error)
        return ""

    return Path(f"deploying the state machine {kind}", update)


PUBLISH = Path("publishing the code", _publish)
PUBLISH_LOG = Path("the publishing function's log", logged("PublishCodeLogs", _publish))
MACHINES = {kind: _state_machine(kind) for kind in ("Pipeline", "TrainOnEc2", "Deploy", "Batch", "Sweep", "Teardown")}
