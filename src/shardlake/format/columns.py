"""Attribute columns as a shard holds them: blocks of one attribute in, one checked column out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from shardlake.errors import FormatError
from shardlake.format.container import expect
from shardlake.format.shard_header import ShardHeader
from shardlake.query.columns import NUMBERS, Column, GeoColumn, KeywordColumn, NumberColumn, PresenceColumn
from shardlake.types import AttributeType

Blocks = dict[str, npt.NDArray[Any]]


def column_blocks(header: ShardHeader, name: str) -> list[str]:
    """Returns the names of the blocks that hold an attribute's column."""
    return [block for block in header.directory.blocks if block.startswith(f"attribute/{name}/")]


def decode_column(header: ShardHeader, name: str, blocks: Blocks) -> Column:
    """Returns an attribute's column from its decoded blocks. Raises FormatError."""
    prefix = f"attribute/{name}/"
    part = {key.removeprefix(prefix): value for key, value in blocks.items()}
    spec = header.attributes[name]
    try:
        if spec.type is AttributeType.KEYWORD:
            return _keywords(part, header.rows, multi=spec.multi)
        packed = expect("present", part["present"], np.uint8, (-(-header.rows // 8),))
        present = np.unpackbits(packed, count=header.rows, bitorder="little").astype(bool)
        if spec.type is AttributeType.GEO and "places" in part:
            places = expect("places", part["places"], np.float64, (2, header.rows))
            return GeoColumn(latitudes=places[0], longitudes=places[1], present=present)
        if spec.type not in NUMBERS:
            return PresenceColumn(present=present)
        return NumberColumn(
            values=expect("values", part["values"], NUMBERS[spec.type], (header.rows,)), present=present
        )
    except KeyError as exc:
        raise FormatError("a column lacks a block", attribute=name) from exc


def _keywords(part: Blocks, rows: int, *, multi: bool) -> KeywordColumn:
    dictionary = _dictionary(part)
    offsets = expect("offsets", part["offsets"], np.uint32, (rows + 1,)) if multi else None
    if offsets is not None and (offsets[0] != 0 or (np.diff(offsets.astype(np.int64)) < 0).any()):
        raise FormatError("a keyword column contradicts itself")
    expected = rows if offsets is None else int(offsets[-1])
    codes = expect("codes", part["codes"], np.int32, (expected,))
    # -1 is a missing value; a row of several has none for that.
    lowest = 0 if multi else -1
    if len(codes) and not lowest <= int(codes.min()) <= int(codes.max()) < len(dictionary):
        raise FormatError("a keyword column names a value that it does not have")
    return KeywordColumn(dictionary=dictionary, codes=codes, offsets=offsets)


def _dictionary(part: Blocks) -> list[str]:
    text = expect("dictionary", part["dictionary"], np.uint8, (None,)).tobytes()
    ends = expect("dictionary_offsets", part["dictionary_offsets"], np.uint32, (None,)).tolist()
    if not ends or ends[0] != 0 or ends[-1] != len(text):
        raise FormatError("a dictionary contradicts its offsets")
    try:
        values = [text[a:b].decode() for a, b in pairwise(ends)]
    except UnicodeDecodeError as exc:
        raise FormatError("a value of a dictionary is not UTF-8") from exc
    # Lookups are by bisection. Offsets that go backwards give an empty value in a later place, which this refuses too.
    if any(a >= b for a, b in pairwise(values)) or any(a > b for a, b in pairwise(ends)):
        raise FormatError("a dictionary is not in order")
    return values
