"""A step of a build as a job of AWS Batch, a process of its own:

python -m functions.build.batch STEP COLLECTION BUILD_ID NUMBER AGAIN
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from functions.build import work
from functions.build.world import World, composed
from shardlake.contracts.build import Step, step_of
from shardlake.errors import InvalidInput, ShardlakeError
from shardlake.settings import Settings

NAMES = ("step", "collection", "build_id", "number", "again")


def main(words: Sequence[str], world: Callable[[], World]) -> int:
    """Runs a step; returns 0, or 1 where it failed: the log has the error, and the build's row if it is for good."""
    try:
        work.step(world(), asked(words), os.environ.get("AWS_BATCH_JOB_ID", ""))
    except ShardlakeError as error:
        print(error, file=sys.stderr)  # noqa: T201  # the job's log
        return 1
    return 0


def asked(words: Sequence[str]) -> Step:
    """Returns the step that a command line asks for. Raises InvalidInput where it asks for none."""
    if len(words) != len(NAMES) or not words[3].isdecimal() or words[4] not in {"true", "false"}:
        raise InvalidInput(f"a step is asked for by {', '.join(NAMES)}")
    event = dict(zip(NAMES, words, strict=True))
    return step_of({**event, "number": int(words[3]), "again": words[4] == "true"})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], lambda: composed(Settings.from_env(os.environ))))
