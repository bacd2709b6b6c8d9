"""What is kept is what was used last, and no more of it than fits."""

from __future__ import annotations

from shardlake.engine.lru import BytesLru


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache: BytesLru[str, int] = BytesLru(10)
    for number, key in enumerate("abcde"):
        cache.put(key, number, 2)
    assert cache.get("a") == 0
    cache.put("f", 5, 2)

    assert [cache.get(key) for key in "abcdef"] == [0, None, 2, 3, 4, 5]
    assert cache.resident_bytes == 10


def test_what_would_push_out_everything_is_not_kept() -> None:
    cache: BytesLru[str, int] = BytesLru(10)
    cache.put("small", 1, 2)
    cache.put("large", 2, 3)

    assert cache.get("large") is None
    assert cache.get("small") == 1


def test_a_key_is_kept_once() -> None:
    cache: BytesLru[str, int] = BytesLru(10)
    cache.put("a", 1, 2)
    cache.put("a", 2, 2)

    assert cache.get("a") == 1
    assert cache.resident_bytes == 2
