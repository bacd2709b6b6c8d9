"""Places: distances that are known, shapes at the edges of the map, and what boxes may prove of shapes."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from shardlake.query.geo import EARTH_RADIUS_M, Area, Circle, bounding_area, boxes_of, distance_m

HALF_WAY = math.pi * EARTH_RADIUS_M


def _apart(one: tuple[float, float], other: tuple[float, float]) -> float:
    return float(distance_m(*one, np.array([other[0]]), np.array([other[1]]))[0])


def _has(shape: Circle | Area, *places: tuple[float, float]) -> list[bool]:
    latitudes, longitudes = np.array(places, float).T
    found: list[bool] = shape.has(latitudes, longitudes).tolist()
    return found


@pytest.mark.parametrize(
    ("one", "other", "meters"),
    [
        ((0, 0), (0, 0), 0.0),
        ((0, 0), (0, 90), HALF_WAY / 2),
        ((0, 0), (0, 180), HALF_WAY),
        ((90, 0), (-90, 77), HALF_WAY),
        ((0, 179), (0, -179), HALF_WAY / 90),
        ((89, 0), (89, 180), HALF_WAY / 90),
        ((60, 0), (60, 180), HALF_WAY / 3),
        ((0, 0), (45, 90), HALF_WAY / 2),
        ((10, 20), (11, 20), 111_195.08),  # one degree of a great circle
    ],
)
def test_distances_that_are_known(one: tuple[float, float], other: tuple[float, float], meters: float) -> None:
    # Near half the Earth the haversine is ill-conditioned: an error of 1e-16 becomes one of 0.1 m.
    assert _apart(one, other) == pytest.approx(meters, abs=0.2, rel=1e-6)
    assert _apart(other, one) == _apart(one, other)


def test_a_place_has_no_distance_to_its_other_names() -> None:
    assert _apart((90, 0), (90, 123)) == 0.0
    assert _apart((-90, -45), (-90, 45)) == 0.0
    assert _apart((12.5, 180), (12.5, -180)) == 0.0
    assert _apart((0.0, 0.0), (-0.0, -0.0)) == 0.0


def test_a_circle_of_no_radius_has_its_centre_and_no_other_place() -> None:
    assert _has(Circle(10, 20, 0), (10, 20), (10, math.nextafter(20, 21)), (10.0001, 20)) == [True, False, False]
    assert _has(Circle(90, 0, 0), (90, 99), (89.9999, 0)) == [True, False]
    assert _has(Circle(5, 180, 0), (5, -180)) == [True]


def test_a_circle_of_half_the_earth_has_every_place() -> None:
    rng = np.random.default_rng(0)
    latitudes, longitudes = rng.uniform(-90, 90, 1_000), rng.uniform(-180, 180, 1_000)
    for meters in (HALF_WAY, 1e300):
        assert Circle(37.2, -11.0, meters).has(latitudes, longitudes).all()
    assert _has(Circle(0, 0, HALF_WAY - 1), (0, 180), (0, 179.99)) == [False, True]


def test_a_circle_reaches_over_the_pole_and_the_date_line() -> None:
    assert _has(Circle(89, 0, 230_000), (89, 180), (88, 0), (87, 180)) == [True, True, False]
    assert _has(Circle(0, 179.5, 120_000), (0, -179.5), (0, -179.3), (0, 178)) == [True, False, False]


@pytest.mark.parametrize(
    ("area", "inside", "outside"),
    [
        (
            Area(-10, 170, 10, -170),
            [(0, 175), (0, -175), (0, 180), (0, -180), (10, 170)],
            [(0, 0), (0, 169), (11, 175)],
        ),
        (Area(0, 10, 0, 10), [(0, 10), (-0.0, 10)], [(0, 10.1), (0.1, 10)]),
        (Area(-90, -180, 90, 180), [(90, 0), (-90, 5), (0, 180), (0, -180), (12, 34)], []),
        (Area(80, 0, 90, 10), [(90, -170), (85, 5)], [(89.99, -170), (79, 5)]),
        (Area(-90, 0, -80, 10), [(-90, 99)], [(-85, 99)]),
        (Area(0, 180, 10, 180), [(5, 180), (5, -180)], [(5, 179.9)]),
        (Area(0, 180, 10, -180), [(5, 180), (5, -180)], [(5, 0)]),
        (Area(0, 170, 10, 180), [(5, -180), (5, 175)], [(5, -179.9)]),
        (Area(0, -180, 10, -170), [(5, 180), (5, -175)], [(5, 179.9)]),
        (Area(0, 10, 10, 9), [(5, 10), (5, 9), (5, 180), (5, 0)], [(5, 9.5)]),
    ],
)
def test_an_area_has_its_borders_its_pole_and_both_names_of_the_date_line(
    area: Area, inside: list[tuple[float, float]], outside: list[tuple[float, float]]
) -> None:
    assert all(_has(area, *inside))
    assert not outside or not any(_has(area, *outside))


EDGES_LATITUDE, EDGES_LONGITUDE = [-90, -60, 0, 45, 89, 90], [-180, -179, -90, 0, 10, 135, 180]
BOXES = np.array(
    [
        (s, w, n, e)
        for s, n in [*combinations(EDGES_LATITUDE, 2), (45, 45), (90, 90)]
        for w, e in [*combinations(EDGES_LONGITUDE, 2), (10, 10), (180, 180)]
    ],
    np.float64,
)


def test_what_a_box_proves_of_a_shape_is_true_of_every_place_in_it() -> None:
    rng = np.random.default_rng(1)
    sharp = 0
    for _ in range(300):
        center = float(rng.choice([*EDGES_LATITUDE, rng.uniform(-90, 90)])), float(rng.choice(EDGES_LONGITUDE))
        circle = Circle(*center, float(rng.choice([0, 1e4, 1e6, 5e6, 1.5e7, rng.uniform(0, 2e7)])))
        south, north = sorted(rng.choice(EDGES_LATITUDE, 2).tolist())
        area = Area(south, *(float(x) for x in (rng.choice(EDGES_LONGITUDE), north, rng.choice(EDGES_LONGITUDE))))
        share = rng.random((24, len(BOXES), 2)).round(1)  # 0 and 1 are corners
        latitudes = BOXES[:, 0] + share[..., 0] * (BOXES[:, 2] - BOXES[:, 0])
        longitudes = BOXES[:, 1] + share[..., 1] * (BOXES[:, 3] - BOXES[:, 1])
        for shape in (circle, area):
            some, every = shape.touches(BOXES)
            has = shape.has(latitudes, longitudes)
            assert not (has.any(axis=0) & ~some).any(), shape
            assert not (every & ~has.all(axis=0)).any(), shape
            sharp += int((~some).sum() + every.sum())

    assert sharp > 100 * len(BOXES)  # and it proves something


def test_the_area_around_places_is_the_narrower_way_round() -> None:
    def around(*places: tuple[float, float]) -> Area:
        latitudes, longitudes = np.array(places, np.float64).T
        return bounding_area(latitudes, longitudes)

    assert around((1, 2)) == Area(1, 2, 1, 2)
    assert around((1, 10), (5, 20), (3, 15)) == Area(1, 10, 5, 20)
    assert around((0, 170), (1, -170), (2, 179)) == Area(0, 170, 2, -170)
    assert around((0, 0), (0, 120), (0, -120)).south == 0
    assert boxes_of(Area(0, 170, 2, -170)).tolist() == [[0, 170, 2, 180], [0, -180, 2, -170]]
    assert boxes_of(Area(0, 1, 2, 3)).tolist() == [[0, 1, 2, 3]]


def test_the_area_around_places_has_all_of_them() -> None:
    rng = np.random.default_rng(2)
    for count in range(1, 60):
        latitudes = rng.uniform(-90, 90, count)
        longitudes = rng.choice([-180.0, 180.0, 0.0, *rng.uniform(-180, 180, 5)], count)
        assert bounding_area(latitudes, longitudes).has(latitudes, longitudes).all()
