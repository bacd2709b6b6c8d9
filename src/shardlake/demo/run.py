"""The demo, step by step: draw, create, take in, build, search. What stands already is not made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from shardlake.client import LocalFile, UploadProgress
from shardlake.client.failures import error_in
from shardlake.demo.collection import COUNT, NAME, SCHEMA, Folder, draw
from shardlake.demo.sheet import SheetRow, contact_sheet, results_sheet
from shardlake.errors import InternalError

if TYPE_CHECKING:
    from shardlake.client import Build, Client, CollectionInfo, SearchAnswer, SearchParameters

SHOWN = 8


class Bar(Protocol):
    """Shows how far one step is."""

    def advance(self, amount: int) -> None:
        """Moves on by `amount`."""

    def at(self, share: float, text: str = "") -> None:
        """Moves to a share in [0, 1] of a bar whose total is 1."""


NewBar = Callable[[str, float], Bar]
"""Makes a bar: its label, and how much there is to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One search of the demo; `picture` is the one it searches by, if any."""

    title: str
    parameters: SearchParameters
    picture: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A question and what came back."""

    question: Question
    answer: SearchAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What the demo did: how many pictures it drew and took in this time, and the answers."""

    drawn: int
    taken_in: int
    built: str | None
    info: CollectionInfo
    answers: tuple[Answered, ...]


def run(client: Client, folder: Folder, new_bar: NewBar) -> DemoResult:
    """Runs the demo against an API whose deployment has the embedded encoder.

    Raises:
        ShardlakeError: whatever the API refuses; the build's own error when that fails.
    """
    drawn = draw_pictures(folder, new_bar)
    client.collections.create(NAME, SCHEMA)
    info = client.collections.get(NAME)
    taken_in, built = 0, None
    if info.rows < COUNT:
        taken_in = take_in(client, folder, new_bar)
        built = build(client, new_bar).version
        info = client.collections.get(NAME)
    answers = tuple(_ask(client, question) for question in questions(folder))
    results_sheet([_row(folder, one) for one in answers], folder.results)
    return DemoResult(drawn=drawn, taken_in=taken_in, built=built, info=info, answers=answers)


def draw_pictures(folder: Folder, new_bar: NewBar) -> int:
    """Draws the pictures and their contact sheet, unless they stand. Returns how many it drew."""
    bar: list[Bar] = []

    def on_drawn() -> None:
        if not bar:
            bar.append(new_bar("drawing pictures", COUNT))
        bar[0].advance(1)

    if not draw(folder, on_drawn=on_drawn):
        return 0
    contact_sheet(folder.paths(), folder.contact_sheet)
    return COUNT


def take_in(client: Client, folder: Folder, new_bar: NewBar) -> int:
    """Drops the pictures and their sidecars into the inbox and waits. Returns how many were taken in."""
    files = [
        LocalFile(name=path.name, source=path, sidecar=path.with_name(path.name + ".json").read_bytes())
        for path in folder.paths()
    ]
    sending, taking = new_bar("sending pictures", len(files)), new_bar("taking in", len(files))
    progress = UploadProgress(on_sent=sending.advance, on_taken=taking.advance)
    report = client.collection(NAME).upload(files, progress=progress)
    if report.failed or report.rejected:
        raise InternalError(
            "pictures of the demo were refused", failed=[f"{one.name}: {one.error}" for one in report.failed[:3]]
        )
    return report.accepted


def build(client: Client, new_bar: NewBar) -> Build:
    """Builds the collection. Raises the build's own error when it fails."""
    collection, bar = client.collection(NAME), new_bar("building the index", 1.0)
    started = collection.start_build()
    done = collection.wait_for_build(
        started.build_id, on_progress=lambda build: bar.at(build.progress, build.stage or build.state)
    )
    if done.state == "failed":
        raise error_in({"error": done.error})
    return done


def questions(folder: Folder) -> Sequence[Question]:
    """Returns the demo's four searches: by words, by a picture, by both with a filter, and by a filter alone."""
    picture = folder.question
    return (
        Question(title="words: “a red star”", parameters={"text": "a red star", "k": SHOWN}),
        Question(
            title="words: “two yellow fish”",
            parameters={"text": "two yellow fish", "k": SHOWN},
        ),
        Question(title="a picture", parameters={"image": picture, "k": SHOWN}, picture=picture),
        Question(
            title="the picture and the words “on a blue background”, price at most 40",
            parameters={
                "text": "on a blue background",
                "image": picture,
                "filter": {"price": {"$lte": 40}},
                "k": SHOWN,
            },
            picture=picture,
        ),
    )


def _ask(client: Client, question: Question) -> Answered:
    return Answered(question=question, answer=client.collection(NAME).search(**question.parameters))


def _row(folder: Folder, answered: Answered) -> SheetRow:
    hits = []
    for hit in answered.answer:
        attributes = cast("dict[str, Any]", hit.attributes)
        caption = f"score {hit.score or 0:.3f}, price {attributes.get('price', 0):.2f}"
        hits.append((folder.pictures / hit.id, caption, hit.id[:22]))
    return SheetRow(title=answered.question.title, question=answered.question.picture, hits=hits)
