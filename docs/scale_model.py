"""What the measured steps of a build come to at a billion rows: the arithmetic behind docs/scale.md.

What was measured comes from the raw result of benchmarks.steps; what AWS asks and bounds stands here with its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from functions.build.service import PART_BYTES
from shardlake import limits
from shardlake.core import training

ROWS, DIMENSION = 1_000_000_000, 768
SHARD_ROWS = 1_000_000  # the default `target_rows`
KB, MB, GB, TB = 1e3, 1e6, 1e9, 1e12
HOUR_S = 3_600

# Prices of us-east-1, in USD. Lambda (arm64), S3 and DynamoDB: AWS price pages as noted 2026-11; Step Functions: its
# price page, read 2026-11; EC2: g5.xlarge and m7g.large on demand, 2026-06; m7g.16xlarge is 32 of the latter.
LAMBDA_GB_S, LAMBDA_REQUEST = 0.0000133334, 0.20e-6
S3_GET, S3_PUT, S3_GB_MONTH = 0.0004e-3, 0.005e-3, 0.023
TRANSITION = 0.025e-3
WRITE_UNIT = 0.625e-6
GATEWAY_REQUEST = 1.00e-6
GPU_HOUR, CPU_HOUR, CPU_CORES = 1.006, 32 * 0.0816, 64

# What nothing here can measure. One stream from S3 into Lambda: 100 to 127 MB/s was measured by others; a small read
# waits some 30 ms (AWS, performance guidelines: 100 to 200 ms at worst). Requests: AWS, 2026-11.
STREAM_BYTES_S, READ_S = 100 * MB, 0.030
GETS_PER_S = 5_500  # of one prefix that S3 has not divided yet
LAMBDA_S, LAMBDA_MB, LAMBDA_MOST_MB = 900, 3_008, 10_240
AT_ONCE = 1_000  # functions of an account, unless it asks for more; a distributed map takes 10,000
READERS = 8  # of builder.gather
BATCH_ROWS = 16_384  # of builder.write_space: rows whose vectors are read together
SEARCH_S = 0.05  # of a shard's function in a warm search, reckoned generously
PROBES = 32


@dataclass(frozen=True)
class Scale:
    """What the measured steps come to at ROWS rows.

    Attributes:
        raw: the result of benchmarks.steps.
    """

    raw: dict[str, Any]

    def of(self, step: str) -> list[dict[str, Any]]:
        """Returns the measured runs of a step, without those of a part that is not full."""
        runs = [run for run in self.raw["steps"] if run["step"] == step]
        return [run for run in runs if run["read_bytes"] >= 0.9 * max(one["read_bytes"] for one in runs)]

    def mean(self, step: str, name: str) -> float:
        """Returns the mean of a figure over those runs."""
        found = [float(run[name]) for run in self.of(step)]
        return sum(found) / len(found)

    def memory_mb(self, step: str) -> float:
        """Returns the peak of a step, its imports included."""
        return max(float(run["peak_mb"]) for run in self.of(step))

    @property
    def measured_rows(self) -> int:
        """Rows of the measured collection."""
        return int(self.raw["rows"])

    @cached_property
    def segments(self) -> int:
        """Segments of the largest size that ingest makes."""
        return -(-ROWS // limits.MAX_SEGMENT_ROWS)

    @cached_property
    def part_rows(self) -> int:
        """Rows of a part: whole segments."""
        return PART_BYTES // (4 * DIMENSION) // limits.MAX_SEGMENT_ROWS * limits.MAX_SEGMENT_ROWS

    @cached_property
    def parts(self) -> int:
        """How many parts."""
        return -(-ROWS // self.part_rows)

    @cached_property
    def shards(self) -> int:
        """How many shards."""
        return -(-ROWS // SHARD_ROWS)

    @cached_property
    def lists(self) -> int:
        """How many lists."""
        return training.list_count(ROWS)

    @cached_property
    def vector_bytes(self) -> float:
        """Of all vectors as float32."""
        return 4.0 * ROWS * DIMENSION

    @cached_property
    def commit(self) -> dict[str, Any]:
        """What the last step tells of shards and artefacts."""
        return self.of("commit")[0]

    @cached_property
    def shard_row_bytes(self) -> float:
        """Bytes of a row in a shard."""
        return float(sum(self.commit["shard_bytes"]) / sum(self.commit["shard_rows"]))

    @cached_property
    def segment_row_bytes(self) -> float:
        """Bytes of a row in a segment."""
        return float(self.raw["segment_bytes"] / self.measured_rows)

    @cached_property
    def part_row_bytes(self) -> float:
        """Bytes of a row in a part."""
        parts = [size for name, size in self.commit["artefacts"].items() if name.startswith("rows-")]
        return float(sum(parts) / self.measured_rows)

    @cached_property
    def probe_bytes(self) -> float:
        """Of the codes of one list: what a probe reads before it knows which rows to refine."""
        return ROWS / self.lists * (4 + DIMENSION / 4) + 4 * DIMENSION

    @cached_property
    def flops(self) -> float:
        """Floating-point operations a second of the measuring machine's cores, while nearest centroids are found."""
        found = self.raw["lists"]
        return float(2 * found["rows"] * found["lists"] * DIMENSION / found["assign_cpu_s"] * self.raw["threads"])

    @cached_property
    def assign_s(self) -> float:
        """Seconds of one part: as measured, at so many more lists, read from S3 and written there."""
        more = 2 * self.part_rows * self.lists * DIMENSION / self.flops
        waits = self.part_rows * (self.segment_row_bytes + self.part_row_bytes) / STREAM_BYTES_S
        return self.mean("assign", "cpu_s") * self.part_rows / self._measured_part_rows + more + waits

    @cached_property
    def _measured_part_rows(self) -> float:
        return self.mean("assign", "read_bytes") / self.segment_row_bytes

    @cached_property
    def small_reads(self) -> float:
        """Reads of a part by a shard that do not grow with the shard."""
        parts = sum(run["step"] == "assign" for run in self.raw["steps"])
        groups = -(-self.commit["shard_rows"][0] // BATCH_ROWS)
        return self.mean("write", "gets") / parts - groups

    @cached_property
    def groups(self) -> int:
        """Groups of lists of a shard whose vectors are read together, each from every part."""
        return -(-SHARD_ROWS // BATCH_ROWS)

    @cached_property
    def shuffle_gets(self) -> float:
        """GETs with which all shards read all parts."""
        return self.shards * self.parts * (self.small_reads + self.groups)

    @cached_property
    def write_s(self) -> float:
        """Seconds of one shard: as measured, and waiting for its reads."""
        waits = self.parts * (self.small_reads + self.groups / READERS) * READ_S
        return self.mean("write", "cpu_s") * SHARD_ROWS / self.commit["shard_rows"][0] + waits

    @cached_property
    def kmeans_s(self) -> float:
        """Seconds of k-means at the sample that training takes, on the measuring machine."""
        sample = training.sample_rows(self.lists)
        return 2 * training.KMEANS_ITERATIONS * sample * self.lists * DIMENSION / self.flops

    @cached_property
    def read_all_s(self) -> float:
        """Seconds in which one process reads all vectors, in one stream."""
        return self.vector_bytes / STREAM_BYTES_S

    @cached_property
    def calibrate_s(self) -> float:
        """Seconds of calibration on the measuring machine, in proportion to rows."""
        return self.mean("calibrate", "cpu_s") / self.raw["threads"] * ROWS / self.measured_rows

    @cached_property
    def survey_bytes(self) -> float:
        """Memory of a survey, in proportion to rows."""
        run = self.of("survey")[0]
        return (run["peak_mb"] - run["imports_mb"]) * 2**20 / self.measured_rows * ROWS

    @cached_property
    def rounds_of_builds(self) -> float:
        """How many rows are built for each that is there at last, when a build comes with every fifth more."""
        return 1 / (1 - 1 / 1.2)
