"""Turns lists of films (JSON arrays of {"title", "year", "cast", "genres", "extract"}) into items, one a line.

    python examples/films.py movies-1960s.json movies-1970s.json > films.jsonl
    shardlake collections create films --file examples/schemas/films.json
    shardlake ingest films.jsonl --collection films --build
    shardlake search -c films --text "a heist that goes wrong" --filter '{"genres": "Crime", "year": {"$lt": 1980}}'

What is encoded is the title and the paragraph about the film; the rest are attributes to filter by.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def items(films: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields an item a film. Films of one title and year are told apart by a number."""
    seen: Counter[str] = Counter()
    for film in films:
        name = re.sub(r"[^a-z0-9]+", "-", film["title"].lower()).strip("-") or "untitled"
        slug = f"{film['year']}-{name}"
        seen[slug] += 1
        yield {
            "id": slug if seen[slug] == 1 else f"{slug}-{seen[slug]}",
            "attributes": {
                "title": film["title"],
                "year": film["year"],
                "genres": film.get("genres") or [],
                "cast": film.get("cast") or [],
            },
            "media": {"text": f"{film['title']}. {film.get('extract') or ''}".strip()},
        }


def main() -> None:
    """Reads the files named and writes items to stdout."""
    for path in sys.argv[1:]:
        for item in items(json.loads(Path(path).read_text())):
            sys.stdout.write(json.dumps(item, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
