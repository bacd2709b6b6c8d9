"""The callee of the invoke contract: does what its event says. One file, run in process and deployed as a function."""

import time
from pathlib import Path


def handler(event, context):
    print("called")  # MiniStack waits 50 ms for the log of a function that prints nothing
    if "sleep_s" in event:
        time.sleep(event["sleep_s"])
    if "touch" in event:
        Path(event["touch"]).touch()
    if "raise" in event:
        raise ValueError(event["raise"])
    if "answer_bytes" in event:
        return "x" * event["answer_bytes"]
    return {"echo": event.get("say")}
