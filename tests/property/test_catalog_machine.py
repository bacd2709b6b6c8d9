"""The catalog in memory, against its model."""

from __future__ import annotations

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.catalog_machine import CatalogMachine


def test_two_writers_who_lose_replies_never_lose_or_repeat_a_commit() -> None:
    run_state_machine_as_test(CatalogMachine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
