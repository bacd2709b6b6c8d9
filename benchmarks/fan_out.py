"""What it costs to call N null functions at once, by client: `python -m benchmarks.fan_out`.

Against an emulator the wall time is mostly the emulator's, which shares this machine; the client's own part is its CPU
time, and that is what a router with one core pays on AWS as well. The cold column is a fresh interpreter that imports
what the router imports anyway (boto3 with an S3 and a DynamoDB client, our errors), and then the client under test.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WIDTHS = (4, 16, 64)
PAYLOAD = b'{"x":"' + b"0" * 4_000 + b'"}'
NULL = "def handler(event, context):\n    print('null')\n    return {'ok': True}\n"
ENV = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}

COLD = """
import time, json, os
import boto3, orjson
import shardlake.deadline, shardlake.errors
boto3.client("s3"), boto3.client("dynamodb")
began = time.perf_counter()
{code}
print(json.dumps((time.perf_counter() - began) * 1000))
"""
COLD_CODE = {
    "boto3 + threads": "boto3.client('lambda').invoke(FunctionName='null', Payload=b'{}')['Payload'].read()",
    "aiobotocore": """
import asyncio
from aiobotocore.session import get_session
async def go():
    async with get_session().create_client("lambda") as client:
        answer = await client.invoke(FunctionName="null", Payload=b"{}")
        await answer["Payload"].read()
asyncio.run(go())""",
    "SigV4 + urllib3 + threads": """
from shardlake.rpc.lambda_ import LambdaInvoker
from shardlake.deadline import Deadline
LambdaInvoker().invoke("null", b"{}", deadline=Deadline.after(9999, clock=time.monotonic))""",
}

FanOut = Callable[[int], None]


@contextmanager
def with_boto3() -> Iterator[FanOut]:
    """A boto3 client called from threads."""
    import boto3
    from botocore.config import Config

    client = boto3.client("lambda", config=Config(max_pool_connections=max(WIDTHS)))
    pool = ThreadPoolExecutor(max(WIDTHS))

    def one(_: int) -> bytes:
        return client.invoke(FunctionName="null", Payload=PAYLOAD)["Payload"].read()

    yield lambda width: check(list(pool.map(one, range(width))))
    pool.shutdown()


@contextmanager
def with_aiobotocore() -> Iterator[FanOut]:
    """An aiobotocore client and one event loop, both kept."""
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    loop = asyncio.new_event_loop()
    context = get_session().create_client("lambda", config=AioConfig(max_pool_connections=max(WIDTHS)))
    client: Any = loop.run_until_complete(context.__aenter__())

    async def one() -> bytes:
        answer = await client.invoke(FunctionName="null", Payload=PAYLOAD)
        return bytes(await answer["Payload"].read())

    async def many(width: int) -> list[bytes]:
        return await asyncio.gather(*(one() for _ in range(width)))

    yield lambda width: check(loop.run_until_complete(many(width)))
    loop.run_until_complete(context.__aexit__(None, None, None))
    loop.close()


@contextmanager
def with_ours() -> Iterator[FanOut]:
    """The adapter that is shipped."""
    from shardlake.deadline import Deadline
    from shardlake.rpc.lambda_ import LambdaInvoker

    invoker = LambdaInvoker(max_parallel=max(WIDTHS))

    def many(width: int) -> None:
        deadline = Deadline.after(30_000, clock=time.monotonic)
        check(invoker.invoke_many("null", [PAYLOAD] * width, deadline=deadline))

    yield many
    invoker.close()


ARMS = {"boto3 + threads": with_boto3, "aiobotocore": with_aiobotocore, "SigV4 + urllib3 + threads": with_ours}


def check(answers: list[Any]) -> None:
    """Fails when an answer is not the null function's."""
    assert all(json.loads(answer) == {"ok": True} for answer in answers)


def deploy_null() -> None:
    """Puts the null function there."""
    import boto3

    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("null.py", NULL)
    boto3.client("lambda").create_function(
        FunctionName="null",
        Runtime="python3.12",
        Handler="null.handler",
        Role="arn:aws:iam::000000000000:role/null",
        Code={"ZipFile": package.getvalue()},
    )


def warm_times(rounds: int) -> dict[tuple[str, int], list[tuple[float, float]]]:
    """Returns (wall ms, CPU ms) of each round by arm and width; arms take turns, so that drift hits all alike."""
    times: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for width in WIDTHS:
        for arm, client in ARMS.items():
            with client() as fan_out:
                fan_out(width)  # connections and workers
                for _ in range(rounds):
                    wall, cpu = time.perf_counter(), time.process_time()
                    fan_out(width)
                    row = ((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000)
                    times.setdefault((arm, width), []).append(row)
    return times


def cold_ms(arm: str, repeats: int) -> float:
    """Returns the milliseconds from nothing but boto3 to the first answer."""
    runs = []
    for _ in range(repeats):
        command = [sys.executable, "-c", COLD.format(code=COLD_CODE[arm])]
        runs.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return statistics.median(runs)


def report(rounds: int) -> None:
    """Prints the table."""
    times: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _ in range(3):  # three passes over the arms
        for key, rows in warm_times(rounds).items():
            times.setdefault(key, []).extend(rows)
    print("| client | " + " | ".join(f"{width} calls: wall p50, CPU ms" for width in WIDTHS) + " | cold, ms |")
    print("|---" * (len(WIDTHS) + 2) + "|")
    for arm in ARMS:
        cells = []
        for width in WIDTHS:
            walls, cpus = zip(*times[arm, width], strict=True)
            cells.append(f"{statistics.median(walls):.1f}, {statistics.median(cpus):.1f}")
        print(f"| {arm} | " + " | ".join(cells) + f" | {cold_ms(arm, 7):.0f} |")


def main() -> None:
    """Measures against AWS_ENDPOINT_URL where it is set, else against an emulator started for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    os.environ.update(ENV)
    if "AWS_ENDPOINT_URL" in os.environ:
        deploy_null()
        report(rounds)
        return
    from tests.contract.servers import ministack

    with tempfile.TemporaryDirectory() as folder, ministack(Path(folder)) as endpoint:
        os.environ["AWS_ENDPOINT_URL"] = endpoint
        deploy_null()
        report(rounds)


if __name__ == "__main__":
    main()
