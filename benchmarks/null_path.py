"""The floor under a search over HTTP: a route whose function calls four functions in parallel, which do nothing.

Deployed beside the real ones, with their environment and their fan-out client, so that what is left of a search's time
is what Shardlake itself adds.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

import boto3

from shardlake.local import CloudStatus

NULL_LEAVES = 4
_LEAF = "def handler(event, context):\n    print('null')\n    return {}\n"
_ROUTER = f"""
import time
from shardlake.deadline import Deadline
from shardlake.rpc.lambda_ import LambdaInvoker

invoker = LambdaInvoker()

def handler(event, context):
    invoker.invoke_many("null-leaf", [b"{{}}"] * {NULL_LEAVES}, deadline=Deadline.after(9000, clock=time.monotonic))
    print("null")
    return {{"statusCode": 200, "body": "{{}}"}}
"""

_MAY_INVOKE_NULL_LEAF = """{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
 "Action": "lambda:InvokeFunction", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:null-leaf"}]}"""


def deploy(cloud: CloudStatus) -> str:
    """Puts the null functions and their route there; returns the route's address."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}

    def client(service: str) -> Any:  # noqa: ANN401  # boto3 types clients by the name of the service
        return boto3.client(service, endpoint_url=cloud.endpoint, **keys)

    functions, api = client("lambda"), client("apigatewayv2")
    router = next(f for f in functions.list_functions()["Functions"] if f["Handler"].startswith("functions.router."))
    # Roles bind in the local cloud: the router's may invoke the router's callees only.
    client("iam").put_role_policy(
        RoleName=router["Role"].rpartition("/")[2], PolicyName="null-leaf", PolicyDocument=_MAY_INVOKE_NULL_LEAF
    )
    for name, code in (("null-leaf", _LEAF), ("null-router", _ROUTER)):
        functions.create_function(
            FunctionName=name,
            Runtime=router["Runtime"],
            Role=router["Role"],
            Handler="null.handler",
            Code={"ZipFile": _zip(code)},
            Environment={"Variables": router["Environment"]["Variables"]},
            Timeout=30,
            MemorySize=router["MemorySize"],
        )
    api_id = api.get_apis()["Items"][0]["ApiId"]
    target = functions.get_function(FunctionName="null-router")["Configuration"]["FunctionArn"]
    integration = api.create_integration(
        ApiId=api_id, IntegrationType="AWS_PROXY", IntegrationUri=target, PayloadFormatVersion="2.0"
    )
    api.create_route(ApiId=api_id, RouteKey="POST /v1/null", Target=f"integrations/{integration['IntegrationId']}")
    return f"{cloud.url}/v1/null"


def _zip(code: str) -> bytes:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("null.py", code)
    return package.getvalue()
