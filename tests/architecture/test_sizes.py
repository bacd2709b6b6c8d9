"""Little: files that are read in one sitting, functions that fit in the eye, a sentence on every public name."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.sources import EVERYTHING, SHIPPED, Function, name_of, python_files, tree

HARD_FILE, AIM_FILE = 500, 300
HARD_FUNCTION, AIM_FUNCTION = 60, 30


def _functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, Function))


def _body_lines(node: Function) -> int:
    """Returns the lines of a function's body without its docstring and signature."""
    first = node.body[1:] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body
    return (node.end_lineno or 0) - first[0].lineno + 1


def test_no_file_is_longer_than_500_lines() -> None:
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(*EVERYTHING)}
    for name, count in sorted(lines.items()):
        if count > AIM_FILE and name.startswith(SHIPPED):
            print(f"over the aim of {AIM_FILE} lines: {name} {count}")

    assert {name: count for name, count in lines.items() if count > HARD_FILE} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    found = {f"{name_of(p)}:{f.name}": _body_lines(f) for p in python_files(*SHIPPED) for f in _functions(p)}
    for name, count in sorted(found.items()):
        if count > AIM_FUNCTION:
            print(f"over the aim of {AIM_FUNCTION} lines: {name} {count}")

    assert {name: count for name, count in found.items() if count > HARD_FUNCTION} == {}


def _undocumented(path: Path) -> Iterator[str]:
    if path.name != "__init__.py" and ast.get_docstring(tree(path)) is None:
        yield name_of(path)
    for owner in (node for node in ast.walk(tree(path)) if isinstance(node, ast.Module | ast.ClassDef)):
        if isinstance(owner, ast.ClassDef) and owner.name.startswith("_"):
            continue
        for node in owner.body:
            is_public = isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_")
            if is_public and ast.get_docstring(node) is None and not _excused(node):
                yield f"{name_of(path)}:{node.name}"


def _excused(node: ast.AST) -> bool:
    decorators = getattr(node, "decorator_list", [])
    names = {d.id for d in decorators if isinstance(d, ast.Name)} | {
        d.attr for d in decorators if isinstance(d, ast.Attribute)
    }
    # An overload has the docstring of what it overloads; a body of `...` is a protocol's, documented in its class.
    is_stub = (
        isinstance(node, Function)
        and isinstance(node.body[-1], ast.Expr)
        and isinstance(node.body[-1].value, ast.Constant)
    )
    return bool(names & {"overload", "override", "setter"}) or is_stub


def test_every_public_name_that_is_shipped_says_what_it_is_true_of() -> None:
    assert [name for path in python_files(*SHIPPED) for name in _undocumented(path)] == []


def test_every_file_of_ours_parses_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in python_files(*EVERYTHING):
            compile(path.read_text(encoding="utf-8"), str(path), "exec", dont_inherit=True)
