"""Deploys `infra/template.yaml` to AWS or to LocalStack: packages, uploads, creates or updates the stack.

    python -m infra.deploy --name shardlake
    AWS_ENDPOINT_URL=http://127.0.0.1:4566 python -m infra.deploy --localstack

Packages are uploaded under a digest of their content, so an unchanged one is not sent again. LocalStack's free plan
has no layers and no HTTP API: there all packages go into the code, and the API is a REST API.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from layers import build as layers

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "infra" / "template.yaml"
CODE = {"src/shardlake": "shardlake", "functions": "functions", "builder": "builder"}
# What runs nowhere in AWS: the local cloud, the command line, the client, and weights that only torch reads.
NOT_SHIPPED = ("__pycache__", "local", "cli", "client", "demo", "testing", "*.safetensors", "*.egg-info")


def package_code(destination: Path) -> Path:
    """Copies what functions import into a folder, as it lies in the function's zip, and returns it."""
    shutil.rmtree(destination, ignore_errors=True)
    for source, name in CODE.items():
        shutil.copytree(ROOT / source, destination / name, ignore=_not_shipped)
    return destination


def build_packages(out: Path, target: layers.Target, *, merged: bool) -> dict[str, Path]:
    """Returns a zip for each package parameter of the template.

    Args:
        merged: all layers' packages go into the code, and the layers are empty.
    """
    code = package_code(out / "code")
    zips: dict[str, Path] = {}
    for name in layers.NAMES:
        folder = layers.build(name, target, ROOT / ".cache" / "layers")
        if merged:
            shutil.copytree(folder / "python", code, dirs_exist_ok=True)
            folder = _empty_layer(out / "empty")
        zips[f"{name.capitalize()}LayerKey"] = _zipped(folder, out / f"{name}.zip")
    return {**zips, "CodeKey": _zipped(code, out / "code.zip")}


def main() -> None:
    """Runs a deploy and prints the outputs of the stack."""
    options = _options()
    target = layers.Target(python=options.python, architecture=options.architecture)
    packages = build_packages(ROOT / "build" / "deploy", target, merged=options.localstack)
    bucket = _artifact_bucket(options.name)
    s3 = boto3.client("s3")
    keys = {parameter: _upload(s3, bucket, path) for parameter, path in packages.items()}
    kind = {"ApiKind": "RestApi", "AuthorizationType": "NONE"} if options.localstack else {}
    parameters = {
        "Name": options.name,
        "Architecture": options.architecture,
        "Runtime": f"python{options.python}",
        "ArtifactBucket": bucket,
        **keys,
        **kind,
        **dict(pair.split("=", 1) for pair in options.parameter),
    }
    for key, value in _apply(options.name, parameters).items():
        print(f"{key}: {value}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="shardlake", help="of the stack, and prefix of everything in it")
    parser.add_argument("--architecture", choices=("arm64", "x86_64"), default="arm64")
    parser.add_argument("--python", choices=("3.12", "3.13"), default="3.12")
    parser.add_argument("--parameter", action="append", default=[], metavar="KEY=VALUE", help="of the template")
    parser.add_argument("--localstack", action="store_true", help="no layers, REST API, no authorization")
    return parser.parse_args()


def _not_shipped(folder: str, names: list[str]) -> set[str]:
    return shutil.ignore_patterns(*NOT_SHIPPED)(folder, names)


def _empty_layer(folder: Path) -> Path:
    (folder / "python").mkdir(parents=True, exist_ok=True)
    (folder / "python" / "empty.txt").touch()
    return folder


def _zipped(folder: Path, destination: Path) -> Path:
    layers.write_zip(folder, destination)
    return destination


def _artifact_bucket(name: str) -> str:
    session = boto3.session.Session()
    account = boto3.client("sts").get_caller_identity()["Account"]
    region = session.region_name or sys.exit("no region: set AWS_DEFAULT_REGION")
    bucket = f"{name}-artifacts-{account}-{region}"
    s3 = boto3.client("s3")
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError:
        place: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=bucket, **place)
    return bucket


def _upload(s3: S3Client, bucket: str, path: Path) -> str:
    key = f"{path.stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}.zip"
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError:
        print(f"uploading {path.name}, {path.stat().st_size / 1e6:.0f} MB")
        s3.upload_file(str(path), bucket, key)
    return key


def _apply(stack: str, parameters: dict[str, str]) -> dict[str, str]:
    formation = boto3.client("cloudformation")
    request: Any = {
        "StackName": stack,
        "TemplateBody": TEMPLATE.read_text(),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    try:
        formation.describe_stacks(StackName=stack)
    except ClientError:
        formation.create_stack(**request)
        formation.get_waiter("stack_create_complete").wait(StackName=stack)
    else:
        try:
            formation.update_stack(**request)
            formation.get_waiter("stack_update_complete").wait(StackName=stack)
        except ClientError as exc:
            if "No updates" not in str(exc):
                raise
    outputs = formation.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", [])
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


if __name__ == "__main__":
    main()
