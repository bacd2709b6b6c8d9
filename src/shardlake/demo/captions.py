"""Captions of scenes: a full one that states every fact, and short ones as people type them into a search box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from shardlake.demo.scenes import Claims, Group, Scene

PLURALS: Final = {"box": "boxes", "fish": "fish", "leaf": "leaves", "cross": "crosses"}
SYNONYMS: Final = {
    "small": ("small", "small", "little", "tiny"),
    "large": ("large", "large", "big", "huge"),
    "grey": ("grey", "gray"),
    "cup": ("cup", "cup", "mug"),
    "dotted": ("dotted", "dotted", "spotted"),
    "moon": ("moon", "moon", "crescent"),
    "centre": ("in the centre", "in the middle"),
}
PLACES: Final = {
    "centre": "in the centre",
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "top left": "in the top left corner",
    "top right": "in the top right corner",
    "bottom left": "in the bottom left corner",
    "bottom right": "in the bottom right corner",
}
NUMBERS: Final = {2: "two", 3: "three"}
OPENINGS: Final = ("a picture of ", "an image of ", "a photo of ", "a drawing of ", "show me ", "find ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """A text and the facts it states."""

    text: str
    claims: Claims


def full_caption(scene: Scene) -> Caption:
    """Returns the one caption that states every fact of the scene that is out of the ordinary."""
    said = [_facts(group) for group in scene.groups]
    phrases = [_phrase(facts, None) for facts in said]
    if len(scene.groups) == 2:
        joint = " left of " if scene.groups[0].position == "left" else " above "
        text = joint.join(phrases)
    else:
        place = said[0].get("position")
        text = phrases[0] + (f" {PLACES[str(place)]}" if place else "")
    claims = Claims(groups=tuple(said), background=scene.background)
    return Caption(text=f"{text} on {_article(scene.background)} background", claims=claims)


def sample_caption(scene: Scene, rng: np.random.Generator) -> Caption:
    """Draws a caption: one in four is full, the others leave facts out or say them in other words."""
    if rng.random() < 0.25:
        return full_caption(scene)
    background = scene.background if rng.random() < 0.5 else None
    if len(scene.groups) == 2 and rng.random() < 0.8:
        text, said = _sample_two(scene, rng)
    else:
        group = scene.groups[int(rng.integers(len(scene.groups)))]
        text, said = _sample_group(group, rng)
    text = _with_background(text, background, rng)
    if rng.random() < 0.2:
        text = OPENINGS[int(rng.integers(len(OPENINGS)))] + text
    return Caption(text=text, claims=Claims(groups=said, background=background))


def _facts(group: Group) -> dict[str, str | int]:
    facts: dict[str, str | int] = {"shape": group.shape, "colour": group.colour, "count": group.count}
    if group.count == 1 and group.size != "medium":
        facts["size"] = group.size
    if group.pattern != "plain":
        facts["pattern"] = group.pattern
    if group.count == 1 and group.size != "large":  # a large thing is in the centre, always
        facts["position"] = group.position
    return facts


def _sample_group(
    group: Group, rng: np.random.Generator, *, place: bool = True
) -> tuple[str, tuple[dict[str, str | int], ...]]:
    facts = _facts(group)
    keep = {"shape": 0.95, "colour": 0.92, "count": 0.85, "size": 0.6, "pattern": 0.7, "position": 0.5 * place}
    said = {field: value for field, value in facts.items() if rng.random() < keep[field]}
    if not {"shape", "colour"} & set(said):
        said["shape"] = group.shape
    text = _phrase(said, rng)
    if "position" in said:
        text += f" {_word(str(said['position']), rng) if said['position'] == 'centre' else PLACES[group.position]}"
    return text, (said,)


def _sample_two(scene: Scene, rng: np.random.Generator) -> tuple[str, tuple[dict[str, str | int], ...]]:
    order = [0, 1] if rng.random() < 0.5 else [1, 0]
    first, second = (scene.groups[i] for i in order)
    (text_1, (said_1,)), (text_2, (said_2,)) = (_sample_group(g, rng, place=False) for g in (first, second))
    if rng.random() < 0.4:
        joint = (" and ", " next to ", " with ")[int(rng.integers(3))]
        return f"{text_1}{joint}{text_2}", (said_1, said_2)
    said_1["position"], said_2["position"] = first.position, second.position
    joint = {"left": " left of ", "right": " right of ", "top": " above ", "bottom": " below "}[first.position]
    return f"{text_1}{joint}{text_2}", (said_1, said_2)


def _phrase(said: dict[str, str | int], rng: np.random.Generator | None) -> str:
    words = [_word(str(said[field]), rng) for field in ("size", "pattern", "colour") if field in said]
    count = said.get("count")
    noun = _word(str(said["shape"]), rng) if "shape" in said else "thing"
    if count == 1:
        return _article(" ".join([*words, noun]))
    if count is None and rng is not None and rng.random() < 0.5:
        return " ".join([*words, noun])  # "red boot": a query, not a sentence
    number = [NUMBERS[int(count)]] if count else []
    return " ".join([*number, *words, _plural(noun)])


def _with_background(text: str, background: str | None, rng: np.random.Generator) -> str:
    if background is None:
        return text
    colour = _word(background, rng)
    forms = (
        f"{text} on {_article(colour)} background",
        f"{text} on {colour}",
        f"{text}, {colour} background",
        f"{_article(colour)} background with {text}",
    )
    return forms[int(rng.integers(len(forms)))]


def _word(word: str, rng: np.random.Generator | None) -> str:
    choices = SYNONYMS.get(word)
    return choices[int(rng.integers(len(choices)))] if choices and rng is not None else word


def _plural(noun: str) -> str:
    return PLURALS.get(noun, noun + "s")


def _article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"
