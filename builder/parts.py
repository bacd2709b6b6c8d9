"""A part: some of the items of a build, sorted by shard, the vectors of each space sorted by shard and its own lists.

So whatever a shard needs of a part, and whatever some lists of it need, lies in one range. The artefact's blocks:

    shard_starts                  (shards + 1,) i8   the first row of each shard
    id, payload                   bytes              of all rows, with `id_offsets`, `payload_offsets` (rows + 1,) u8
    starts/{space}                (shards + 1,) i8   the first vector of each shard
    rows/{space}, lists/{space}   (m,) u4, i4        the row in the part, and the list, of each vector
    vectors/{space}               (m, d) f4          prepared for the metric
    drawn/{space}                 (s,) i8            vectors drawn evenly for calibration
    numbers/{space}               (s,) f8            what they have drawn: the smaller, the earlier they are taken
    drawn_vectors/{space}         (s, d) f4          a copy of them: nobody reads a part for a few of its rows
"""

from __future__ import annotations

from builder.context import ARTEFACT_KIND, BuildContext
from builder.ranged import RangedFile

DRAWN_ROWS = 4_096  # of a space, over all parts


def part_name(number: int) -> str:
    """Returns the artefact's name of a part."""
    return f"rows-{number:05d}"


def open_part(context: BuildContext, number: int) -> RangedFile:
    """Returns a part that stands."""
    return RangedFile(context.store, context.artefact_key(part_name(number)), ARTEFACT_KIND)
