"""The template as plain values, for the tests beside."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cfnlint.decode import cfn_yaml

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "infra" / "template.yaml"
TEMPLATE: dict[str, Any] = cfn_yaml.load(str(PATH))


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """Returns the properties of all resources of a type, by logical id."""
    return {name: r["Properties"] for name, r in TEMPLATE["Resources"].items() if r["Type"] == kind}


FUNCTIONS = of_type("AWS::Serverless::Function")


def environment(function: str) -> dict[str, Any]:
    """Returns the variables of a function, the global ones included."""
    common = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    return {**common, **FUNCTIONS[function]["Environment"]["Variables"]}


def statements(role: str) -> Iterator[dict[str, Any]]:
    """Yields the statements of a role."""
    for policy in of_type("AWS::IAM::Role")[role]["Policies"]:
        yield from policy["PolicyDocument"]["Statement"]


def definition_of(machine: dict[str, Any]) -> dict[str, Any]:
    """Returns a state machine's definition, its pieces in their places and parameters by their defaults or names."""
    text, pieces = machine["DefinitionString"]["Fn::Sub"]
    values = {name: piece["Fn::Sub"] if isinstance(piece, dict) else piece for name, piece in pieces.items()}
    if "BuildFunction" in values:  # of another stack: its ARN is of no matter
        values["BuildFunction"] = "BuildFunction"
    for _ in range(2):  # pieces have parameters in them
        text = re.sub(r"\$\{([A-Za-z:]+)\}", lambda found: str(values.get(found[1], default_of(found[1]))), text)
    definition: dict[str, Any] = json.loads(text)
    return definition


def default_of(name: str) -> object:
    """Returns a parameter's default, or a resource's name."""
    return TEMPLATE["Parameters"].get(name, {}).get("Default", name)


def tasks(machine: dict[str, Any]) -> dict[str, Any]:
    """Returns the states that do something, those of maps included."""
    found = {name: state for name, state in machine["States"].items() if state["Type"] == "Task"}
    for state in machine["States"].values():
        found |= tasks(state["ItemProcessor"]) if state["Type"] == "Map" else {}
    return found


def as_list(value: Any) -> list[Any]:
    """Returns what IAM lets one write as one value or as several."""
    return value if isinstance(value, list) else [value]
