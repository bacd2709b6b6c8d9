"""Makes docs/limits.md from src/shardlake/limits.py: python docs/make_limits.py > docs/limits.md."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from shardlake import limits

HEAD = """# Limits

Everything that comes from outside is bounded before it is believed. This page is generated from
`src/shardlake/limits.py` (`python docs/make_limits.py > docs/limits.md`); a test holds the two together. What a request
beyond a limit is answered with stands in [errors.md](errors.md).

| limit | value | what it bounds |
|---|---|---|
"""
_ROW = re.compile(r"^(?P<name>[A-Z_0-9]+) = .*?(?:  # (?P<note>.*))?$")
_UNITS = {"_BYTES": "bytes", "_MS": "ms", "_S": "s", "_CHARS": "characters", "_PIXELS": "pixels"}


def page() -> str:
    """Returns the page."""
    rows = []
    for line in Path(limits.__file__).read_text(encoding="utf-8").splitlines():
        found = _ROW.match(line)
        if found and found["name"] != "MIB":
            rows.append(f"| `{found['name']}` | {_value(found['name'])} | {found['note'] or _words(found['name'])} |")
    return HEAD + "\n".join(rows) + "\n"


def _value(name: str) -> str:
    value = getattr(limits, name)
    unit = next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")
    text = f"{value:,} {unit}".strip()
    is_large = unit == "bytes" and value >= limits.MIB and value % (limits.MIB // 2) == 0
    return f"{value / limits.MIB:g} MiB" if is_large else text


def _words(name: str) -> str:
    return name.removeprefix("MAX_").removeprefix("DEFAULT_").lower().replace("_", " ")


if __name__ == "__main__":
    sys.stdout.write(page())
