"""The machine images (AMIs) an instance can be made of, and the public parameters that name the latest of them.

What an image holds is not here: user data runs on this machine. An id stands for "this kind of image".
"""

from __future__ import annotations

import re
from typing import Any

from local_aws.errors import ApiError

DLAMI_OWNER = "898082745236"
# parameter -> (image, its name as AWS forms it, description)
PARAMETERS = {
    "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.10-ubuntu-24.04/latest/ami-id": (
        "ami-0d1a317e5c0de0001",
        "Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.10 (Ubuntu 24.04) 20261101",
        "Deep Learning AMI with PyTorch",
    ),
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id": (
        "ami-0d1a317e5c0de0002",
        "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) 20261101",
        "Deep Learning Base AMI",
    ),
}
ROOT_DEVICE = "/dev/sda1"
_PREFIX = "resolve:ssm:"
_IMAGE_ID = re.compile(r"ami-([0-9a-f]{8}|[0-9a-f]{17})")


def add_parameters(public: dict[str, str]) -> None:
    """Adds our parameters to MiniStack's table of those that every account can read."""
    public.update({name: image for name, (image, _, _) in PARAMETERS.items()})


def add_images(known: list[Any]) -> None:
    """Adds our images to MiniStack's list of those that every account can see."""
    known.extend(
        (image, name, description, "", ROOT_DEVICE, DLAMI_OWNER, "amazon")
        for image, name, description in PARAMETERS.values()
    )


def resolve(image: str | None, ec2: Any, ssm: Any) -> str:
    """The id of the image that RunInstances names. `ec2` and `ssm` are MiniStack's modules. Raises ApiError."""
    if not image:
        raise ApiError("MissingParameter", "The request must contain the parameter ImageId")
    if image.startswith(_PREFIX):
        parameter, problem = ssm._select_parameter(image.removeprefix(_PREFIX))
        if problem:
            raise ApiError("InvalidParameterValue", f"Systems Manager gave {problem} for '{image}'")
        image = str(parameter["Value"])
    if not _IMAGE_ID.fullmatch(image):
        raise ApiError("InvalidAMIID.Malformed", f'Invalid id: "{image}"')
    if image not in {stub[0] for stub in ec2._STUB_AMIS} and ec2._registered_image(image) is None:
        raise ApiError("InvalidAMIID.NotFound", f"The image id '[{image}]' does not exist")
    return image
