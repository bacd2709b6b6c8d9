"""Figures are computed from raw results, and a page says when there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import machine, metrics, report


def test_recall_counts_what_there_is_to_find() -> None:
    assert metrics.recall([[1, 2], [5], []], [[1, 9], [5], []]) == pytest.approx((0.5 + 1 + 1) / 3)


def test_an_answer_is_full_with_as_many_hits_as_matches() -> None:
    assert metrics.full([[1, 2], [1, 1], [3]], [[7, 8], [1, 2], [3]]) == 2


def test_growth_is_the_power_of_the_rows() -> None:
    assert metrics.exponent([1e4, 1e5, 1e6], [3e2, 3e3, 3e4]) == pytest.approx(1)
    assert metrics.exponent([1e4, 1e6], [10, 100]) == pytest.approx(0.5)


@pytest.mark.parametrize("packed", [False, True])
def test_a_result_is_read_as_it_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    machine.save("some", "python -m some", {"figures": [1, 2.5]}, packed=packed)

    found = machine.load("some")
    assert found is not None
    assert (found["figures"], found["command"]) == ([1, 2.5], "python -m some")
    assert machine.load("other") is None


def test_a_section_without_results_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "RESULTS", tmp_path)

    assert {made() for made in report.SECTIONS.values()} == {report.NOT_YET}


def test_a_table_has_every_system_of_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "RESULTS", tmp_path)

    def raw(ms: float, ids: list[int]) -> dict[str, Any]:
        counters = {name: [4, 6] for name in ("lists_probed", "codes_scanned", "rows_refined")}
        return {"ms": [ms, ms], "ids": [ids, ids], "counters": counters}

    systems = {
        "shardlake": raw(0.5, [1, 2]),
        "shardlake, filter new": raw(1.0, [1, 2]),
        "faiss": raw(2.0, [1, 2]),
        "LanceDB": raw(20.0, [1]),
    }
    cell = {"matches": 2, "truth": [[1, 2], [1, 2]], "systems": systems}
    machine.save("filtered-200000", "x", {"rows": 200_000, "cells": {"all": cell}}, packed=True)

    told = report.filtered()
    assert "| all | 2 | 1.000 | 0.500 | 0.25 | 0.50 | 0.500 | 40 |" in told
    assert "| LanceDB | 0.500, 20 (0/2) |" in told
    assert "| all | 5 | 5 | 5 | 5 |" in told


def test_the_page_has_a_place_for_every_section() -> None:
    assert sorted(name for _, name, _ in report.SECTION.findall(report.PAGE.read_text())) == sorted(report.SECTIONS)
