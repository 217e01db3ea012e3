"""Recipes have one text, one digest, and differences with names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsegcli.params import Cluster, Images, Superpixels
from unsegcli.recipe import canonical, differences, differing_keys, listing_digest, make_recipe, recipe_digest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=3,
)
RECIPES = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


@dataclass(frozen=True)
class Settings:
    size: tuple[int, ...] = (4, 6)
    name: str = "ü"


def test_canonical_text() -> None:
    assert canonical({"b": [1, 2.5, None], "a": {"ü": True}}) == '{"a":{"\\u00fc":true},"b":[1,2.5,null]}'


def test_names_that_are_not_utf8_have_a_digest() -> None:
    assert canonical("\udcff") == '"\\udcff"'
    assert listing_digest([("\udcff.png", "1")]) != listing_digest([("\udcfe.png", "1")])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_does_not_have_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical({"a": value})


@settings(max_examples=20)
@given(RECIPES)
def test_order_of_keys_is_irrelevant(recipe: dict[str, Any]) -> None:
    turned = dict(reversed(recipe.items()))
    assert canonical(turned) == canonical(recipe)
    assert recipe_digest(turned) == recipe_digest(recipe)
    assert differing_keys(turned, recipe) == []


def test_golden_recipe() -> None:
    recipe = make_recipe("cluster", 2, [Settings(), {"seed": 0}], {"superpixels": "ab"}, {"method": "iic"})
    assert canonical(recipe) == (
        '{"inputs":{"superpixels":"ab"},"method":"iic","parameters":{"name":"\\u00fc","seed":0,"size":[4,6]},'
        '"revision":2,"stage":"cluster"}'
    )
    # echo -n '...' | sha256sum: a change here makes every output of every user out of date.
    assert recipe_digest(recipe) == "b9968fa77ac59bacdd693fc0a64d205896fcd61835661f9da6c8b414afbd4263"


def test_a_recipe_equals_itself_as_read_back() -> None:
    """Tuples become lists at once, else every output would look changed."""
    recipe = make_recipe("superpixels", 1, [Superpixels(), Images(size=(4, 6), bands=(3, 2, 1))], {})
    assert recipe["parameters"]["size"] == [4, 6]
    assert recipe["parameters"]["percentiles"] == [1.0, 99.0]
    as_lists = make_recipe("superpixels", 1, [{**recipe["parameters"], "bands": [3, 2, 1]}], {})
    assert as_lists == recipe
    assert recipe_digest(as_lists) == recipe_digest(recipe)


def test_order_of_parameters_is_irrelevant_while_names_differ() -> None:
    first = make_recipe("cluster", 1, [Cluster(), Images()], {"a": "1", "b": "2"})
    second = make_recipe("cluster", 1, [Images(), Cluster()], {"b": "2", "a": "1"})
    assert recipe_digest(first) == recipe_digest(second)


def test_every_parameter_counts() -> None:
    plain = make_recipe("cluster", 1, [Cluster()], {})
    others = [Cluster(classes=9), Cluster(blur=2.5), Cluster(seed=1), Cluster(features="bands")]
    digests = {recipe_digest(make_recipe("cluster", 1, [other], {})) for other in others}
    assert len(digests | {recipe_digest(plain)}) == 5
    assert recipe_digest(make_recipe("cluster", 2, [Cluster()], {})) != recipe_digest(plain)
    assert recipe_digest(make_recipe("cluster", 1, [Cluster()], {"superpixels": "a"})) != recipe_digest(plain)


def test_differing_keys_by_hand() -> None:
    old = {"stage": "a", "parameters": {"size": [1], "blur": 2, "gone": None, "deep": {"x": 1, "y": 2}}, "inputs": 1}
    new = {"stage": "a", "parameters": {"size": [2], "blur": 2, "new": None, "deep": {"x": 1, "y": 3}}, "inputs": {}}
    assert differing_keys(old, new) == [
        ("inputs",),
        ("parameters", "deep", "y"),
        ("parameters", "gone"),
        ("parameters", "new"),
        ("parameters", "size"),
    ]
    assert differing_keys(old, old) == []
    assert differing_keys({}, {"a": {"b": 1}}) == [("a",)]


@pytest.mark.parametrize(
    ("section", "old", "new", "words"),
    [
        ("parameters", {"pixels_per_segment": 200}, {"pixels_per_segment": 60}, "pixels per segment 200, now 60"),
        ("parameters", {"most_classes": 12}, {"most_classes": 9}, "max classes 12, now 9"),
        ("parameters", {"features": "rgb"}, {"features": "regions"}, "features bands, now regions"),
        ("parameters", {"size": [3, 4]}, {"size": []}, "size 3,4, now none"),
        ("settings", {"learning_rate": 0.1, "soft": False}, {"learning_rate": 0.2, "soft": True},
         "learning_rate 0.1, now 0.2; soft off, now on"),
        ("inputs", {"pictures": "1"}, {"pictures": "2"}, "other images"),
        ("inputs", {"mask.0": "1"}, {"mask.0": "2", "legend": "3"}, "other legend; other mask.0"),
        ("method", "inmars", "iic", "method inmars, now iic"),
        ("method", "mine 0123456789abcdef", "mine 1123456789abcdef", "the file of the method has changed"),
        ("method_revision", 1, 2, "another version of the method"),
        ("revision", 1, 2, "another version of the command"),
    ],
)  # fmt: skip
def test_differences_are_said_in_words(section: str, old: Any, new: Any, words: str) -> None:
    assert differences({section: old, "stage": "a"}, {section: new, "stage": "a"}) == words


@pytest.mark.parametrize(("old", "new"), [(1, 1.0), (1, True), (0, False), ([1], [1.0])])
def test_what_python_calls_equal_has_another_text_and_is_named(old: Any, new: Any) -> None:
    assert differing_keys({"a": {"b": old}}, {"a": {"b": new}}) == [("a", "b")]
    assert differences({"a": {"b": old}}, {"a": {"b": new}})


@settings(max_examples=20)
@given(RECIPES, RECIPES)
def test_recipes_differ_where_their_texts_do(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert differing_keys(old, new) == differing_keys(new, old)
    assert (differing_keys(old, new) == []) == (canonical(old) == canonical(new))
    assert bool(differences(old, new)) == (canonical(old) != canonical(new))


def test_listing_digest_knows_names_order_and_borders() -> None:
    rows = [("a", "1"), ("b", "2")]
    digests = {
        listing_digest(r) for r in (rows, rows[::-1], rows[:1], [("a1", ""), ("b2", "")], [("a", "2"), ("b", "1")])
    }
    assert len(digests) == 5
    assert listing_digest(iter(rows)) == listing_digest(rows)
