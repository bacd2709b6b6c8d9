"""Finds what `ingest` is to send: tables, single pictures, folders of pictures, and what folder names say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shardlake import limits
from shardlake.client import LocalFile
from shardlake.contracts.uploads import SIDECAR_SUFFIX, check_kind, is_image, is_sidecar
from shardlake.errors import ErrorKind, InvalidInput, ShardlakeError

ITEM_FIELDS = frozenset({"attributes", "media", "vectors"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What lies under the paths: files to send, and those of a folder that are no items."""

    files: tuple[LocalFile, ...]
    skipped: tuple[str, ...]


def find_files(paths: Sequence[Path], *, path_attributes: Sequence[str] = ()) -> Found:
    """Returns what lies under the paths, in the order of their names.

    A file's name in the collection is its path below the folder given, or its own name when it was given itself.

    Args:
        path_attributes: names for the first folders of a picture's path: `split,category` makes test/hat/1.jpg an item
            with split=test and category=hat. A sidecar beside the picture wins.

    Raises:
        InvalidInput: invalid-file, when a path is not there, two files would have one name, a file given itself is
            nothing that can be taken in, or a picture lies in fewer folders than there are names.
        NotImplementedYet: audio and video, named themselves.
    """
    files: dict[str, LocalFile] = {}
    skipped: list[str] = []
    for name, path in _walk(paths, skipped):
        if name in files:
            raise InvalidInput("two files would have one name", kind=ErrorKind.INVALID_FILE, name=name, path=str(path))
        files[name] = LocalFile(name=name, source=path, sidecar=_sidecar(name, path, path_attributes))
    return Found(files=tuple(files.values()), skipped=tuple(skipped))


def _walk(paths: Sequence[Path], skipped: list[str]) -> Iterator[tuple[str, Path]]:
    for path in paths:
        if path.is_dir():
            yield from _walk_folder(path, skipped)
        elif path.is_file():
            check_kind(path.name)
            if is_sidecar(path.name):
                raise InvalidInput(
                    "a sidecar goes with its picture: name the picture", kind=ErrorKind.INVALID_FILE, path=str(path)
                )
            yield path.name, path
        else:
            raise InvalidInput("there is no such file or folder", kind=ErrorKind.INVALID_FILE, path=str(path))


def _walk_folder(folder: Path, skipped: list[str]) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        steps = path.relative_to(folder)
        if not path.is_file() or any(step.startswith(".") for step in steps.parts):
            continue
        name = steps.as_posix()
        if is_sidecar(name):
            continue  # read beside its picture
        try:
            check_kind(name)
        except ShardlakeError:
            skipped.append(name)
        else:
            yield name, path


def _sidecar(name: str, path: Path, path_attributes: Sequence[str]) -> bytes | None:
    if not is_image(name):
        return None
    beside = path.with_name(path.name + SIDECAR_SUFFIX)
    standing = beside.read_bytes() if beside.is_file() else None
    if standing is not None and len(standing) > limits.MAX_SIDECAR_BYTES:
        raise InvalidInput("the sidecar is too large", kind=ErrorKind.INVALID_FILE, path=str(beside))
    if not path_attributes:
        return standing
    item = _item(_parsed(beside, standing))
    own = item.get("attributes")
    if not isinstance(own, dict):
        raise InvalidInput("the sidecar's attributes are a JSON object", kind=ErrorKind.INVALID_FILE, path=str(beside))
    merged = item | {"attributes": _folder_attributes(name, path_attributes) | own}
    return json.dumps(merged, ensure_ascii=False, sort_keys=True).encode()


def _folder_attributes(name: str, path_attributes: Sequence[str]) -> dict[str, object]:
    folders = name.split("/")[:-1]
    if len(folders) < len(path_attributes):
        raise InvalidInput(
            f"the picture lies in {len(folders)} folders, and --path-attributes names {len(path_attributes)}",
            kind=ErrorKind.INVALID_FILE,
            name=name,
        )
    return dict(zip(path_attributes, folders, strict=False))


def _item(sidecar: dict[str, object]) -> dict[str, object]:
    # A sidecar is the attributes themselves, or an item without its id.
    is_item = bool(sidecar) and sidecar.keys() <= ITEM_FIELDS
    return {"attributes": {}} | sidecar if is_item else {"attributes": sidecar}


def _parsed(path: Path, content: bytes | None) -> dict[str, object]:
    try:
        value = json.loads(content) if content is not None else {}
    except ValueError as exc:
        raise InvalidInput(f"not JSON: {exc}", kind=ErrorKind.INVALID_FILE, path=str(path)) from exc
    if not isinstance(value, dict):
        raise InvalidInput("a sidecar is a JSON object", kind=ErrorKind.INVALID_FILE, path=str(path))
    return value
