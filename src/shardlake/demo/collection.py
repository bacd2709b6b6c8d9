"""The demo's collection: what it declares, and the pictures that lie in a folder ready to be taken in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from shardlake.demo.pictures import Picture, generate

if TYPE_CHECKING:
    from collections.abc import Callable

    from shardlake.types import Json

NAME: Final = "pictures"
COUNT: Final = 720
SEED: Final = 1612  # of the pictures; the embedded model was trained on other seeds, and on none of these scenes
PRICE_SEED: Final = 7
PNG_LEVEL: Final = 3  # twice as quick as the default of 6, and on these grainy pictures no larger
TARGET_ROWS: Final = 360  # so that even so few pictures make more than one shard

SCHEMA: Final[dict[str, Json]] = {
    "spaces": {"visual": {"encoder": "clip", "metric": "cosine", "index": {"type": "ivf_pq"}}},
    "attributes": {
        "caption": {"type": "text"},
        "shape": {"type": "keyword"},
        "colour": {"type": "keyword"},
        "size": {"type": "keyword"},
        "pattern": {"type": "keyword"},
        "background": {"type": "keyword"},
        "objects": {"type": "int"},
        "shapes": {"type": "keyword", "multi": True},
        "colours": {"type": "keyword", "multi": True},
        "price": {"type": "float"},
    },
    "sharding": {"by": "cluster", "target_rows": TARGET_ROWS},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """Where the demo keeps its files: `pictures/` as they are taken in, and what people look at beside it."""

    root: Path

    @property
    def pictures(self) -> Path:
        """The pictures, each with its sidecar."""
        return self.root / "pictures"

    @property
    def question(self) -> Path:
        """The picture that the demo searches by; it is not in the collection."""
        return self.root / "question.png"

    @property
    def contact_sheet(self) -> Path:
        """All pictures on one sheet."""
        return self.root / "pictures.png"

    @property
    def results(self) -> Path:
        """The questions and their hits on one sheet."""
        return self.root / "results.png"

    @property
    def complete(self) -> Path:
        """Stands when all pictures do; says how they were made."""
        return self.root / "pictures.json"

    def paths(self) -> list[Path]:
        """Returns the pictures in order."""
        return sorted(self.pictures.glob("*.png"))


def draw(folder: Folder, *, on_drawn: Callable[[], None]) -> bool:
    """Draws the pictures and their sidecars, unless they stand. Returns whether it drew."""
    made_by = json.dumps({"count": COUNT, "seed": SEED, "price_seed": PRICE_SEED})
    if folder.complete.is_file() and folder.complete.read_text() == made_by:
        return False
    folder.pictures.mkdir(parents=True, exist_ok=True)
    for number, (picture, attributes) in enumerate(_priced(COUNT)):
        path = folder.pictures / f"{number:04d}-{attributes['colour']}-{attributes['shape']}.png"
        picture.image.save(path, compress_level=PNG_LEVEL)
        path.with_name(path.name + ".json").write_text(json.dumps({"attributes": attributes}))
        on_drawn()
    folder.question.write_bytes(question().png())
    folder.complete.write_text(made_by)
    return True


def question() -> Picture:
    """Returns the picture to search by: of another seed, so that no picture of the collection is the same."""
    return next(
        picture
        for picture in generate(COUNT, seed=SEED + 1, held_out=True)
        if len(picture.scene.groups) == 1 and picture.scene.groups[0].size == "large"
    )


def _priced(count: int) -> Iterator[tuple[Picture, dict[str, Json]]]:
    rng = np.random.default_rng(PRICE_SEED)
    for picture in generate(count, seed=SEED, held_out=True):
        price = round(float(rng.lognormal(3.4, 0.8)), 2)
        yield picture, {**cast("dict[str, Json]", picture.attributes()), "price": price}
