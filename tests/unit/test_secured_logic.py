"""With a key and a private network every request of the state machines carries them; without, none does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kennel.secured import of_batch
from kennel.settings import Secured

from tests.unit import deploy_world, pipeline_world, test_batch_logic, test_train_on_ec2_logic
from tests.unit.asl_walker import walk
from tests.unit.plans import machine, make_plan

KEY = "arn:aws:kms:us-east-1:000000000000:key/1"
NETWORK = {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
SECURED = Secured(KEY, ("subnet-1", "subnet-2"), ("sg-1",))


def requests(secured: Secured) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the machines ask for, in both ways to search, training on EC2, a deployment and a batch."""
    for strategy in ("random", "embedded"):
        world = pipeline_world.World()
        world.plan = make_plan({"tune": {"strategy": strategy}}, secured=secured)
        walk(machine("pipeline"), {}, world)
        yield from world.requests
    on_ec2 = test_train_on_ec2_logic.World()
    on_ec2.plan = make_plan({"train": {"mode": "ec2"}}, secured=Secured(secured.kms_key))
    test_train_on_ec2_logic.run(on_ec2)
    deployed = deploy_world.World()
    deployed.plan = make_plan({}, secured=secured)
    walk(machine("deploy"), {"plan": deployed.plan, "model_data": "s3://artifacts/model.tar.gz"}, deployed)
    batch = test_batch_logic.Batch()
    planned = batch.do_invoke
    more = {"secured": of_batch(secured, "ml.c7i.large")}
    batch.do_invoke = lambda arguments: {"Payload": planned(arguments)["Payload"] | more}  # type: ignore[method-assign]
    walk(machine("batch"), {}, batch)
    yield from (*on_ec2.requests, *deployed.requests, *batch.requests)


def of(call: str, secured: Secured) -> list[dict[str, Any]]:
    found = [arguments for name, arguments in requests(secured) if name.partition(":")[2].partition(".")[0] == call]
    assert found, call
    return found


def test_every_job_and_every_trial_is_in_the_network_isolated_and_keeps_what_it_writes_under_the_key() -> None:
    trials = [one["TrainingJobDefinition"] for one in of("createHyperParameterTuningJob", SECURED)]
    for job in (*of("createTrainingJob", SECURED), *trials):
        assert (job["VpcConfig"], job["EnableNetworkIsolation"]) == (NETWORK, True)
        assert job["OutputDataConfig"]["KmsKeyId"] == job["ResourceConfig"]["VolumeKmsKeyId"] == KEY
        assert job["InputDataConfig"][-1]["ChannelName"] == "abcdef0123456789" * 4


def test_the_model_its_endpoint_and_its_package_too() -> None:
    (model,), (config,) = of("createModel", SECURED), of("createEndpointConfig", SECURED)
    assert (model["VpcConfig"], model["EnableNetworkIsolation"], config["KmsKeyId"]) == (NETWORK, True, KEY)
    assert all(one["SecurityConfig"] == {"KmsKeyId": KEY} for one in of("createModelPackage", SECURED))


def test_batches_and_instances_of_ec2_keep_under_the_key() -> None:
    for job in of("createTransformJob", SECURED):
        assert job["TransformOutput"]["KmsKeyId"] == job["TransformResources"]["VolumeKmsKeyId"] == KEY
    (instance,) = of("runInstances", SECURED)
    assert instance["BlockDeviceMappings"][0]["Ebs"]["KmsKeyId"] == KEY


@pytest.mark.parametrize("word", ["VpcConfig", "KmsKeyId", "SecurityConfig", "code"])
def test_without_the_options_no_request_says_anything_of_them(word: str) -> None:
    sent = json.dumps([arguments for name, arguments in requests(Secured()) if ":create" in name])
    assert f'"{word}"' not in sent
