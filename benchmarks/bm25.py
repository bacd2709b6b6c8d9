"""Full text: our scores against bm25s (Lucene's variant) over the same terms, whatever the sharding; and the time.

    python -m benchmarks.bm25 --movies FOLDER

The texts are the paragraphs of some thousand films (`movies-*.json`); a query is two to four words of one of them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks import machine, memory_build, metrics
from benchmarks.systems import base

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = [ROOT.parent / "shared/data/movies", ROOT.parent.parent / "shared/data/movies"]
K = 10
TEXT = "extract"
LANGUAGE = "english"
SHARDS = (1, 3)
TOLERANCE = 1e-4


def main() -> None:
    """Measures, and prints the largest difference of a score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--movies", type=Path, default=next(filter(Path.is_dir, FOLDERS), FOLDERS[0]))
    parser.add_argument("--queries", type=int, default=300)
    args = parser.parse_args()
    base.single_threaded()
    texts = _texts(args.movies)
    if not texts:
        print(f"no movies-*.json in {args.movies}: nothing to measure")
        return
    queries = _queries(texts, args.queries)
    reference = _reference(texts, queries)
    print(
        f"{len(texts)} texts, {len(queries)} queries\nbm25s               p50 {metrics.p(reference['ms'], 50):.3f} ms"
    )
    results: dict[str, Any] = {"bm25s": {"ms": reference["ms"]}}
    for shards in SHARDS:
        done = _ours(texts, queries, shards)
        differences = _differences(done["hits"], reference["scores"])
        done["largest_difference"] = max(differences)
        results[f"shardlake, {shards} shards"] = done
        p50, p90 = (metrics.p(done["ms"], percentile) for percentile in (50, 90))
        print(f"shardlake, {shards} shards  p50 {p50:.3f}  p90 {p90:.3f} ms  largest difference {max(differences):.2e}")
    raw = {"texts": len(texts), "tolerance": TOLERANCE, "results": results}
    machine.save("bm25", "python -m benchmarks.bm25", raw, packed=True)


def _texts(folder: Path) -> list[str]:
    films = [film for path in sorted(folder.glob("movies-*.json")) for film in orjson.loads(path.read_bytes())]
    return [film[TEXT] for film in films if film.get(TEXT)]


def _queries(texts: list[str], count: int) -> list[str]:
    rng = np.random.default_rng(11)
    queries = []
    for number in rng.choice(len(texts), count):
        words = texts[number].split()
        queries.append(
            " ".join(rng.choice(words, min(len(words), int(rng.integers(2, 5))), replace=False)).replace('"', "")
        )
    return queries


def _reference(texts: list[str], queries: list[str]) -> dict[str, Any]:
    """Returns milliseconds and (texts,) scores of each query, by bm25s."""
    import bm25s

    from shardlake.core.bm25 import K1, B
    from shardlake.query.text import Analyzer

    analyzer = Analyzer(LANGUAGE)
    index = bm25s.BM25(method="lucene", k1=K1, b=B)
    index.index([analyzer.terms(text) for text in texts], show_progress=False)
    ms, scores = [], []
    for query in queries:
        began = time.perf_counter()
        terms = list(dict.fromkeys(analyzer.terms(query)))
        found = index.get_scores(terms) if terms else np.zeros(len(texts), np.float32)
        np.argpartition(-found, K)
        ms.append((time.perf_counter() - began) * 1e3)
        scores.append(found)
    return {"ms": ms, "scores": scores}


def _ours(texts: list[str], queries: list[str], shards: int) -> dict[str, Any]:
    from benchmarks.systems.ours import Service

    vectors = np.random.default_rng(0).normal(size=(len(texts), 8)).astype(np.float32)
    built = memory_build.build(vectors, shards=shards, columns={TEXT: np.array(texts, object)})
    service = Service(built)
    bodies = [orjson.dumps({"match": {TEXT: query}, "k": K, "include": ["scores"]}) for query in queries]
    for body in bodies:
        service.search(body)
    ms, hits = [], []
    for body in bodies:
        began = time.perf_counter()
        (answer,) = service.search(body)
        ms.append((time.perf_counter() - began) * 1e3)
        hits.append([[int(hit["id"]), hit["score"]] for hit in answer["hits"]])
    return {"ms": ms, "hits": hits}


def _differences(hits: list[list[list[float]]], scores: list[np.ndarray]) -> list[float]:
    """Returns the largest difference in each query: of a hit's score, and of the best scores one by one."""
    differences = []
    for found, all_of in zip(hits, scores, strict=True):
        best = np.sort(all_of)[::-1][: len(found)]
        ours = np.array([score for _, score in found])
        theirs = np.array([all_of[int(row)] for row, _ in found])
        missed = int((all_of > 0).sum()) > len(found) and len(found) < K
        worst = max(np.abs(ours - theirs).max(initial=0), np.abs(ours - best).max(initial=0))
        differences.append(float("inf") if missed else float(worst))
    return differences


if __name__ == "__main__":
    main()
