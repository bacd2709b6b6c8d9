"""What `infra/template.yaml` promises, read off the template itself."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterable
from typing import Any

import pytest
from cfnlint.api import lint_file

from builder.stages import Stage
from functions.build.steps import FAILED, NUMBERS
from functions.ingest.events import MAX_DELIVERIES
from shardlake import limits
from shardlake.contracts.build import StepModel
from shardlake.errors import ShardlakeError
from shardlake.settings import Settings
from tests.infra.template import (
    FUNCTIONS,
    PATH,
    TEMPLATE,
    as_list,
    definition_of,
    environment,
    of_type,
    statements,
    tasks,
)

API_LIMIT_S = 30  # API Gateway, HTTP and REST (AWS quotas, 2026-11)
MAX_TEMPLATE_BYTES = 51_200  # of a TemplateBody

STATES = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}"
LAMBDA = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}"
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
QUEUE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"}


def table(*operations: str) -> tuple[str, ...]:
    """Returns the actions of operations on a table."""
    return tuple(f"dynamodb:{operation}" for operation in operations)


def on(actions: Iterable[str], places: set[str]) -> dict[str, set[str]]:
    """Returns the same places for each action."""
    return dict.fromkeys(actions, places)


# Who may do what, and where: the table of docs/architecture.md.
ALLOWED: dict[str, dict[str, set[str]]] = {
    "ApiRole": {
        **on(table("GetItem", "BatchGetItem", "Query", "PutItem", "DeleteItem", "UpdateItem"), {"CatalogTable"}),
        "s3:PutObject": {"inbox/*"},
        "lambda:InvokeFunction": {"EncodeFunction", "BuildFunction", "RouterFunction"},
    },
    "RouterRole": {
        "dynamodb:GetItem": {"CatalogTable"},
        "dynamodb:Query": {"CatalogTable", "ShardTable"},
        "s3:GetObject": {"data/*/versions/*"},
        "s3:ListBucket": {"Bucket"},
        "lambda:InvokeFunction": {"ShardSearchFunction", "EncodeFunction", f"{LAMBDA}:function:${{Name}}-router"},
    },
    "ShardSearchRole": {"s3:GetObject": {"data/*/versions/*", "data/*/segments/*"}, "s3:ListBucket": {"Bucket"}},
    "EncodeRole": {"s3:GetObject": {"models/*", "inbox/*"}, "s3:ListBucket": {"Bucket"}},
    "IngestRole": {
        **on(table("GetItem", "BatchGetItem", "Query", "PutItem", "DeleteItem"), {"CatalogTable"}),
        **on((*QUEUE, "sqs:SendMessage"), {"InboxQueue"}),
        "s3:GetObject": {"inbox/*", "data/*/segments/*"},
        "s3:PutObject": {"data/*/segments/*", "rejected/*"},
        "s3:AbortMultipartUpload": {"data/*/segments/*", "rejected/*"},
        "s3:ListBucket": {"Bucket"},
        "lambda:InvokeFunction": {"EncodeFunction", "BuildFunction", "RouterFunction"},
    },
    "BuildRole": {
        **on(table("GetItem", "BatchGetItem", "PutItem", "DeleteItem", "UpdateItem"), {"CatalogTable"}),
        **on(table("ConditionCheckItem"), {"CatalogTable"}),
        **on(table("Query", "BatchWriteItem"), {"CatalogTable", "ShardTable"}),
        **on(("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"), {"data/*"}),
        "s3:DeleteObject": {"data/*", "inbox/*/.api/*"},
        "s3:ListBucket": {"Bucket"},
        "lambda:InvokeFunction": {"EncodeFunction"},
        # Its own machine, or that of infra/batch.yaml in its place.
        "states:StartExecution": {f"{STATES}:stateMachine:${{Name}}-build", "BuildMachineArn"},
    },
    "BuildMachineRole": {
        "lambda:InvokeFunction": {"BuildFunction"},
        "states:StartExecution": {f"{STATES}:stateMachine:${{Name}}-build"},
        "states:DescribeExecution": {f"{STATES}:execution:${{Name}}-build/*"},
        "states:StopExecution": {f"{STATES}:execution:${{Name}}-build/*"},
    },
}
WITHOUT_LOGS = {"BuildMachineRole"}


def place(resource: Any) -> str:
    """Returns a short name of a statement's resource: a logical id, or a prefix in the bucket."""
    if "Ref" in resource:
        return str(resource["Ref"])
    if "Fn::GetAtt" in resource:
        logical, attribute = resource["Fn::GetAtt"]
        assert attribute == "Arn"
        return str(logical)
    text = resource["Fn::Sub"]
    return str(text).removeprefix("${Bucket.Arn}/")


def test_cfn_lint_finds_nothing() -> None:
    assert [str(match) for match in lint_file(PATH)] == []


def test_the_template_fits_into_one_request() -> None:
    assert PATH.stat().st_size <= MAX_TEMPLATE_BYTES


def test_the_template_has_no_yaml_aliases_which_cloudformation_does_not_read() -> None:
    assert not re.search(r"[:\-,\[]\s*[&*][a-z]", PATH.read_text())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_handler_is_importable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    module, _, attribute = FUNCTIONS[name]["Handler"].rpartition(".")

    assert callable(getattr(importlib.import_module(module), attribute))


def test_every_variable_of_a_function_is_a_setting() -> None:
    given = {variable for name in FUNCTIONS for variable in environment(name) if variable.startswith("SHARDLAKE_")}

    assert given == set(Settings.env_names())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_variables_hold_no_secrets_and_are_ours_or_powertools(name: str) -> None:
    assert all(variable.startswith(("SHARDLAKE_", "POWERTOOLS_")) for variable in environment(name))


@pytest.mark.parametrize("name", ["ApiFunction", "RouterFunction", "ShardSearchFunction"])
def test_functions_behind_the_api_end_before_it_does_and_after_their_own_deadline(name: str) -> None:
    assert limits.MAX_TIMEOUT_MS / 1000 < FUNCTIONS[name]["Timeout"] <= API_LIMIT_S


def test_memory_and_time_are_within_lambdas_bounds() -> None:
    for function in FUNCTIONS.values():
        memory = function["MemorySize"]
        megabytes = TEMPLATE["Parameters"][memory["Ref"]]["Default"] if isinstance(memory, dict) else memory
        assert 128 <= megabytes <= 3008  # what every account may have
        assert function["Timeout"] <= 900
        assert 512 <= function.get("EphemeralStorage", {"Size": 512})["Size"] <= 10_240


def test_the_shard_cache_leaves_half_of_the_memory_to_its_function() -> None:
    parameters = TEMPLATE["Parameters"]

    assert parameters["ShardCacheMb"]["Default"] * 1.9 <= parameters["SearchMemory"]["Default"]


def test_the_block_cache_fits_on_the_disk_of_its_function() -> None:
    disk_mb = FUNCTIONS["ShardSearchFunction"]["EphemeralStorage"]["Size"]

    # A tenth is left to whatever else is written there; a parameter larger than this needs a larger disk.
    assert TEMPLATE["Parameters"]["BlockCacheMb"]["Default"] <= 0.9 * disk_mb


def test_a_message_stays_hidden_longer_than_its_worker_lives() -> None:
    queue = of_type("AWS::SQS::Queue")["InboxQueue"]

    assert queue["VisibilityTimeout"] > FUNCTIONS["IngestFunction"]["Timeout"]
    event = FUNCTIONS["IngestFunction"]["Events"]["Inbox"]["Properties"]
    assert event["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # The files of a batch share one run: before any is given up, each has once been the first.
    assert queue["RedrivePolicy"]["maxReceiveCount"] == MAX_DELIVERIES > event["BatchSize"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_has_a_role_and_a_log_of_its_own(name: str) -> None:
    stem = name.removesuffix("Function")

    assert FUNCTIONS[name]["Role"] == {"Fn::GetAtt": [f"{stem}Role", "Arn"]}
    log = of_type("AWS::Logs::LogGroup")[f"{stem}Logs"]
    assert log["LogGroupName"]["Fn::Sub"] == "/aws/lambda/" + FUNCTIONS[name]["FunctionName"]["Fn::Sub"]
    assert "RetentionInDays" in log


@pytest.mark.parametrize("role", of_type("AWS::IAM::Role"))
def test_a_role_may_do_exactly_what_is_written_down(role: str) -> None:
    found: dict[str, set[str]] = {}
    logs: set[str] = set()
    for statement in statements(role):
        assert statement["Effect"] == "Allow"
        places = {place(resource) for one in as_list(statement["Resource"]) for resource in either(one)}
        for action in as_list(statement["Action"]):
            assert "*" not in action
            if action in LOGS:
                logs |= places
            else:
                found.setdefault(action, set()).update(places)

    assert found == ALLOWED[role]
    assert len(logs) == (role not in WITHOUT_LOGS)
    assert all(resource.split(":log-group:")[1].endswith(f"-{kebab(role)}:*") for resource in logs)


def either(resource: Any) -> list[Any]:
    """Returns both resources where a condition chooses, else the one."""
    return resource["Fn::If"][1:] if "Fn::If" in resource else [resource]


def kebab(role: str) -> str:
    """Returns the function's name of a role: ShardSearchRole → shard-search."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", role.removesuffix("Role")).lower()


def test_only_tracing_which_knows_no_resources_is_granted_everywhere() -> None:
    (policy,) = of_type("AWS::IAM::ManagedPolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]

    assert set(statement["Action"]) == {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
    assert PATH.read_text().count('Resource: "*"') == 1
    for name, role in of_type("AWS::IAM::Role").items():
        is_function = name != "BuildMachineRole"
        assert role.get("ManagedPolicyArns") == ([{"Ref": "TracePolicy"}] if is_function else None)
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "lambda.amazonaws.com" if is_function else "states.amazonaws.com"}


def test_the_bucket_is_private_encrypted_and_kept() -> None:
    bucket = of_type("AWS::S3::Bucket")["Bucket"]

    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert "BucketEncryption" in bucket
    assert "AbortIncompleteMultipartUpload" in json.dumps(bucket["LifecycleConfiguration"])
    assert of_type("AWS::S3::BucketPolicy") == {}
    for name in ("Bucket", "CatalogTable", "ShardTable"):
        assert TEMPLATE["Resources"][name]["DeletionPolicy"] == "Retain"


def test_tables_are_paid_by_request_and_can_be_taken_back_in_time() -> None:
    for table in of_type("AWS::DynamoDB::Table").values():
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True


def test_a_deploy_without_a_word_about_it_is_not_open() -> None:
    assert TEMPLATE["Parameters"]["AuthorizationType"]["Default"] == "AWS_IAM"
    routes = [*of_type("AWS::ApiGatewayV2::Route").values(), *of_type("AWS::ApiGateway::Method").values()]
    assert len(routes) == 19
    assert all(route["AuthorizationType"] == {"Ref": "AuthorizationType"} for route in routes)


def machine() -> dict[str, Any]:
    """Returns the definition of the build machine, with its pieces in their places."""
    return definition_of(of_type("AWS::StepFunctions::StateMachine")["BuildMachine"])


def test_the_machine_asks_for_every_stage_of_a_build_in_its_order() -> None:
    states = machine()["States"]
    asked, name = [], machine()["StartAt"]
    while name != "done":
        state = states[name]
        asked.append(state["ItemProcessor"]["StartAt"] if state["Type"] == "Map" else name)
        name = state.get("Next") or state["Default"]

    assert [step for step in asked if step not in {NUMBERS, "lost to another build?"}] == list(Stage)
    assert asked.index(NUMBERS) < asked.index(Stage.ASSIGN)


def test_every_state_of_the_machine_that_works_is_a_step_that_the_function_takes() -> None:
    for name, state in tasks(machine()).items():
        payload = {key.removesuffix(".$"): value for key, value in state["Parameters"]["Payload"].items()}
        assert {"collection", "build_id", "step"} <= set(payload) <= set(StepModel.model_fields)
        assert payload["step"] == (FAILED if name == FAILED else "$$.State.Name")
        assert state["Parameters"]["FunctionName"] == "BuildFunction"
        assert state["Retry"][-1]["ErrorEquals"] == ["States.ALL"]


def test_what_a_retry_cannot_mend_is_not_retried() -> None:
    for name, state in tasks(machine()).items():
        if name == FAILED:
            continue
        never, again = state["Retry"]
        kinds = {error.__name__: error for error in (*ShardlakeError.__subclasses__(),)}
        assert never["MaxAttempts"] == 0
        assert not any(kinds[error].retryable for error in never["ErrorEquals"])
        assert again["MaxAttempts"] > 0


def test_whatever_fails_in_the_machine_ends_the_build() -> None:
    for name, state in machine()["States"].items():
        if state["Type"] in {"Task", "Map"} and name != FAILED:
            (catch,) = state["Catch"]
            assert (catch["ErrorEquals"], catch["Next"]) == (["States.ALL"], FAILED)


def test_searches_and_reads_of_items_go_to_the_router() -> None:
    keys = {route["RouteKey"]: route["Target"]["Fn::Sub"] for route in of_type("AWS::ApiGatewayV2::Route").values()}

    assert keys == {
        "POST /v1/collections/{name}/search": "integrations/${RouterIntegration}",
        "POST /v1/collections/{name}/search:batch": "integrations/${RouterIntegration}",
        "GET /v1/collections/{name}/items": "integrations/${RouterIntegration}",
        "GET /v1/collections/{name}/items/{id+}": "integrations/${RouterIntegration}",
        "$default": "integrations/${ApiIntegration}",
    }
