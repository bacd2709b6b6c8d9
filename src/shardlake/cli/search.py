"""`search` and `bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from shardlake.cli.options import AsJson, CollectionName, DataDir, json_object
from shardlake.cli.output import Output
from shardlake.cli.session import chosen_collection, session_of
from shardlake.errors import ErrorKind, InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

    from shardlake.client import Client, SearchAnswer, SearchParameters

Text = Annotated[str | None, typer.Option("--text", "-t", help="Words to search by.")]
Image = Annotated[Path | None, typer.Option("--image", "-i", help="A picture to search by.")]
Audio = Annotated[Path | None, typer.Option("--audio", help="A recording to search by (not in this release).")]
Video = Annotated[Path | None, typer.Option("--video", help="A film to search by (not in this release).")]
Vector = Annotated[
    Path | None,
    typer.Option("--vector", help='A vector to search by: a JSON file, [0.1, …] or {"SPACE": [0.1, …]}, or a .npy.'),
]
Filter = Annotated[
    str | None, typer.Option("--filter", "-f", metavar="JSON", help="Conditions on attributes, as in the API.")
]
Match = Annotated[
    list[str] | None,
    typer.Option("--match", "-m", metavar="ATTRIBUTE=WORDS", help="Words to find in a text attribute; or JSON."),
]
Fusion = Annotated[str | None, typer.Option(help="How several scores become one: mean, weighted, max or rrf.")]
Rank = Annotated[str | None, typer.Option(help='An expression in place of the score: "score + log(1 + stock)".')]
GroupBy = Annotated[
    str | None, typer.Option("--group-by", metavar="ATTRIBUTE[:SIZE]", help="The best hits of each value.")
]
Facet = Annotated[
    list[str] | None, typer.Option("--facet", metavar="ATTRIBUTE[:BINS]", help="Count an attribute's values.")
]
Like = Annotated[list[str] | None, typer.Option("--like", metavar="ID", help="More like this item.")]
Unlike = Annotated[list[str] | None, typer.Option("--unlike", metavar="ID", help="Less like this item.")]
Cursor = Annotated[str | None, typer.Option(help="Of the answer before: the page after it.")]
Diversity = Annotated[float | None, typer.Option(help="From 0, the best hits, to 1, hits not like each other.")]
Hits = Annotated[int | None, typer.Option("--k", "-k", help="How many hits.")]
Recall = Annotated[float | None, typer.Option(help="The share of true neighbours wanted; 1 is exact.")]
TimeoutMs = Annotated[int | None, typer.Option(help="When the answer must be there, complete or partial.")]
Complete = Annotated[bool, typer.Option("--require-complete", help="An incomplete answer is an error.")]
Explain = Annotated[bool, typer.Option("--explain", help="Print how the search was planned.")]


def search(
    context: typer.Context,
    *,
    collection: CollectionName = None,
    text: Text = None,
    image: Image = None,
    audio: Audio = None,
    video: Video = None,
    vector: Vector = None,
    filter: Filter = None,  # the option's name
    match: Match = None,
    like: Like = None,
    unlike: Unlike = None,
    fusion: Fusion = None,
    rank: Rank = None,
    group_by: GroupBy = None,
    facet: Facet = None,
    diversity: Diversity = None,
    cursor: Cursor = None,
    k: Hits = None,
    recall: Recall = None,
    timeout_ms: TimeoutMs = None,
    require_complete: Complete = False,
    explain: Explain = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Search a collection by words, a picture, a vector, a filter, or several of them together."""
    asked: dict[str, Any] = {
        "text": text,
        "image": image,
        "audio": audio,
        "video": video,
        "filter": json_object(filter, "--filter", ErrorKind.INVALID_FILTER),
        "match": _match(match),
        "like": like or None,
        "unlike": unlike or None,
        "fusion": fusion,
        "rank": rank,
        "group_by": _with_number(group_by, "size") if group_by else None,
        "facets": [_facet(one) for one in facet or []] or None,
        "diversity": diversity,
        "cursor": cursor,
        "k": k,
        "recall": recall,
        "timeout_ms": timeout_ms,
        "require_complete": require_complete or None,
        "explain": explain or None,
    }
    with session_of(context).client(data_dir) as client:
        name = chosen_collection(client, collection)
        if vector is not None:
            asked["vector"] = read_vector(vector, client, name)
        answer = client.collection(name).search(**cast("SearchParameters", asked))
    Output(as_json=as_json).emit(answer.raw, lambda console: _show(console, answer))


def bench(
    context: typer.Context,
    *,
    collection: CollectionName = None,
    queries: Annotated[int, typer.Option(min=1, help="How many searches are timed, one after the other.")] = 100,
    k: Hits = 10,
    recall: Recall = None,
    seed: Annotated[int, typer.Option(help="Of the random vectors.")] = 0,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Time searches by random unit vectors, one after the other: a look at latency, not at recall."""
    from shardlake.cli import timing

    output = Output(as_json=as_json)
    with session_of(context).client(data_dir) as client:
        name = chosen_collection(client, collection)
        result = timing.measure(client, name, output, queries=queries, k=k, recall=recall, seed=seed)
    output.emit(result, lambda console: timing.show(console, result))


def read_vector(path: Path, client: Client, collection: str) -> dict[str, Any]:
    """Returns the vector in a file, by space; a bare one belongs to the collection's first space.

    Raises:
        InvalidInput: invalid-vector, when the file cannot be read or holds no vector.
    """
    try:
        if path.suffix == ".npy":
            import numpy as np

            value = np.load(path, allow_pickle=False).ravel().tolist()
        else:
            value = json.loads(path.read_text())
    except (OSError, ValueError) as exc:
        raise InvalidInput(f"cannot read a vector from {path}: {exc}", kind=ErrorKind.INVALID_VECTOR) from exc
    if isinstance(value, dict):
        return value
    if not isinstance(value, list):
        raise InvalidInput('a vector is [0.1, …] or {"SPACE": [0.1, …]}', kind=ErrorKind.INVALID_VECTOR)
    return {first_space(client, collection)[0]: value}


def first_space(client: Client, collection: str) -> tuple[str, int]:
    """Returns name and dimension of a collection's first space, the one that decides its shards."""
    spaces = cast("dict[str, dict[str, Any]]", client.collections.get(collection.partition("@")[0]).schema["spaces"])
    name, space = next(iter(spaces.items()))
    return name, int(space["dimension"])


def _match(options: list[str] | None) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for option in options or []:
        name, given, words = option.partition("=")
        if option.lstrip().startswith("{") or not given:
            found |= json_object(option, "--match", ErrorKind.INVALID_MATCH) or {}
        else:
            found[name] = words
    return found or None


def _facet(option: str) -> str | dict[str, Any]:
    return _with_number(option, "bins") if ":" in option else option


def _with_number(option: str, field: str) -> dict[str, Any]:
    name, colon, number = option.partition(":")
    if not colon:
        return {"attribute": name}
    if not number.isascii() or not number.isdecimal():
        raise InvalidInput(f"{option}: behind the colon stands a whole number, the {field}")
    return {"attribute": name, field: int(number)}


def _show(console: Console, answer: SearchAnswer) -> None:
    from shardlake.cli import hits

    hits.show(console, answer)
    hits.show_facets(console, answer)
    if answer.cursor is not None:
        console.print(f"more: --cursor {answer.cursor}", style="dim", soft_wrap=True)
    if answer.plan is not None:
        console.print_json(data=dict(answer.plan))
