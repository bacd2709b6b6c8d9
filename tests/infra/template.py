"""The template as plain values, for the tests beside."""

from __future__ import annotations

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


def as_list(value: Any) -> list[Any]:
    """Returns what IAM lets one write as one value or as several."""
    return value if isinstance(value, list) else [value]
