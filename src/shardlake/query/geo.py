"""Places on a sphere: what distance means here, which rows a shape lets through, and what a box of places can prove.

The definition of distance, of every filter and of every test: the haversine formula in float64 on a sphere of
EARTH_RADIUS_M, the difference of longitudes taken the shorter way round, and a pole one point whatever its longitude.
180 and -180 are one meridian. Borders belong to their shape. Coordinates are degrees, distances metres.

A `Box` is (south, west, north, east), west <= east: what runs across the date line is two of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shardlake.types import BoolArray

Float64Array = npt.NDArray[np.float64]

# The mean radius R1 of the GRS 80 ellipsoid. Source: Moritz, Geodetic Reference System 1980, J. Geodesy 74 (2000).
EARTH_RADIUS_M = 6_371_008.7714
MAX_LATITUDE, MAX_LONGITUDE = 90.0, 180.0
# What bounds on distances give away, so that rounding never decides: near the antipode haversine is off by 0.1 m.
MARGIN_M = 1.0


class Circle(NamedTuple):
    """All places within `meters` of a centre."""

    latitude: float
    longitude: float
    meters: float

    def has(self, latitudes: Float64Array, longitudes: Float64Array) -> BoolArray:
        """Returns which places lie in it."""
        return distance_m(self.latitude, self.longitude, latitudes, longitudes) <= self.meters

    def touches(self, boxes: Float64Array) -> tuple[BoolArray, BoolArray]:
        """Returns for (b, 4) boxes which may hold a place of it, and which hold nothing else."""
        nearest = _nearest_m(self.latitude, self.longitude, boxes)
        # What is farthest from a place is what is nearest to the place opposite.
        opposite = self.longitude - math.copysign(180.0, self.longitude)
        farthest = math.pi * EARTH_RADIUS_M - _nearest_m(-self.latitude, opposite, boxes)
        return nearest <= self.meters + MARGIN_M, farthest <= self.meters - MARGIN_M


class Area(NamedTuple):
    """All places between two parallels and from one meridian eastward to another; west > east crosses the date line."""

    south: float
    west: float
    north: float
    east: float

    def has(self, latitudes: Float64Array, longitudes: Float64Array) -> BoolArray:
        """Returns which places lie in it; a pole lies in every area that reaches its latitude."""
        inside = np.abs(latitudes) == MAX_LATITUDE
        for west, east in self._spans():
            inside |= (west <= longitudes) & (longitudes <= east)
        return np.asarray(inside & (self.south <= latitudes) & (latitudes <= self.north))

    def touches(self, boxes: Float64Array) -> tuple[BoolArray, BoolArray]:
        """Returns for (b, 4) boxes which may hold a place of it, and which hold nothing else."""
        south, west, north, east = boxes.T
        meets = (south == -MAX_LATITUDE) | (north == MAX_LATITUDE)
        holds = np.zeros(len(boxes), bool)
        for low, high in self._spans():
            meets |= (low <= east) & (west <= high)
            holds |= (low <= west) & (east <= high)
        meets &= (south <= self.north) & (self.south <= north)
        return np.asarray(meets), np.asarray(holds & (self.south <= south) & (north <= self.north))

    def _spans(self) -> list[tuple[float, float]]:
        if self.west > self.east:
            return [(self.west, MAX_LONGITUDE), (-MAX_LONGITUDE, self.east)]
        spans = [(self.west, self.east)]
        # An area that ends at the date line has the places that say so with the other sign.
        if self.west == -MAX_LONGITUDE:
            spans.append((MAX_LONGITUDE, MAX_LONGITUDE))
        if self.east == MAX_LONGITUDE:
            spans.append((-MAX_LONGITUDE, -MAX_LONGITUDE))
        return spans


Shape = Circle | Area


def shape_of(word: str, operands: Sequence[float]) -> Shape:
    """Returns the shape of a condition in wire form: `near` or `box`, and its numbers."""
    return Circle(*operands) if word == "near" else Area(*operands)


def distance_m(
    latitude: float | Float64Array, longitude: float | Float64Array, latitudes: Float64Array, longitudes: Float64Array
) -> Float64Array:
    """Returns metres along the sphere between places: the definition of distance.

    Args:
        latitude, longitude: of one place, or of as many as the others.
        latitudes, longitudes: (n,) float64 degrees.

    Source: Sinnott, Virtues of the Haversine, Sky and Telescope 68 (1984).
    """
    apart = np.abs(np.subtract(longitudes, longitude))
    apart = np.minimum(apart, 360.0 - apart)
    rise = np.sin(np.radians(np.subtract(latitudes, latitude)) / 2)
    turn = np.sin(np.radians(apart) / 2)
    square = rise * rise + _cosine(latitude) * _cosine(latitudes) * turn * turn
    return np.asarray(2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(square, 1.0))))


def _cosine(latitude: float | Float64Array) -> Float64Array:
    # The cosine of the float nearest to half pi is not 0, and two names of a pole would be apart.
    return np.where(np.abs(latitude) == MAX_LATITUDE, 0.0, np.cos(np.radians(latitude)))


def _nearest_m(latitude: float, longitude: float, boxes: Float64Array) -> Float64Array:
    """Returns (b,) the least distance of a place to each box.

    A box that spans the place's meridian is reached along it. Else the nearest place is on its west or east side: there
    the distance falls and then rises with the latitude, least where a great circle meets the side at a right angle.
    """
    south, west, north, east = boxes.T
    along = np.clip(latitude, south, north)
    spanned = (west <= longitude) & (longitude <= east)
    least = np.where(spanned, distance_m(latitude, longitude, along, np.full_like(along, longitude)), np.inf)
    for side in (west, east):
        turn = np.radians(side - longitude)
        foot = np.degrees(np.arctan2(math.sin(math.radians(latitude)), math.cos(math.radians(latitude)) * np.cos(turn)))
        for parallel in (south, north, np.clip(foot, south, north)):
            least = np.minimum(least, distance_m(latitude, longitude, parallel, side))
    return np.asarray(least)


def bounding_area(latitudes: Float64Array, longitudes: Float64Array) -> Area:
    """Returns the least area with all of some places: across the date line where that is narrower.

    Requires: at least one place.
    """
    around = np.unique(longitudes)
    gaps = np.append(np.diff(around), around[0] + 360.0 - around[-1])
    widest = int(np.argmax(gaps))
    west, east = around[(widest + 1) % len(around)], around[widest]
    return Area(float(latitudes.min()), float(west), float(latitudes.max()), float(east))


def boxes_of(area: Area) -> Float64Array:
    """Returns (1, 4) or, across the date line, (2, 4): an area as boxes."""
    if area.west <= area.east:
        return np.asarray([area], np.float64)
    south, west, north, east = area
    return np.asarray([(south, west, north, MAX_LONGITUDE), (south, -MAX_LONGITUDE, north, east)], np.float64)


def parse_circle(operand: object) -> Circle:
    """Returns {center: [latitude, longitude], meters} as a circle. Raises ValueError with what is wrong."""
    if not isinstance(operand, Mapping) or set(operand) != {"center", "meters"}:
        raise ValueError("{center: [latitude, longitude], meters} is needed")
    latitude, longitude = _place(operand["center"], "center")
    meters = _number(operand["meters"])
    if meters is None or meters < 0:
        raise ValueError("meters must be a number of at least 0")
    return Circle(latitude, longitude, meters)


def parse_area(operand: object) -> Area:
    """Returns {min, max}, the south-west and north-east corners, as an area. Raises ValueError with what is wrong."""
    if not isinstance(operand, Mapping) or set(operand) != {"min", "max"}:
        raise ValueError("{min: [latitude, longitude], max: [latitude, longitude]} is needed")
    south, west = _place(operand["min"], "min")
    north, east = _place(operand["max"], "max")
    if south > north:
        raise ValueError("min lies north of max")
    return Area(south, west, north, east)


def _place(value: object, name: str) -> tuple[float, float]:
    pair = [_number(part) for part in value] if isinstance(value, list) and len(value) == 2 else [None]
    if None in pair:
        raise ValueError(f"{name} must be [latitude, longitude]")
    latitude, longitude = (float(part) for part in pair if part is not None)
    if abs(latitude) > MAX_LATITUDE or abs(longitude) > MAX_LONGITUDE:
        raise ValueError(f"{name} must lie within ±90 and ±180 degrees")
    return latitude, longitude


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
