"""sagemaker-core: a model served, asked, updated and taken away as objects. Writes what it saw as JSON.

Argument: {"answer": a path, "role", "image", "name", "models": [uri, uri]}.
"""

import json
import sys
from pathlib import Path

from sagemaker.core import shapes
from sagemaker.core.resources import Endpoint, EndpointConfig, Model

given = json.loads(sys.argv[1])
name = given["name"]


def config(number: int) -> str:
    """A model and a configuration of the given number; gives the name of both."""
    full = f"{name}-{number}"
    container = shapes.ContainerDefinition(
        image=given["image"], model_data_url=given["models"][number], environment={"GREETING": "woof"}
    )
    Model.create(model_name=full, primary_container=container, execution_role_arn=given["role"])
    variant = shapes.ProductionVariant(
        variant_name="AllTraffic", model_name=full, instance_type="ml.c7i.large", initial_instance_count=1
    )
    EndpointConfig.create(endpoint_config_name=full, production_variants=[variant])
    return full


def ask(endpoint: Endpoint) -> dict[str, object]:
    answer = endpoint.invoke(body=b"picture", content_type="image/jpeg", accept="application/json")
    body: dict[str, object] = json.loads(answer.body.read())
    return body


endpoint = Endpoint.create(endpoint_name=name, endpoint_config_name=config(0))
endpoint.wait_for_status("InService", poll=1)
first = ask(endpoint)
endpoint.endpoint_config_name = config(1)
endpoint.update()
endpoint.wait_for_status("InService", poll=1)
second = ask(endpoint)
listed = [one.endpoint_name for one in Endpoint.get_all(name_contains=name)]
endpoint.delete()
endpoint.wait_for_delete(poll=1)
for number in (0, 1):
    EndpointConfig.get(f"{name}-{number}").delete()
    Model.get(f"{name}-{number}").delete()
left = [*Endpoint.get_all(name_contains=name), *Model.get_all(name_contains=name)]
Path(given["answer"]).write_text(
    json.dumps(
        {
            "versions": [first["version"], second["version"]],
            "said": [first["size"], first["type"], first["greeting"]],
            "listed": listed,
            "left": len(left),
        }
    )
)
