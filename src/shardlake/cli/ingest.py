"""`ingest`: files from here into a collection's inbox, and what became of each."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shardlake.cli.options import AsJson, CollectionName, DataDir
from shardlake.cli.output import Output
from shardlake.cli.session import chosen_collection, session_of
from shardlake.errors import ErrorKind, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shardlake.client import Build, Client, LocalFile, UploadReport

MOST_NAMES = 5


def ingest(
    context: typer.Context,
    *,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH…", help=".jsonl, .jsonl.gz, .parquet, pictures, folders of them.")
    ],
    collection: CollectionName = None,
    path_attributes: Annotated[
        str,
        typer.Option(metavar="NAMES", help="Attributes from folder names: `split,category` reads test/hat/1.jpg."),
    ] = "",
    build: Annotated[
        bool,
        typer.Option("--build", help="Build afterwards: large searches are quicker."),
    ] = False,
    wait: Annotated[int, typer.Option(min=1, metavar="SECONDS", help="How long to wait for the last file.")] = 3600,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Take files into a collection. A bad item never stops the good ones; what was refused is counted and named."""
    from shardlake.cli.files import find_files

    output = Output(as_json=as_json)
    began = time.monotonic()
    names = tuple(name.strip() for name in path_attributes.split(",") if name.strip())
    found = find_files(paths, path_attributes=names)
    if not found.files:
        raise InvalidInput("nothing to take in under these paths", kind=ErrorKind.INVALID_FILE)
    if found.skipped:
        output.note(f"left out, no items ({_files(len(found.skipped))}): {_few(found.skipped)}")
    with session_of(context).client(data_dir) as client:
        name = chosen_collection(client, collection)
        report = send(client, name, found.files, output, wait_s=wait)
        built = _build(client, name, output) if build else None
    result = _as_json(name, report, built) | {
        "skipped": list(found.skipped),
        "seconds": round(time.monotonic() - began, 3),
    }
    output.emit(result, lambda console: console.print(_summary(result)))
    _tell_refused(report, result, output)


def send(
    client: Client, name: str, files: Sequence[LocalFile], output: Output, *, wait_s: float = 3600.0
) -> UploadReport:
    """Sends files with a bar for their bytes and one for their take-in."""
    from shardlake.client import UploadProgress
    from shardlake.client.flows import FileBody

    total = sum(FileBody(source=one.source).size() for one in files)
    with output.bars() as bars:
        sending = bars.add("sending", max(1, total))
        taking = bars.add("taking in", len(files))
        progress = UploadProgress(on_bytes=sending.advance, on_taken=taking.advance)
        return client.collection(name).upload(files, progress=progress, wait_s=wait_s)


def _build(client: Client, name: str, output: Output) -> Build:
    from shardlake.cli.builds import build_and_follow

    return build_and_follow(client, name, output)


def _as_json(name: str, report: UploadReport, built: Build | None) -> dict[str, Any]:
    from shardlake.format import locations

    return {
        "collection": name,
        "files": len(report.files),
        "unchanged": report.unchanged,
        "accepted": report.accepted,
        "rejected": report.rejected,
        "rejected_in": [
            {"file": one.name, "rejected": one.rejected, "key": locations.rejected(name, one.name, one.etag)}
            for one in report.files
            if one.rejected
        ],
        "failed": [{"file": one.name, "error": one.error} for one in report.failed],
        "build": built.raw if built is not None else None,
    }


def _summary(result: dict[str, Any]) -> str:
    said = f"[bold]{result['accepted']:,}[/] items taken in, {result['rejected']:,} refused"
    said += f", from {_files(result['files'])} in {result['seconds']:.1f} s"
    if result["unchanged"]:
        said += f" ({_files(result['unchanged'])} stood there already)"
    if result["build"] is not None:
        return said + f"\nversion [bold]{result['build'].get('version')}[/] is current"
    return (
        said + f"\nsearched from now on; `shardlake build --collection {result['collection']}` makes large ones quick"
    )


def _tell_refused(report: UploadReport, result: dict[str, Any], output: Output) -> None:
    for one in result["rejected_in"][:MOST_NAMES]:
        output.note(f"{one['rejected']:,} refused in {one['file']}: why is in the bucket, {one['key']}")
    if len(result["rejected_in"]) > MOST_NAMES:
        output.note(f"… and in {len(result['rejected_in']) - MOST_NAMES} more files")
    if report.failed:
        raise InvalidInput(
            f"{_files(len(report.failed))} could not be taken in",
            kind=ErrorKind.INVALID_FILE,
            files=result["failed"],
        )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _few(names: Sequence[str]) -> str:
    more = f", … and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
