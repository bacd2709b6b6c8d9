from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import orjson
import pytest

from shardlake import limits
from shardlake.client import wire
from shardlake.client.queries import encode_input, search_body, search_timeout_s
from shardlake.errors import ErrorKind, InvalidInput


def test_what_is_not_said_is_left_to_the_server() -> None:
    assert search_body({}) == {}
    assert search_body({"text": None, "k": None, "filter": None}) == {}


def test_what_is_looked_for_goes_into_query_and_the_rest_beside_it() -> None:
    body = search_body({"text": "boots", "weights": {"text": 1}, "filter": {"price": {"$lte": 9}}, "k": 3})

    assert body == {"query": {"text": "boots", "weights": {"text": 1}}, "filter": {"price": {"$lte": 9}}, "k": 3}


def test_examples_and_weights_go_into_query_and_shaping_beside_it() -> None:
    query = {"like": ["a"], "unlike": ["b"], "space_weights": {"visual": 2}, "spaces": ["visual"]}
    beside = {
        "match": {"title": "x"},
        "fusion": "weighted",
        "rank": "score",
        "group_by": {"attribute": "brand"},
        "facets": ["brand", {"attribute": "price", "bins": 3}],
        "diversity": 0.5,
        "cursor": "x",
        "nprobe": 3,
    }

    assert search_body({**query, **beside}) == {"query": query, **beside}  # type: ignore[typeddict-item]


@pytest.mark.parametrize("as_what", [bytes, str, Path])
def test_a_picture_is_bytes_or_a_path(as_what: type, tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(b"picture")
    picture = b"picture" if as_what is bytes else as_what(path)

    assert search_body({"image": picture}) == {"query": {"image": {"base64": base64.b64encode(b"picture").decode()}}}


def test_a_picture_that_is_not_there_is_the_caller_s_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        search_body({"image": tmp_path / "none.png"})

    assert caught.value.kind == ErrorKind.INVALID_MEDIA


def test_a_picture_too_large_is_refused_before_it_travels() -> None:
    with pytest.raises(InvalidInput) as caught:
        search_body({"image": bytes(limits.MAX_IMAGE_BYTES + 1)})

    assert caught.value.kind == ErrorKind.MEDIA_TOO_LARGE


def test_a_misspelt_parameter_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(InvalidInput, match="recal"):
        search_body({"recal": 1})  # type: ignore[typeddict-unknown-key]


def test_a_vector_without_its_space_is_refused() -> None:
    with pytest.raises(InvalidInput, match="by space"):
        search_body({"vector": [0.1, 0.2]})  # type: ignore[typeddict-item]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_arrays_travel_as_numbers(dtype: str) -> None:
    vector = np.arange(6, dtype=dtype)[::2]  # not contiguous

    assert orjson.loads(wire.dumps(search_body({"vector": {"visual": vector}}))) == {
        "query": {"vector": {"visual": [0.0, 2.0, 4.0]}}
    }


def test_what_json_cannot_say_is_the_caller_s_error() -> None:
    with pytest.raises(InvalidInput, match="JSON"):
        wire.dumps({"filter": {"x": object()}})


def test_a_search_is_waited_for_longer_than_its_own_deadline() -> None:
    assert search_timeout_s({"timeout_ms": 1000}) == 6.0
    assert search_timeout_s({}) > limits.MAX_TIMEOUT_MS / 1000


def test_inputs_of_encode_are_told_apart_by_type(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(b"p")
    picture = {"image": {"base64": "cA=="}}

    assert [encode_input(one) for one in ("words", b"p", tmp_path / "p.png", picture)] == [
        {"text": "words"},
        picture,
        picture,
        picture,
    ]


@pytest.mark.parametrize("url", ["", "localhost:80", "ftp://x", "http://", "/v1"])
def test_a_base_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        wire.client_options(url, None)


def test_a_proxy_of_the_environment_is_not_asked_for_our_own_machine() -> None:
    assert wire.client_options("http://127.0.0.1:1/", None)["trust_env"] is False
    assert wire.client_options("https://api.example", None)["trust_env"] is True
