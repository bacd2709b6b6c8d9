"""What ingest relies on of S3 events and SQS, held to every cloud: there is no adapter of ours between them and it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import boto3
import pytest

KEY = "inbox/films/with space+plus/ünïcode.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """A bucket whose inbox/ feeds a queue with a dead-letter queue behind it, as infra/template.yaml has it."""

    s3: Any
    sqs: Any
    bucket: str
    queue: str
    dead_letters: str


# Not on moto: its events have no sequencer, by which ingest orders two writes of one key.
@pytest.fixture(params=["ministack", pytest.param("localstack", marks=pytest.mark.localstack)])
def inbox(request: pytest.FixtureRequest) -> Iterator[Inbox]:
    endpoint = request.getfixturevalue(request.param)
    name = f"inbox-{uuid.uuid4().hex[:8]}"
    sqs = boto3.client("sqs", endpoint_url=endpoint)
    s3 = boto3.client("s3", endpoint_url=endpoint)
    dead_letters = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    redrive = {"deadLetterTargetArn": _arn(sqs, dead_letters), "maxReceiveCount": 2}
    attributes = {"RedrivePolicy": json.dumps(redrive), "VisibilityTimeout": "0"}
    queue = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    s3.create_bucket(Bucket=name)
    s3.put_bucket_notification_configuration(
        Bucket=name,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "QueueArn": _arn(sqs, queue),
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "inbox/"}]}},
                }
            ]
        },
    )
    yield Inbox(s3=s3, sqs=sqs, bucket=name, queue=queue, dead_letters=dead_letters)
    s3.close()
    sqs.close()


def _arn(sqs: Any, url: str) -> str:
    return str(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])


def received(inbox: Inbox, *, url: str | None = None, within_s: float = 10.0) -> dict[str, Any] | None:
    """Returns the next message, or None when none comes; S3's test event is put away, as ingest does."""
    give_up_at = time.monotonic() + within_s
    while time.monotonic() < give_up_at:
        answer = inbox.sqs.receive_message(
            QueueUrl=url or inbox.queue, WaitTimeSeconds=0, AttributeNames=["ApproximateReceiveCount"]
        )
        for message in answer.get("Messages", ()):
            if '"s3:TestEvent"' not in message["Body"]:
                return dict(message)
            inbox.sqs.delete_message(QueueUrl=url or inbox.queue, ReceiptHandle=message["ReceiptHandle"])
        time.sleep(0.02)
    return None


def test_a_dropped_object_becomes_one_message_that_names_it(inbox: Inbox) -> None:
    etag = inbox.s3.put_object(Bucket=inbox.bucket, Key=KEY, Body=b"{}")["ETag"].strip('"')

    message = received(inbox)

    assert message is not None
    (record,) = json.loads(message["Body"])["Records"]
    assert record["eventName"].startswith("ObjectCreated")
    assert record["s3"]["bucket"]["name"] == inbox.bucket
    assert unquote_plus(record["s3"]["object"]["key"]) == KEY
    assert record["s3"]["object"]["eTag"].strip('"') == etag
    assert record["s3"]["object"]["size"] == 2
    assert record["s3"]["object"]["sequencer"]
    assert record["eventTime"]


def test_an_object_outside_the_inbox_makes_no_message(inbox: Inbox) -> None:
    inbox.s3.put_object(Bucket=inbox.bucket, Key="data/u/segments/s.seg", Body=b"x")

    assert received(inbox, within_s=0.7) is None


def test_a_message_comes_again_until_it_is_deleted(inbox: Inbox) -> None:
    inbox.sqs.send_message(QueueUrl=inbox.queue, MessageBody="work")
    first = received(inbox)
    second = received(inbox)
    assert first is not None
    assert second is not None
    assert first["MessageId"] == second["MessageId"]
    assert int(second["Attributes"]["ApproximateReceiveCount"]) == 2

    inbox.sqs.delete_message(QueueUrl=inbox.queue, ReceiptHandle=second["ReceiptHandle"])

    assert received(inbox, within_s=0.7) is None
    assert received(inbox, url=inbox.dead_letters, within_s=0.3) is None


def test_a_message_that_nobody_can_take_in_ends_among_the_dead_letters(inbox: Inbox) -> None:
    inbox.sqs.send_message(QueueUrl=inbox.queue, MessageBody="poison")
    for _ in range(2):
        assert received(inbox) is not None

    assert received(inbox, within_s=0.7) is None  # the third receive moves it
    dead = received(inbox, url=inbox.dead_letters)
    assert dead is not None
    assert dead["Body"] == "poison"
