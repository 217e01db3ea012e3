"""Names, numbers and colours of 24 clusters: what a rule does not mention stays as it is."""

from __future__ import annotations

import pytest

from unsegcli.core.palette import CONFUSABLE, USUAL_COLORS, nearest_distance
from unsegcli.dataflow.label_maps import Predictions
from unsegcli.dataflow.naming import Naming, by_names, colors_of, palette_colors
from unsegcli.names import ClusterName, parse_rules


def clusters(count: int, naming: Naming | None = None) -> Predictions:
    names, colors = (naming.names, naming.colors) if naming else ((), ())
    return Predictions("seg.h5", "clusters", count, (), {}, {}, categories=names, colors=colors)


def renamed(run: Predictions, *rules: str) -> tuple[Predictions, dict[int, str]]:
    """What relabel makes of clusters, and the new colours of those whose colour it changes."""
    naming = by_names(run, parse_rules(rules, run.clusters or 0, run.categories))
    before = colors_of(run)
    changed = {old: naming.colors[new] for old, new in enumerate(naming.numbers) if naming.colors[new] != before[old]}
    return clusters(len(naming.names), naming), changed


def test_only_a_colour_in_conflict_changes() -> None:
    """By hand: among the unnamed, 2 and 7 look like a roof or water; only for 7 is there a colour farther from all."""
    own, water, roof = palette_colors(24), USUAL_COLORS["water"], USUAL_COLORS["roof"]
    unnamed = [number for number in range(24) if number not in (1, 3, 4)]
    near = [number for number in unnamed if nearest_distance(own[number], [water, roof]) <= CONFUSABLE]
    assert {2, 7} <= set(near)
    named, changed = renamed(clusters(24), "3=water", "1+4=roof")
    assert changed == {3: water, 1: roof, 4: roof, 7: changed[7]}
    assert changed[7] not in own, "a colour that a cluster has lost means nothing else now"
    others = [color for color in named.colors if color != changed[7]]
    assert nearest_distance(changed[7], others) > 1.5 * nearest_distance(own[7], others)


def test_names_one_after_the_other_change_no_colour_twice() -> None:
    named, _ = renamed(clusters(24), "3=water", "1+4=roof")
    named, changed = renamed(named, "roof=building")
    assert changed == {1: USUAL_COLORS["building"]}, "another name for one category is nothing to the others"
    assert renamed(named, "water=water")[1] == {}
    named, changed = renamed(named, "5=tree")
    assert changed == {5: USUAL_COLORS["tree"]}
    assert renamed(named, "tree=pond")[1] == {}, "a name without a usual colour keeps the one there is"


def test_the_oldest_number_is_kept_as_long_as_there_is_no_name() -> None:
    named, _ = renamed(clusters(9), "3=lagoon", "1+4=barn")
    assert named.categories[6] == "cluster 6 (was 7)"
    named, _ = renamed(named, "lagoon=pond")
    assert named.categories[6] == "cluster 6 (was 7)", "as the page of the first file calls it"
    named, _ = renamed(named, "cluster 6 (was 7)=hut", "5=shed")
    assert named.categories[:2] == ("hut", "shed")
    assert named.categories[4:7] == ("cluster 4 (was 0)", "cluster 5 (was 2)", "cluster 6 (was 5)")


@pytest.mark.parametrize("name", ["cluster 9", "cluster 5", "cluster 9 (was 11)", "clusters 5 and 9"])
def test_clusters_that_are_merged_under_a_number_are_called_by_their_new_one(name: str) -> None:
    naming = by_names(clusters(12), [ClusterName(name, (5, 9)), ClusterName("cluster 3", (4,), mixed=True)])
    assert naming.numbers == (0, 1, 2, 3, 4, 5, 6, 7, 8, 5, 9, 10)
    assert naming.names[3:6] == ("cluster 3", "cluster 4", "cluster 5")
    assert naming.names[9:] == ("cluster 9 (was 10)", "cluster 10 (was 11)")
    naming = by_names(clusters(12), [ClusterName("roof", (0, 1)), ClusterName(name, (5, 9))])
    assert naming.names[:5] == ("roof", *(f"cluster {number} (was {number + 1})" for number in (1, 2, 3)), "cluster 4")
