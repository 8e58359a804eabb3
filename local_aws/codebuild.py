"""CodeBuild builds without Docker: the same source, checked and unpacked where an image would have been built.

A build takes CODE_URI (the code bundle in S3) and IMAGE_URI (repository URI and tag) from its environment variables, as
the project's buildspec does, unpacks the bundle to DIR/images/<repository>/<tag>/, checks what `docker build` would
stumble over, and registers the image in the local ECR. It runs neither the buildspec nor the Dockerfile's RUN lines.
"""

from __future__ import annotations

import contextvars
import copy
import json
import re
import shlex
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ministack import app

from local_aws import archives, logs, objects
from local_aws.errors import ApiError, Response, error_response, json_response
from local_aws.iam import services
from local_aws.iam.callers import AccessDeniedError, acting, assume
from local_aws.settings import Paths

DOCKERFILE = "serving/Dockerfile"
_PART = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


class BuildError(Exception):
    """The build cannot succeed; the message goes to the phase context and the log."""


def split_image_uri(uri: str) -> tuple[str, str]:
    """`registry/repository:tag` -> (repository, tag). Raises ValueError for anything else, digests included."""
    registry, slash, rest = uri.partition("/")
    repository, colon, tag = rest.rpartition(":")
    parts = [*repository.split("/"), tag]
    if not registry or not slash or not colon or not all(_PART.match(part) for part in parts):
        raise ValueError(f"not an image URI of the form registry/repository:tag: {uri}")
    return repository, tag


def image_folder(paths: Paths, uri: str) -> Path:
    """Where the image `uri` is unpacked; a folder that is not there when the image is not in the local ECR."""
    try:
        repository, tag = split_image_uri(uri)
    except ValueError:
        return paths.images / "no-such-image"
    if app._get_module("ecr")._find_image(repository, {"imageTag": tag}) is None:
        return paths.images / "no-such-image"
    return paths.images / repository / tag


def copy_sources(dockerfile: str) -> list[str]:
    """Every source the Dockerfile copies from its context (not from other stages)."""
    found: list[str] = []
    for line in dockerfile.replace("\\\n", " ").splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if instruction.upper() not in ("COPY", "ADD") or "--from=" in rest:
            continue
        words = json.loads(rest) if rest.strip().startswith("[") else shlex.split(rest)
        names = [word for word in words if not word.startswith("--")]
        found += [name for name in names[:-1] if "://" not in name]
    return found


class Builds:
    """StartBuild and StopBuild; everything else of CodeBuild is MiniStack's."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.service = app._get_module("codebuild")
        self.stopped: set[str] = set()

    def start(self, data: dict[str, Any]) -> Response:
        """StartBuild: answers IN_PROGRESS; a thread builds."""
        name = data.get("projectName", "")
        project = self.service._projects.get(name)
        if not project:
            return error_response(ApiError("ResourceNotFoundException", f"Project cannot be found: {name}"))
        identity = self.service._build_id(name)
        record = self.service._make_build_record(project, identity, data.get("sourceVersion"))
        record.pop("endTime", None)
        variables = {one["name"]: one for one in project.get("environment", {}).get("environmentVariables", [])}
        variables |= {one["name"]: one for one in data.get("environmentVariablesOverride", [])}
        environment = copy.deepcopy(record["environment"])
        environment["environmentVariables"] = list(variables.values())
        started = {
            "phaseType": "SUBMITTED",
            "phaseStatus": "SUCCEEDED",
            "startTime": time.time(),
            "endTime": time.time(),
        }
        record |= {
            "buildStatus": "IN_PROGRESS",
            "buildComplete": False,
            "currentPhase": "BUILD",
            "phases": [started],
            "environment": environment,
        }
        self.service._builds[identity] = record
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run, record), name=f"build-{identity}", daemon=True).start()
        return json_response({"build": copy.deepcopy(record)})

    def stop(self, data: dict[str, Any]) -> Response:
        """StopBuild."""
        record = self.service._builds.get(data.get("id", ""))
        if record is None:
            return error_response(ApiError("ResourceNotFoundException", f"Build cannot be found: {data.get('id', '')}"))
        if record["buildStatus"] == "IN_PROGRESS":
            self.stopped.add(record["id"])
            self._finish(record, "STOPPED", "")
        return json_response({"build": copy.deepcopy(record)})

    @staticmethod
    def _finish(record: dict[str, Any], status: str, reason: str) -> None:
        ended = time.time()
        record["phases"].append(
            {
                "phaseType": "BUILD",
                "phaseStatus": status,
                "startTime": record["startTime"],
                "endTime": ended,
                "contexts": [{"statusCode": "COMMAND_EXECUTION_ERROR", "message": reason}] if reason else [],
            }
        )
        record["phases"].append({"phaseType": "COMPLETED", "startTime": ended})
        record |= {"buildStatus": status, "buildComplete": True, "currentPhase": "COMPLETED", "endTime": ended}

    def _role_of(self, record: dict[str, Any]) -> str:
        project = self.service._projects.get(record["projectName"]) or {}
        return str(project.get("serviceRole", ""))

    def _run(self, record: dict[str, Any]) -> None:
        stream = record["logs"]["streamName"]
        group = record["logs"]["groupName"]

        heard = True

        def say(text: str) -> None:
            if heard:
                logs.append(group, stream, [text])

        status, reason = "SUCCEEDED", ""
        try:
            project = record["arn"].replace(":build/", ":project/").rpartition(":")[0]
            role = assume(self._role_of(record), "codebuild.amazonaws.com", project, f"AWSCodeBuild-{record['id']}")
            heard = services.may_log(role, group, stream, group in app._get_module("cloudwatch_logs")._log_groups)
            values = {one["name"]: one["value"] for one in record["environment"]["environmentVariables"]}
            with acting(role):
                self._build(record["id"], values, say)
        except AccessDeniedError as error:
            status, reason = "FAILED", f"ACCESS_DENIED: {error.message}"
            say(f"error: {reason}")
        except (BuildError, objects.ObjectError, archives.ArchiveError, ValueError) as error:
            status, reason = "FAILED", str(error)
            say(f"error: {error}")
        except Exception as error:
            status, reason = "FAULT", repr(error)
            raise
        finally:
            if record["id"] not in self.stopped:
                self._finish(record, status, reason)

    def _build(self, identity: str, variables: dict[str, str], say: Callable[[str], None]) -> None:
        code_uri, image_uri = variables.get("CODE_URI", ""), variables.get("IMAGE_URI", "")
        if not code_uri or not image_uri:
            raise BuildError("the build needs the environment variables CODE_URI and IMAGE_URI")
        repository, tag = split_image_uri(image_uri)
        say(f"source: {code_uri}")
        data = objects.read_uri(code_uri)
        folder = self.paths.images / repository / tag
        fresh = self.paths.images / f".{repository.replace('/', '_')}-{tag}-{time.monotonic_ns()}"
        try:
            archives.unpack(data, fresh)
            self._check(fresh)
            if identity in self.stopped:
                return  # what is stopped before its push has pushed nothing
            if folder.exists():
                shutil.rmtree(folder)
            folder.parent.mkdir(parents=True, exist_ok=True)
            fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        services.push(image_uri)
        self._register(repository, tag, code_uri)
        say(f"image: {image_uri}")

    @staticmethod
    def _check(folder: Path) -> None:
        dockerfile = folder / DOCKERFILE
        if not dockerfile.is_file():
            raise BuildError(f"the code bundle has no {DOCKERFILE}")
        for source in copy_sources(dockerfile.read_text()):
            if not any(folder.glob(source.strip("/"))) and source.strip("./"):
                raise BuildError(f"{DOCKERFILE}: COPY {source}: not in the code bundle")

    @staticmethod
    def _register(repository: str, tag: str, code_uri: str) -> None:
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "source": code_uri},
            "layers": [],
        }
        request = {"repositoryName": repository, "imageTag": tag, "imageManifest": json.dumps(manifest)}
        status, _, body = app._get_module("ecr")._put_image(request)
        if status >= 300:
            raise BuildError(f"docker push: {json.loads(body).get('message', 'refused')}")


def describe_images(original: Callable[[dict[str, Any]], Response]) -> Callable[[dict[str, Any]], Response]:
    """ecr:DescribeImages that fails on an image that is not there, as AWS's does; MiniStack answers an empty list."""

    def wrapped(data: dict[str, Any]) -> Response:
        service = app._get_module("ecr")
        name = data.get("repositoryName", "")
        for image in data.get("imageIds") or []:
            if name in service._repositories and service._find_image(name, image) is None:
                shown = f"imageDigest:'{image.get('imageDigest', 'null')}', imageTag:'{image.get('imageTag', 'null')}'"
                message = (
                    f"The image with imageId {{{shown}}} does not exist within the repository with name '{name}' "
                    f"in the registry with id '{service._registry_id()}'"
                )
                return error_response(ApiError("ImageNotFoundException", message))
        return original(data)

    return wrapped
