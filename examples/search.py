"""Searches the demo's pictures: by words, by a picture, by both with a filter. Run `shardlake demo` first.

python examples/search.py http://127.0.0.1:4566 .shardlake/demo/question.png
"""

from __future__ import annotations

import sys

from shardlake import Client
from shardlake.client import SearchAnswer


def show(title: str, answer: SearchAnswer) -> None:
    """Prints the hits, and what is missing if something is."""
    sys.stdout.write(f"{title}\n")
    for hit in answer:
        sys.stdout.write(f"  {hit.score:.3f}  {hit.id}  {hit.attributes.get('caption')}\n")
    for failed in answer.shards.failed:
        sys.stdout.write(f"  shard {failed.shard} is missing: {failed.kind}\n")


def main(url: str, picture: str) -> None:
    """Makes three searches."""
    with Client(url) as client:
        pictures = client.collection("pictures")
        show("words", pictures.search(text="a red star", k=3))
        show("a picture", pictures.search(image=picture, k=3))
        cheap = {"price": {"$lte": 40}}
        show("both, with a filter", pictures.search(text="on a blue background", image=picture, filter=cheap, k=3))


if __name__ == "__main__":
    main(*sys.argv[1:3])
