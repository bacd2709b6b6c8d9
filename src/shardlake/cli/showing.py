"""`demo` as people see it: the local cloud, the pictures, the searches, and what to try next."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shardlake.cli import hits
from shardlake.cli.output import Output
from shardlake.cli.session import Session
from shardlake.demo.collection import NAME, Folder
from shardlake.demo.run import DemoResult, run

if TYPE_CHECKING:
    from rich.console import Console

    from shardlake.local import CloudStatus

MOST_SHOWN = 5


def demo(session: Session, data_dir: Path, output: Output) -> None:
    """Runs the demo on the local cloud of a folder and shows what it found."""
    began = time.monotonic()
    folder = Folder(root=data_dir / "demo")
    with output.bars() as bars:
        bar = bars.add("local cloud", None)
        cloud = session.cloud.up(data_dir, None, progress=bar.say, models_dir=None)
        bar.done("up")
        with session.connect(cloud.url, None) as client:
            result = run(client, folder, bars.add)
    seconds = time.monotonic() - began
    output.emit(
        _as_json(cloud, folder, result, seconds), lambda console: _show(console, cloud, folder, result, seconds)
    )


def next_steps(url: str) -> tuple[str, ...]:
    """Returns three commands to try next."""
    body = '{"query": {"text": "a blue house"}, "filter": {"price": {"$lte": 40}}, "k": 3}'
    return (
        f"curl -s {url}/v1/collections/{NAME}/search -d '{body}'",
        f"curl -s {url}/v1/collections/{NAME}",
        f"{program()} search --collection {NAME} --text 'three green leaves' --explain",
    )


def program() -> str:
    """Returns how the command line is called from here: `make demo` runs it from .venv, which may not be on PATH."""
    beside = Path(sys.executable).with_name("shardlake")
    return "shardlake" if shutil.which("shardlake") or not beside.exists() else os.path.relpath(beside)


def _as_json(cloud: CloudStatus, folder: Folder, result: DemoResult, seconds: float) -> dict[str, Any]:
    return {
        "url": cloud.url,
        "console": cloud.console,
        "endpoint": cloud.endpoint,
        "collection": result.info.raw,
        "drawn": result.drawn,
        "taken_in": result.taken_in,
        "built": result.built,
        "searches": [{"title": one.question.title, "answer": one.answer.raw} for one in result.answers],
        "sheets": {"pictures": str(folder.contact_sheet), "results": str(folder.results)},
        "seconds": round(seconds, 3),
        "next": list(next_steps(cloud.url)),
    }


def _show(console: Console, cloud: CloudStatus, folder: Folder, result: DemoResult, seconds: float) -> None:
    for one in result.answers:
        hits.show(console, one.answer, title=one.question.title, most=MOST_SHOWN)
        console.print()
    info = result.info
    made = f"drew {result.drawn}, took in {result.taken_in}" if result.taken_in else "everything stood already"
    console.print(f"[bold]{info.rows} pictures in {info.shards} shards[/] ({made}), {seconds:.1f} s")
    console.print(f"to look at: {folder.results} and {folder.contact_sheet}", soft_wrap=True)
    console.print(
        f"console: [bold]{cloud.console}[/]   (the local cloud goes on; `{program()} down` stops it)", soft_wrap=True
    )
    console.print("\ntry next:")
    for command in next_steps(cloud.url):
        console.print(f"  {command}", markup=False, soft_wrap=True)
