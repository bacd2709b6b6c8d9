"""Makes docs/scale.md: a billion vectors, reckoned by docs/scale_model.py from benchmarks/results/steps.json.

No figure of the page is typed by hand.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import machine
from docs.scale_model import (
    AT_ONCE,
    CPU_CORES,
    CPU_HOUR,
    DIMENSION,
    GATEWAY_REQUEST,
    GB,
    GETS_PER_S,
    GPU_HOUR,
    HOUR_S,
    LAMBDA_GB_S,
    LAMBDA_MB,
    LAMBDA_MOST_MB,
    LAMBDA_REQUEST,
    LAMBDA_S,
    MB,
    PROBES,
    READ_S,
    READERS,
    ROWS,
    S3_GB_MONTH,
    S3_GET,
    S3_PUT,
    SEARCH_S,
    SHARD_ROWS,
    STREAM_BYTES_S,
    TB,
    TRANSITION,
    WRITE_UNIT,
    Scale,
)
from functions.build.steps import MAX_NUMBERS
from shardlake import limits
from shardlake.core import training


def page() -> str:
    """Returns docs/scale.md."""
    raw = machine.load("steps")
    assert raw is not None, "run python -m benchmarks.steps"
    scale = Scale(raw)
    parts = (_head(scale), _sizes(scale), _steps(scale), _cost(scale), _search(scale), _limits(scale))
    return "\n".join(parts)


def _head(scale: Scale) -> str:
    measured = scale.raw["machine"]
    return f"""# A billion vectors, on paper

What a build and a search of {ROWS:,} × {DIMENSION} come to, **reckoned and never run**: from the steps of a build of
{scale.measured_rows:,} × {DIMENSION}, each measured alone, `{scale.raw["command"]}`, {measured["date"]},
{measured["cores"]} cores ({measured["processor"]}). The store was a folder, so what waiting for S3 adds is reckoned:
{STREAM_BYTES_S / MB:.0f} MB/s a stream, {READ_S * 1e3:.0f} ms a small read. The page is written by
`docs/make_scale.py` from the raw result; prices and bounds of AWS stand in `docs/scale_model.py` with their sources.
How the steps run: [decisions/0031](decisions/0031-builds-on-many-machines.md).

The short of it: parts and shards scale as they should, and **four things do not hold at a billion**: what one task does
alone over all rows, the reads with which every shard visits every part, the lists, which get too long to be read cold,
and a first load beyond {limits.MAX_PENDING_SEGMENTS * limits.MAX_SEGMENT_ROWS / 1e6:.0f} million rows. They are named
[below](#what-does-not-hold), with the size up to which each does.
"""


def _sizes(scale: Scale) -> str:
    artefacts = scale.parts * 1.0 + 3 * scale.shards
    lists_rows = ROWS / scale.lists
    rows = [
        ("vectors, float32", f"{scale.vector_bytes / TB:.2f} TB"),
        ("segments of 10,000 rows", f"{scale.segments:,}, {ROWS * scale.segment_row_bytes / TB:.2f} TB"),
        (
            f"parts of {scale.part_rows:,} rows",
            f"{scale.parts:,}, {ROWS * scale.part_row_bytes / TB:.2f} TB while built",
        ),
        (f"shards of {SHARD_ROWS:,} rows", f"{scale.shards:,} of {SHARD_ROWS * scale.shard_row_bytes / GB:.2f} GB"),
        ("lists", f"{scale.lists:,} of {lists_rows:,.0f} rows"),
        ("objects", f"{3 * scale.segments + scale.shards + 3:,.0f} that stay, {artefacts:,.0f} while it is built"),
        (
            "stored, segments and one version",
            f"{ROWS * (scale.segment_row_bytes + scale.shard_row_bytes) / TB:.2f} TB, "
            f"${ROWS * (scale.segment_row_bytes + scale.shard_row_bytes) / GB * S3_GB_MONTH:,.0f} a month",
        ),
        (
            "the router's file",
            f"{scale.raw['lists']['routing_bytes'] / MB:.0f} MB, {4 * scale.lists * DIMENSION / MB:.0f} MB once opened",
        ),
        (
            "DynamoDB, the log",
            f"{scale.segments:,} items of {scale.raw['segment_item_bytes']:,} bytes and what is said of a delta, "
            "and as many by which repetitions are known",
        ),
        (
            "DynamoDB, a version's shard map",
            f"{scale.shards:,} items of {scale.commit['shard_item_bytes']:,} bytes here, "
            f"{limits.MAX_ZONE_MAPS_BYTES // 1024} KB at most (DynamoDB: 400 KB)",
        ),
    ]
    return "## Sizes\n\n" + _table(("what", "how much"), rows)


def _steps(scale: Scale) -> str:
    fits = {True: "Lambda", False: "Batch"}
    survey_s = scale.mean("survey", "cpu_s") * ROWS / scale.measured_rows + 2 * scale.segments * READ_S
    train_s = scale.read_all_s + scale.kmeans_s
    calibrate_s = scale.read_all_s + scale.calibrate_s
    commit_s = (scale.shards + scale.parts + 3 * scale.shards) * READ_S
    train_mb = scale.memory_mb("train") + 2 * 4 * training.MAX_SAMPLE_ROWS * DIMENSION / MB
    calibrate_mb = scale.memory_mb("calibrate") + 8 * ROWS / MB
    centroids_mb = 2 * 4 * scale.lists * DIMENSION / MB + ROWS / MB
    told = [
        ("survey", 1, survey_s, scale.survey_bytes / MB, False),
        ("train", 1, train_s, train_mb, False),
        ("assign", scale.parts, scale.assign_s, scale.memory_mb("assign") + centroids_mb, scale.assign_s < LAMBDA_S),
        ("write", scale.shards, scale.write_s, scale.memory_mb("write") + centroids_mb, scale.write_s < LAMBDA_S),
        ("calibrate", 1, calibrate_s, calibrate_mb, False),
        ("commit", 1, commit_s, scale.memory_mb("commit") + centroids_mb, commit_s < LAMBDA_S),
    ]
    rows = []
    for name, tasks, seconds, memory, fit in told:
        measured = f"{scale.mean(name, 'cpu_s'):.1f} s, {scale.memory_mb(name):,.0f} MB"
        waves = -(-tasks // AT_ONCE)
        rows.append((name, measured, f"{tasks:,}", _time(seconds), _memory(memory), fits[fit], _time(waves * seconds)))
    head = (
        "step",
        f"measured ({scale.measured_rows:,} rows)",
        "tasks",
        "one task",
        "its memory",
        "runs on",
        f"all, {AT_ONCE:,} at a time",
    )
    total = sum(-(-tasks // AT_ONCE) * seconds for _, tasks, seconds, _, _ in told)
    return f"""## Steps

One task has {scale.raw["threads"]} cores here, as a function of {LAMBDA_MB:,} MB about has. Measured are seconds of
cores, which others on the machine disturb least, and the peak of the whole process; a task is reckoned as if one core
did all but the products. Nearest centroids ran at {scale.flops / 1e9:.0f} GFLOP/s on both.

{_table(head, rows)}
Together {_time(total)}, if S3 let it: [it does not](#what-does-not-hold). k-means of the sample alone takes
{_time(scale.kmeans_s)} on these cores; dealing {scale.lists:,} lists out to {scale.shards:,} shards,
{_time(scale.raw["lists"]["group_lists_cpu_s"])} of one. More cores or a GPU shorten both; nothing but more streams
shortens reading {scale.vector_bytes / TB:.2f} TB, {_time(scale.read_all_s)} in one.
"""


def _cost(scale: Scale) -> str:
    lambda_gb = LAMBDA_MB / 1024
    assign = scale.parts * (scale.assign_s * lambda_gb * LAMBDA_GB_S + LAMBDA_REQUEST)
    write = scale.shards * scale.write_s * lambda_gb * LAMBDA_GB_S
    alone_h = (2 * scale.read_all_s + 2 * scale.segments * READ_S) / HOUR_S + (
        scale.kmeans_s + scale.calibrate_s
    ) * scale.raw["threads"] / CPU_CORES / HOUR_S
    gets = scale.shuffle_gets + scale.parts * scale.mean("assign", "gets") + 4 * scale.segments
    transitions = 3 * (scale.parts + scale.shards) + 20
    puts = scale.parts + 4 * scale.shards
    gpu_h = (
        (
            2 * ROWS * scale.lists * DIMENSION
            + 2 * training.KMEANS_ITERATIONS * training.MAX_SAMPLE_ROWS * scale.lists * DIMENSION
        )
        / 1e13
        / HOUR_S
    )
    ingest = scale.segments * 3 * S3_PUT + scale.segments * 4 * WRITE_UNIT
    rows = [
        (f"assign, {scale.parts:,} functions", assign),
        (f"write, {scale.shards:,} tasks, as if they were functions", write),
        (f"survey, train, calibrate: {alone_h:.0f} h of one m7g.16xlarge", alone_h * CPU_HOUR),
        (f"{gets / 1e6:,.0f} million GETs", gets * S3_GET),
        (f"{puts:,} PUTs", puts * S3_PUT),
        (f"Step Functions, {transitions:,} transitions", transitions * TRANSITION),
        (
            "artefacts, for a day",
            ROWS * scale.part_row_bytes / GB * S3_GB_MONTH / 30,
        ),
    ]
    total = sum(cost for _, cost in rows)
    table = _table(("one build", "USD"), [(name, f"{cost:,.2f}") for name, cost in [*rows, ("together", total)]])
    return f"""## Cost

{table}
Whoever loads in portions pays more: a build comes by itself with every fifth more rows, so
{scale.rounds_of_builds:.0f} rows are built for each that is there at last, about ${total * scale.rounds_of_builds:,.0f}
(see below). Segments cost ${ingest:,.2f} in requests before that. A GPU of 10 TFLOP/s in effect would do the arithmetic
of train and assign in {gpu_h:.1f} h, ${gpu_h * GPU_HOUR:,.2f} of a g5.xlarge; that was never run.
"""


def _search(scale: Scale) -> str:
    shards = min(PROBES, limits.MAX_SHARDS_PER_QUERY)
    functions = shards * (SEARCH_S * LAMBDA_MB / 1024 * LAMBDA_GB_S + LAMBDA_REQUEST)
    router_s = SEARCH_S + scale.raw["lists"]["coarse_s"]
    router = router_s * 1.769 * LAMBDA_GB_S + LAMBDA_REQUEST + GATEWAY_REQUEST
    cold_gets = PROBES + shards
    rows = [
        ("lists probed, if no more were needed than at a million", f"{PROBES}"),
        ("shards asked, at most", f"{shards} of {scale.shards:,}"),
        ("invocations", f"{shards + 1}"),
        ("scores of centroids at the router", f"{scale.raw['lists']['coarse_s'] * 1e3:.1f} ms"),
        ("codes looked at", f"{PROBES * ROWS / scale.lists:,.0f}"),
        ("read when cold, codes alone", f"{PROBES * scale.probe_bytes / MB:,.0f} MB"),
        ("GETs when cold", f"{cold_gets}, ${cold_gets * S3_GET:.6f}"),
        (f"price when warm, {SEARCH_S * 1e3:.0f} ms a function", f"${functions + router:.6f}"),
    ]
    held = scale.shards * SHARD_ROWS * scale.shard_row_bytes
    containers = held / (1.5 * GB)
    return f"""## One search

{_table(("what", "how much"), rows)}
Warm means that a function holds what it is asked for. All shards together are {held / TB:.2f} TB: at 1.5 GB a container
that is {containers:,.0f} containers, of which Lambda keeps none for anybody. Searches that wander over the whole
collection are cold as a rule.
"""


def _limits(scale: Scale) -> str:
    ends = sorted([*_alone(scale), *_together(scale)], key=lambda end: end.rows)
    rows = [(end.what, f"{end.rows / 1e6:,.0f} million{end.where}", end.then) for end in ends]
    rows.append(
        (
            "artefacts are garbage after a day, a silent step after an hour",
            "by time, not by size",
            "a build of more than a day loses its parts; one whose single step takes over an hour is told as given up, "
            "though it goes on and commits",
        )
    )
    table = _table(("what", "holds up to about", "at a billion"), rows)
    return f"""## What does not hold

In the order in which it is met, and of this design as it is:

{table}
What does hold: memory of a part and of a shard, whatever the rows; the price of keeping it; invocation payloads (a
search asks some ids of lists, not data); items of DynamoDB, of which none grows with the collection; the number of
shards in one answer ({limits.MAX_SHARDS_PER_QUERY} at most, the nearest).

What would mend the rest, and is not built: a sample by ranged reads of the rows drawn; calibration as steps over parts,
whose bests are merged; parts that are sorted by shard in two rounds, so that a shard visits √parts of them; lists of
bounded length under two levels of centroids; a survey by ranges of ids, of which a step reads its own segments' rows.
"""


class _End(NamedTuple):
    """Up to how many rows something holds."""

    what: str
    rows: float
    where: str
    then: str


def _alone(scale: Scale) -> list[_End]:
    """Returns where single tasks end."""
    return [
        _End(
            "one task that reads all vectors: train, calibrate",
            LAMBDA_S * STREAM_BYTES_S / (4 * DIMENSION),
            " on Lambda",
            f"{_time(scale.read_all_s)} in one stream, twice: on Batch, where a task may take that long",
        ),
        _End(
            "calibration compares all vectors with its queries, in one task",
            LAMBDA_S / ((scale.read_all_s + scale.calibrate_s) / ROWS),
            f" on Lambda with {scale.raw['threads']} cores",
            f"{_time(scale.calibrate_s)} on as many; shorter with more, and a function has six at most",
        ),
        _End(
            "the survey holds all ids at once",
            LAMBDA_MOST_MB * MB / (scale.survey_bytes / ROWS),
            " on Lambda",
            f"{scale.survey_bytes / GB:.0f} GB in one process: a machine with as much",
        ),
        _End(
            f"the sample of {training.MAX_SAMPLE_ROWS:,} rows",
            _rows_at(40),
            "",
            f"{training.sample_rows(scale.lists) / scale.lists:.0f} rows a centroid; faiss warns below 39: centroids "
            "are worse than they could be",
        ),
        _End(
            "memory of a step: a byte for each row taken in, and all centroids",
            (LAMBDA_MB - 1_500) * MB,
            f" in {LAMBDA_MB:,} MB",
            f"{ROWS / GB:.0f} GB beside {4 * scale.lists * DIMENSION / MB:,.0f} MB of centroids, in each",
        ),
    ]


def _together(scale: Scale) -> list[_End]:
    """Returns where parts, shards and lists end together."""
    waits = scale.small_reads + scale.groups / READERS
    return [
        _End(
            "every shard visits every part",
            # What Lambda's time leaves to waiting, in parts that are read one behind another.
            0.8 * LAMBDA_S / (waits * READ_S) * scale.part_rows,
            " on Lambda",
            f"{scale.shuffle_gets / 1e6:,.0f} million small GETs. At the {GETS_PER_S:,} a second that S3 gives a "
            f"prefix before it divides it, {_time(scale.shuffle_gets / GETS_PER_S)}, whatever the number of machines",
        ),
        _End(
            "lists read cold, 32 MB a search",
            (32 * MB / PROBES / (4 + DIMENSION / 4)) ** 2,
            "",
            f"{scale.probe_bytes / MB:.1f} MB a list: lists become longer with √rows, and {PROBES} are probed",
        ),
        _End(
            "rows pending behind a version",
            limits.MAX_PENDING_SEGMENTS * limits.MAX_SEGMENT_ROWS,
            "",
            "a first load must be taken in as portions with builds between, and pays for these",
        ),
        _End(
            "numbers that travel as a list in a state of 256 KB",
            MAX_NUMBERS * scale.part_rows,
            "",
            f"{scale.parts:,} of {MAX_NUMBERS:,}; then the map has to read them from S3",
        ),
    ]


def _rows_at(rows_per_centroid: int) -> float:
    """Returns up to how many rows the sample has so many rows a centroid."""
    lists = training.MAX_SAMPLE_ROWS / rows_per_centroid
    return float(2.0 ** (2 * (math.floor(math.log2(lists)) + 0.5)))


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * HOUR_S else f"{seconds / HOUR_S:.1f} h"


def _memory(megabytes: float) -> str:
    return f"{megabytes / 1e3:,.1f} GB"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(page())
