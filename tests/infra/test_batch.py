"""What `infra/batch.yaml` promises: the machine of the other template, with jobs in the place of calls."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cfnlint.api import lint_file
from cfnlint.decode import cfn_yaml

from builder.stages import Stage
from functions.build.batch import NAMES, asked
from functions.build.steps import FAILED, NUMBERS
from shardlake.errors import InvalidInput
from shardlake.settings import Settings
from tests.infra.template import ROOT, TEMPLATE, as_list, definition_of, environment, statements, tasks

PATH = ROOT / "infra" / "batch.yaml"
BATCH: dict[str, Any] = cfn_yaml.load(str(PATH))
MACHINE = definition_of(BATCH["Resources"]["BuildMachine"]["Properties"])
JOB = "arn:AWS::Partition:states:::batch:submitJob.sync"
MAX_TEMPLATE_BYTES = 51_200  # of a TemplateBody
OF_WORK = {"Resource", "Parameters", "Retry"}


def without_work(states: dict[str, Any]) -> dict[str, Any]:
    """Returns states without what says who works and where."""
    found = {}
    for name, state in states.items():
        found[name] = {key: value for key, value in state.items() if key not in OF_WORK | {"MaxConcurrency"}}
        if state["Type"] == "Map":
            inner = state["ItemProcessor"]
            found[name]["ItemProcessor"] = {**inner, "States": without_work(inner["States"])}
    return found


def test_cfn_lint_finds_nothing() -> None:
    assert [str(match) for match in lint_file(PATH)] == []


def test_both_templates_together_would_not_fit_into_one_request() -> None:
    size = PATH.stat().st_size + (ROOT / "infra" / "template.yaml").stat().st_size

    assert size > MAX_TEMPLATE_BYTES > PATH.stat().st_size


def test_both_machines_go_through_the_same_states() -> None:
    other = definition_of(TEMPLATE["Resources"]["BuildMachine"]["Properties"])

    assert MACHINE["StartAt"] == other["StartAt"]
    assert without_work(MACHINE["States"]) == without_work(other["States"])


def test_training_and_lists_are_found_on_gpus_and_what_is_light_by_the_function() -> None:
    workers = {
        name: state["Parameters"].get("JobQueue") or state["Parameters"]["FunctionName"]
        for name, state in tasks(MACHINE).items()
    }

    assert {name for name, worker in workers.items() if worker == "GpuQueue"} == {Stage.TRAIN, Stage.ASSIGN}
    assert {name for name, worker in workers.items() if worker == "CpuQueue"} == {
        Stage.SURVEY,
        Stage.WRITE,
        Stage.TERMS,
        Stage.CALIBRATE,
    }
    assert set(workers) - {*Stage} == {NUMBERS, FAILED}


def test_a_job_is_asked_as_the_command_line_reads_it() -> None:
    for state in tasks(MACHINE).values():
        if state["Resource"] == JOB:
            command = state["Parameters"]["ContainerOverrides"]["Command.$"]
            given = ["$$.State.Name", "$.collection", "$.build_id", "$.number", "$.again"]
            assert [command.index(each) for each in given] == sorted(command.index(each) for each in given)
            assert len(given) == len(NAMES)
            assert "functions.build.batch" in command


def test_a_job_may_do_what_the_function_may_but_for_starting_the_machine() -> None:
    function = {action for one in statements("BuildRole") for action in as_list(one["Action"])}
    policies = BATCH["Resources"]["BuildRole"]["Properties"]["Policies"]
    job = {
        action
        for policy in policies
        for one in policy["PolicyDocument"]["Statement"]
        for action in as_list(one["Action"])
    }

    assert function - job == {"states:StartExecution", "logs:CreateLogStream", "logs:PutLogEvents"}
    assert job <= function


@pytest.mark.parametrize("job", ["CpuJob", "GpuJob"])
def test_a_job_has_the_functions_settings_but_for_the_machine(job: str) -> None:
    given = {one["Name"] for one in BATCH["Resources"][job]["Properties"]["ContainerProperties"]["Environment"]}
    wanted = {name for name in environment("BuildFunction") if name.startswith("SHARDLAKE_")}

    assert {name for name in given if name.startswith("SHARDLAKE_")} <= set(Settings.env_names())
    assert wanted - given == {"SHARDLAKE_BUILD_MACHINE", "SHARDLAKE_DISTRIBUTED_ROWS", "SHARDLAKE_CODE_VERSION"}


def test_the_names_are_those_that_the_other_template_gives() -> None:
    names = json.dumps(BATCH["Resources"]["CpuJob"]["Properties"]["ContainerProperties"]["Environment"])

    for logical, kind in (("CatalogTable", "TableName"), ("ShardTable", "TableName"), ("Bucket", "BucketName")):
        assert TEMPLATE["Resources"][logical]["Properties"][kind]["Fn::Sub"] in names


def test_a_command_line_is_a_step() -> None:
    step = asked(["assign", "films", "b-1", "17", "true"])

    assert (step.step, step.collection, step.build_id, step.number, step.again) == ("assign", "films", "b-1", 17, True)


@pytest.mark.parametrize(
    "words", [[], ["assign"], ["assign", "films", "b", "-1", "true"], ["assign", "films", "b", "1", "yes"]]
)
def test_a_command_line_that_is_no_step_is_refused(words: list[str]) -> None:
    with pytest.raises(InvalidInput):
        asked(words)
