"""Naming, merging and keeping numbers: every pixel goes where the rules say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import cluster, evaluate, relabel
from conftest import MakeImages
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from reading_back import maps_of, table_of

from unsegcli import store
from unsegcli.core.palette import USUAL_COLORS, confusable, palette
from unsegcli.errors import ArtifactError, ConfigError, DataError
from unsegcli.names import UNNAMED
from unsegcli.params import Cluster, Evaluate

PARAMS = Cluster(classes=4, features="bands", blur=1)


@pytest.fixture
def seg(make_images: MakeImages, tmp_path: Path) -> Path:
    make_images("data/images")
    return cluster([tmp_path / "data"], tmp_path / "seg.h5", PARAMS, workers=1).path


def content(path: Path) -> tuple[NDArray[Any], list[str], str]:
    with store.open_artifact(path, "segmentation") as artifact:
        assert store.problems_of(artifact) == []
        return artifact.read("segmentation", 0), artifact.table("categories/name"), artifact.attributes["role"]


def original(path: Path) -> NDArray[Any]:
    with store.open_artifact(path) as artifact:
        return artifact.read("segmentation", 0)


def colors(path: Path) -> list[str]:
    with store.open_artifact(path, "segmentation") as artifact:
        return list(artifact.table("categories/color"))


def colors_of_numbers(*numbers: int) -> list[str]:
    return ["#{:02x}{:02x}{:02x}".format(*color) for color in palette(9)[list(numbers)].tolist()]


def test_a_cluster_without_a_rule_keeps_its_name_and_colour(seg: Path, tmp_path: Path) -> None:
    once = relabel(seg, ["3=lagoon"], tmp_path / "once.h5").path
    assert content(once)[1] == ["lagoon", "cluster 1 (was 0)", "cluster 2 (was 1)", "cluster 3 (was 2)"]
    assert colors(once) == colors_of_numbers(3, 0, 1, 2)
    twice = relabel(once, ["2=barn"], tmp_path / "twice.h5").path
    assert content(twice)[1] == ["barn", "lagoon", "cluster 2 (was 0)", "cluster 3 (was 2)"]
    assert colors(twice) == colors_of_numbers(1, 3, 0, 2)
    merged = relabel(seg, ["3+1=lagoon", "0=barn"], tmp_path / "merged.h5").path
    more = cluster([tmp_path / "data"], tmp_path / "more.h5", replace(PARAMS, classes=5), workers=1).path
    like = relabel(more, [], tmp_path / "like.h5", like=merged).path
    assert colors(like) == colors_of_numbers(3, 0, 2, 1, 4), "of the older run, then those that it does not use"


def test_a_cluster_without_a_class_is_not_coloured_as_one(seg: Path, tmp_path: Path) -> None:
    legend = tmp_path / "legend.toml"
    classes = ("roof", "#ee6677"), ("water", "#228833")
    legend.write_text(
        "".join(f'[[class]]\nname = "{name}"\ncolor = "{color}"\nfrom = [0]\n' for name, color in classes).replace(
            "[0]", "[1]", 1
        )
    )
    path = relabel(seg, ["3=water", "0=roof"], tmp_path / "out.h5", legend=legend).path
    assert colors(path) == ["#ee6677", "#228833", *colors_of_numbers(4, 6)]


NAMES = """
[[class]]
name = "water"
clusters = [3, 0]
[[class]]
name = "barn"
color = "#102030"
clusters = [1]
[[class]]
name = "cluster 2"
clusters = [2]
mixed = true
"""


def test_a_file_of_names_merges_colours_and_says_what_is_mixed(
    seg: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="unseg")
    (tmp_path / "names.toml").write_text(NAMES)
    path = relabel(seg, [], tmp_path / "out.h5", names=tmp_path / "names.toml").path
    found, names, role = content(path)
    assert (names, role) == (["water", "barn", "cluster 2"], "clusters")
    np.testing.assert_array_equal(found, np.array([0, 1, 2, 0])[original(seg)])
    assert colors(path) == [USUAL_COLORS["water"], "#102030", *colors_of_numbers(2)]
    assert f"cluster 2 is mixed; divide it: unseg relabel {path} --split 2" in caplog.text
    before = path.stat().st_mtime_ns
    relabel(seg, [], path, names=tmp_path / "names.toml")
    assert path.stat().st_mtime_ns == before
    (tmp_path / "names.toml").write_text(NAMES.replace("barn", "shed"))
    relabel(seg, [], path, names=tmp_path / "names.toml")
    assert content(path)[1] == ["water", "shed", "cluster 2"]


def test_names_of_another_segmentation_are_refused(seg: Path, tmp_path: Path) -> None:
    with store.open_artifact(seg) as artifact:
        own = artifact.fingerprint
    (tmp_path / "names.toml").write_text(f'segmentation = "{own}"\n' + NAMES)
    path = relabel(seg, [], tmp_path / "out.h5", names=tmp_path / "names.toml").path
    with pytest.raises(DataError, match=r"another segmentation than .*out.h5: relabel .*seg.h5, for which it was"):
        relabel(path, [], tmp_path / "again.h5", names=tmp_path / "names.toml")
    (tmp_path / "names.toml").write_text('segmentation = "0123"\n' + NAMES)
    with pytest.raises(DataError, match=r"save the names again from the page of .*seg.h5"):
        relabel(seg, [], tmp_path / "again.h5", names=tmp_path / "names.toml")
    with pytest.raises(ConfigError, match="give exactly one of"):
        relabel(seg, ["0=a"], tmp_path / "again.h5", names=tmp_path / "names.toml")


def test_a_usual_colour_is_taken_unless_another_category_looks_like_it(seg: Path, tmp_path: Path) -> None:
    near = relabel(seg, ["3=sky"], tmp_path / "near.h5").path
    assert confusable(USUAL_COLORS["sky"], colors_of_numbers(4))
    assert colors(near)[0] == USUAL_COLORS["sky"], "cluster 4, which looks like the sky, is not there"
    taken = relabel(seg, ["3=Forest", "2=tree", "1=water", "0=lake"], tmp_path / "taken.h5").path
    assert colors(taken)[:3] == [USUAL_COLORS["forest"], *colors(taken)[1:2], USUAL_COLORS["water"]]
    assert colors(taken)[3] != USUAL_COLORS["lake"], "that of water, nearly"
    assert not confusable(colors(taken)[3], colors(taken)[:3])


def test_categories_are_renamed_and_merged_by_name(seg: Path, tmp_path: Path) -> None:
    once = relabel(seg, ["3=lagoon", "1=barn", "0=canal"], tmp_path / "once.h5").path
    first, names, _ = content(once)
    assert names == ["lagoon", "barn", "canal", "cluster 3 (was 2)"]
    found, names, _ = content(relabel(once, ["BARN=shed"], tmp_path / "twice.h5").path)
    assert names == ["lagoon", "shed", "canal", "cluster 3 (was 2)"], "they keep their numbers"
    np.testing.assert_array_equal(found, first)
    assert colors(tmp_path / "twice.h5") == colors(once)
    found, names, _ = content(relabel(once, ["lagoon+canal=lagoon"], tmp_path / "merged.h5").path)
    assert names == ["lagoon", "barn", "cluster 2"]
    np.testing.assert_array_equal(found, np.array([0, 1, 0, 2])[first])
    again = relabel(once, ["canal=lagoon"], tmp_path / "joined.h5").path
    np.testing.assert_array_equal(content(again)[0], found)
    swapped = relabel(once, ["canal=lagoon", "lagoon=canal"], tmp_path / "swapped.h5").path
    assert content(swapped)[1][:3] == ["canal", "barn", "lagoon"]
    with pytest.raises(ConfigError, match=r"one of lagoon, barn, canal$"):
        relabel(once, ["sea=ocean"], tmp_path / "none.h5")


def test_labels_that_named_clusters_are_not_forgotten(seg: Path, tmp_path: Path) -> None:
    quadrants = np.repeat(np.repeat(np.array([[0, 1], [2, 3]], np.uint8), 24, axis=0), 32, axis=1)
    (tmp_path / "data" / "labels").mkdir()
    for number in range(3):
        Image.fromarray(quadrants).save(tmp_path / "data" / "labels" / f"p{number}.png")
    metrics = evaluate([seg], tmp_path / "m.h5", Evaluate(replicates=0), workers=1).path
    named = relabel(seg, [], tmp_path / "named.h5", metrics=metrics).path
    with store.open_artifact(relabel(named, ["0=a"], tmp_path / "more.h5").path) as artifact:
        assert artifact.recipe["labels_used"] == "naming"


NAME = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=9).filter(
    lambda text: text.strip() and text.strip().isprintable()
)


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(NAME, st.booleans()), min_size=4, max_size=4),
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
)
def test_a_file_of_names_goes_round_and_areas_stay(
    seg: Path, tmp_path: Path, given_names: list[tuple[str, bool]], places: list[int]
) -> None:
    """Whatever the names and merges: names come back, and the area of each is the sum of its clusters."""
    names = [given_names[place][0].strip() for place in places]
    assume(not any(UNNAMED.fullmatch(name) for name in names))
    members = {name: [number for number in range(4) if names[number] == name] for name in names}
    tables = [
        f"[[class]]\nname = {json.dumps(name, ensure_ascii=False)}\nclusters = {members[name]}\n" for name in members
    ]
    (tmp_path / "names.toml").write_text("".join(tables), encoding="utf-8")
    path = relabel(seg, [], tmp_path / "out.h5", names=tmp_path / "names.toml").path
    found, stored, _ = content(path)
    assert stored == list(dict.fromkeys(names))
    before = np.bincount(original(seg).ravel(), minlength=4)
    for number, name in enumerate(stored):
        assert (found == number).sum() == sum(before[old] for old in range(4) if names[old] == name)
    assert len(set(colors(path))) == len(stored)


def test_rules_name_and_merge(seg: Path, tmp_path: Path) -> None:
    found, names, role = content(relabel(seg, ["3=lagoon", "1 + 0 = barn"], tmp_path / "out.h5").path)
    assert names == ["lagoon", "barn", "cluster 2"]
    assert colors(tmp_path / "out.h5") == colors_of_numbers(3, 1, 2), "of the first cluster of each rule"
    assert role == "clusters"
    np.testing.assert_array_equal(found, np.array([1, 1, 2, 0])[original(seg)])


def test_legend_gives_the_order_and_the_colours(seg: Path, tmp_path: Path) -> None:
    legend = tmp_path / "legend.toml"
    legend.write_text(
        '[[class]]\nname = "roof"\ncolor = "#102030"\nfrom = [0]\n[[class]]\nname = "water"\nfrom = [1]\n'
    )
    path = relabel(seg, ["3=water", "0+1+2=roof"], tmp_path / "out.h5", legend=legend).path
    for before, after in zip(maps_of(seg, "distances"), maps_of(path, "distances"), strict=True):
        np.testing.assert_array_equal(before, after)
    assert table_of(path, "windows/farthest").tolist() == table_of(seg, "windows/farthest").tolist()
    found, names, role = content(path)
    assert (names, role) == (["roof", "water"], "classes")
    np.testing.assert_array_equal(found, original(seg) == 3)
    with store.open_artifact(path) as artifact:
        assert artifact.table("categories/color")[0] == "#102030"
    with pytest.raises(ConfigError, match="no class 'road'"):
        relabel(seg, ["1=road"], tmp_path / "out2.h5", legend=legend)


def test_metrics_name_the_clusters_and_the_recipe_says_that_labels_did(seg: Path, tmp_path: Path) -> None:
    quadrants = np.repeat(np.repeat(np.array([[0, 1], [2, 3]], np.uint8), 24, axis=0), 32, axis=1)
    (tmp_path / "data" / "labels").mkdir()
    for number in range(3):
        Image.fromarray(quadrants).save(tmp_path / "data" / "labels" / f"p{number}.png")
    metrics = evaluate([seg], tmp_path / "m.h5", Evaluate(replicates=0), workers=1)
    path = relabel(seg, [], tmp_path / "out.h5", metrics=metrics.path).path
    found, names, role = content(path)
    assert (names, role) == (["0", "1", "2", "3"], "classes")
    assert (found == quadrants).mean() > 0.9
    with store.open_artifact(path) as artifact:
        assert artifact.recipe["labels_used"] == "naming"
    again = evaluate([path], tmp_path / "m2.h5", Evaluate(replicates=0), workers=1).scores
    assert again["scores"]["accuracy"] == metrics.scores["scores"]["accuracy"]
    assert again["labels_used"] == "naming and scoring"
    other = cluster([tmp_path / "data"], tmp_path / "other.h5", Cluster(classes=3, features="bands"), workers=1).path
    with pytest.raises(ConfigError, match="another segmentation"):
        relabel(other, [], tmp_path / "out3.h5", metrics=metrics.path)


def test_like_keeps_the_numbers_of_an_older_run(seg: Path, tmp_path: Path) -> None:
    named = relabel(seg, ["2=sky", "0=sea", "3=sand", "1=sun"], tmp_path / "old.h5").path
    old, old_names, _ = content(named)
    found, names, _ = content(relabel(seg, [], tmp_path / "new.h5", like=named).path)
    assert names == old_names
    np.testing.assert_array_equal(found, old)
    more = cluster(
        [tmp_path / "data"], tmp_path / "more.h5", Cluster(classes=6, features="bands", blur=1), workers=1
    ).path
    found, names, _ = content(relabel(more, [], tmp_path / "more-like.h5", like=named).path)
    assert names == [*old_names, "cluster 4", "cluster 5"]
    assert (found == old).mean() > 0.5


def test_void_stays_void(make_images: MakeImages, tmp_path: Path) -> None:
    folder, masks = make_images(count=1), tmp_path / "masks"
    masks.mkdir()
    valid = np.full((48, 64), 255, np.uint8)
    valid[:9] = 0
    Image.fromarray(valid).save(masks / "p0.png")
    seg = cluster([folder], tmp_path / "seg.h5", PARAMS, mask=masks, workers=1).path
    found, _, _ = content(relabel(seg, ["0=a"], tmp_path / "out.h5").path)
    np.testing.assert_array_equal(found == 255, valid == 0)


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        (["water"], "is not a rule"),
        (["x=water"], "no category 'x'"),
        (["9=water"], "0 to 3"),
        (["1=water", "1=roof"], "two names"),
        ([], "give exactly one of"),
    ],
)
def test_rules_that_make_no_sense(rules: list[str], complaint: str, seg: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=complaint):
        relabel(seg, rules, tmp_path / "out.h5")
    assert not list(tmp_path.glob("out.h5*"))


def test_unchanged_run_writes_nothing(seg: Path, tmp_path: Path) -> None:
    path = relabel(seg, ["0=a"], tmp_path / "out.h5").path
    before = path.stat().st_mtime_ns
    relabel(seg, ["0=a"], path)
    assert path.stat().st_mtime_ns == before
    relabel(seg, ["0=b"], path)
    assert path.stat().st_mtime_ns != before


def test_the_input_is_never_the_output(seg: Path) -> None:
    before = seg.read_bytes()
    with pytest.raises(ArtifactError, match="an input of this command"):
        relabel(seg, ["0=a"], seg, force=True)
    assert seg.read_bytes() == before
