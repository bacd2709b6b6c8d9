"""Deploys `infra/template.yaml` into the emulator, word for word, through CloudFormation.

The packages are stubs: the functions run from the checkout, by the PYTHONPATH that they inherit from the server. A stub
carries the digest of the code, so changed code is a changed package, and a changed package makes the emulator reload.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import time
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shardlake.errors import ErrorKind, Unavailable
from shardlake.local.folder import REGION

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef
    from mypy_boto3_lambda import LambdaClient

STACK = "shardlake"
ARTIFACTS = "shardlake-artifacts"
DEPLOY_TIMEOUT_S = 60.0
LAYERS = ("Router", "Search", "Encode", "Ingest")
# botocore's variables as (key in a file, environment variable, default, converter): none comes from the user's set-up.
NO_USER_SETUP = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
FIRST_MOMENT = (1980, 1, 1, 0, 0, 0)  # the oldest that a zip can say; equal contents give equal zips


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What is deployed, and its digest.

    Attributes:
        template: the template's text.
        code: the digest of all code that functions may import.
        parameters: of the template, without the packages.
    """

    template: str
    code: str
    parameters: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Changes whenever anything does."""
        return _digest([self.template.encode(), self.code.encode(), repr(sorted(self.parameters.items())).encode()])


def code_digest(*folders: Path) -> str:
    """Returns the digest of every file below some folders, in their order."""
    files = [(folder, path) for folder in folders for path in sorted(folder.rglob("*")) if _is_code(path)]
    return _digest(
        part for folder, path in files for part in (str(path.relative_to(folder)).encode(), path.read_bytes())
    )


def deploy(endpoint: str, deployment: Deployment) -> dict[str, str]:
    """Creates or updates the stack and returns its outputs.

    Raises:
        Unavailable: the stack failed, or a function is not what was packaged; `details` has the reasons.
    """
    stub = _zip({"shardlake-stub.txt": deployment.code})
    try:
        packages = _upload(endpoint, deployment.code, stub)
        formation = emulator_client("cloudformation", endpoint)
        _apply(formation, deployment, packages)
        outputs = _wait(formation)
        functions = emulator_client("lambda", endpoint)
        _check_functions(functions, outputs, stub)
        _repair_event_sources(functions)
    except (BotoCoreError, ClientError) as exc:
        raise Unavailable(f"the deploy failed: {exc}", kind=ErrorKind.LOCAL_CLOUD) from exc
    return outputs


def emulator_client(service: str, endpoint: str) -> Any:  # noqa: ANN401  # boto3's clients are typed by the service's name only
    """Returns a client of a service of the emulator, with its credentials and none of the user's set-up."""
    session = botocore.session.Session(session_vars=NO_USER_SETUP)
    return boto3.Session(botocore_session=session).client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106  # the emulator's well-known pair
        config=Config(retries={"total_max_attempts": 2}, connect_timeout=5, read_timeout=60, proxies={}),
    )


def _upload(endpoint: str, code: str, stub: bytes) -> dict[str, str]:
    """Puts the stubs where the template looks for packages. Returns the template's parameters for them."""
    s3 = emulator_client("s3", endpoint)
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=ARTIFACTS)
    layer = _zip({"python/shardlake-stub.txt": "packages come from the interpreter that runs the local cloud"})
    keys = {"CodeKey": f"code/{code}.zip"} | {f"{name}LayerKey": "layers/stub.zip" for name in LAYERS}
    s3.put_object(Bucket=ARTIFACTS, Key=keys["CodeKey"], Body=stub)
    s3.put_object(Bucket=ARTIFACTS, Key="layers/stub.zip", Body=layer)
    return keys | {"ArtifactBucket": ARTIFACTS}


def _apply(formation: CloudFormationClient, deployment: Deployment, packages: Mapping[str, str]) -> None:
    values = {**deployment.parameters, **packages}
    request: Any = {
        "StackName": STACK,
        "TemplateBody": deployment.template,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    if not _exists(formation):
        formation.create_stack(**request)
        return
    try:
        formation.update_stack(**request)
    except ClientError as exc:
        if "No updates" not in str(exc):
            raise


def _exists(formation: CloudFormationClient) -> bool:
    try:
        stack = _describe(formation)
    except ClientError:
        return False
    if stack["StackStatus"] in {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"}:
        formation.delete_stack(StackName=STACK)
        return False
    return True


def _describe(formation: CloudFormationClient) -> StackTypeDef:
    return formation.describe_stacks(StackName=STACK)["Stacks"][0]


def _wait(formation: CloudFormationClient) -> dict[str, str]:
    deadline = time.monotonic() + DEPLOY_TIMEOUT_S
    stack = _describe(formation)
    while stack["StackStatus"].endswith("_IN_PROGRESS") and time.monotonic() < deadline:
        time.sleep(0.02)
        stack = _describe(formation)
    if stack["StackStatus"] not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        raise Unavailable(
            f"the stack is {stack['StackStatus']}", kind=ErrorKind.LOCAL_CLOUD, reasons=_reasons(formation)
        )
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _reasons(formation: CloudFormationClient) -> list[str]:
    events = formation.describe_stack_events(StackName=STACK)["StackEvents"]
    failed = [event for event in events if "FAILED" in event.get("ResourceStatus", "")]
    return [f"{event.get('LogicalResourceId')}: {event.get('ResourceStatusReason', '')}" for event in failed]


def _check_functions(functions: LambdaClient, outputs: Mapping[str, str], stub: bytes) -> None:
    """The emulator deploys a function without code as an answering mock, so each is compared with its package."""
    wanted = base64.b64encode(hashlib.sha256(stub).digest()).decode()
    for name in (value for key, value in outputs.items() if key.endswith("Function")):
        found = functions.get_function_configuration(FunctionName=name)["CodeSha256"]
        if found != wanted:
            raise Unavailable(
                f"the function {name} does not have the code that was deployed",
                kind=ErrorKind.LOCAL_CLOUD,
                sha256=found,
            )


def _repair_event_sources(functions: LambdaClient) -> None:
    """Makes a number of a parameter that the emulator left a string, on which its poller stumbles; AWS converts it."""
    for source in functions.list_event_source_mappings()["EventSourceMappings"]:
        concurrency = int(source["ScalingConfig"]["MaximumConcurrency"])
        functions.update_event_source_mapping(UUID=source["UUID"], ScalingConfig={"MaximumConcurrency": concurrency})


def _zip(entries: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in entries.items():
            archive.writestr(zipfile.ZipInfo(name, FIRST_MOMENT), text)
    return buffer.getvalue()


def _is_code(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _digest(parts: Iterable[bytes]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()[:32]
