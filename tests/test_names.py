"""Names of clusters, by rules and by files: every mistake is named in a line that shows the right form."""

from __future__ import annotations

from pathlib import Path

import pytest

from unsegcli.errors import ConfigError, DataError, UnsegError
from unsegcli.names import ClusterName, files_and_rules, open_names, parse_rules

NAMED = ("water", "River", "river", "roof", "Roof", "bare soil + sand")


def test_rules_by_number_and_by_name() -> None:
    found = parse_rules(["3=water", " 1 + 0 = bare soil, dry", "2=A+B"], 4, ())
    assert [(one.name, one.clusters, one.by_name) for one in found] == [
        ("water", (3,), False),
        ("bare soil, dry", (1, 0), False),
        ("A+B", (2,), False),
    ]
    found = parse_rules(["roof=building", "WATER+river=water", "bare soil + sand=soil"], 6, NAMED)
    assert [(one.name, one.clusters, one.by_name) for one in found] == [
        ("building", (3,), True),
        ("water", (0, 2), True),
        ("soil", (5,), True),
    ]
    assert parse_rules(["2+water=x"], 6, NAMED)[0].clusters == (2, 0)
    assert parse_rules(["cluster 3=x"], 4, ())[0].clusters == (3,)


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ("0=sand,1=road", "write 0=sand 1=road"),
        ("0=bare soil; 1+2=road", r"write '0=bare soil' 1\+2=road"),
        ("0=a,1:b", "write 0=a 1=b"),
        ("0:tree", "write 0=tree"),
        ("water=3", "write 3=water"),
        ("0,1=road", r"joined by \+: write 0\+1=road$"),
        ("0, 1+2;3:road", r"write 0\+1\+2\+3=road$"),
        ("5=sea,0,1=road", r"each rule is a word of its own: write 5=sea 0\+1=road$"),
        ("2=3", r"write 2\+3=water to merge them"),
        ("0=", "no name after the =: write 0=water"),
        ("=3", "no cluster before the =: write 3=water"),
        ("=tree", "write 3=tree"),
        ("0=a=b", "a name has no ="),
        ("water=sea,roof=house", "a name has no ="),
        ("0=a\nb", "one line"),
        ("9=water", "names cluster 9, but the clusters are 0 to 5"),
        ("lake=sea", "no category 'lake': give a number, 0 to 5, or one of water, River, river, roof, Roof"),
        ("RIVER=sea", r"can be 1 \(River\), 2 \(river\): give the number"),
        ("water", "is not a rule: write 3=water"),
        ("=", "no cluster before"),
    ],
)
def test_a_wrong_rule_shows_the_right_form(rule: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        parse_rules([rule], 6, NAMED)
    assert "\n" not in str(caught.value)


def test_clusters_without_names_are_not_listed() -> None:
    with pytest.raises(ConfigError, match=r"give a number, 0 to 3$"):
        parse_rules(["lake=sea"], 4, ("cluster 0", "cluster 1 (was 3)"))
    with pytest.raises(ConfigError, match="two names, 'a' and 'b'"):
        parse_rules(["1=a", "0+1=b"], 4, ())


def test_words_are_divided_into_files_and_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k=8").mkdir()
    (tmp_path / "k=8" / "seg").touch()
    words = ["k=8/seg", "gone/k=8/seg.h5", "3=water", "roof=house", ""]
    assert files_and_rules(words) == (["k=8/seg", "gone/k=8/seg.h5", ""], ("3=water", "roof=house"))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("s.h5 0 = tree", "write 0=tree without spaces"),
        ("s.h5 0 =tree", "write 0=tree without spaces"),
        ("s.h5 0= tree", "write 0=tree without spaces"),
        ("s.h5 0:tree", "write 0=tree"),
        ("s.h5 0=bare soil", "a name with spaces is quoted, such as '0=bare soil'"),
        ("s.h5 water", "water: no such file; if it is meant as a rule: write 3=water"),
        ("maps 3=water", "maps: no such file"),
    ],
)
def test_a_word_that_is_neither_file_nor_rule(words: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        files_and_rules(words.split())


ONE = '[[class]]\nname = "a"\nclusters = [0]\n'


def test_a_file_of_names(tmp_path: Path) -> None:
    path = tmp_path / "names.toml"
    path.write_text(
        'segmentation = "abc"\n[[class]]\nname = " water "\ncolor = "#3366AA"\nclusters = [3, 7]\n'
        '[[class]]\nname = "cluster 5"\nclusters = [5]\nmixed = true\n'
    )
    file = open_names(path)
    assert file.segmentation == "abc"
    assert file.names(8) == (ClusterName("water", (3, 7), "#3366aa"), ClusterName("cluster 5", (5,), "", mixed=True))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("class = [", "not valid TOML"),
        ("", "has no classes: add a .* with name and clusters"),
        ("segmentation = 3\n" + ONE, "segmentation is 3"),
        ("ignore = [1]\n" + ONE, "unknown key 'ignore'"),
        (ONE + "colour = '#000000'", "class 1 of .* unknown key 'colour'"),
        ('[[class]]\nname = "a"\nfrom = [0]', "class 1 .* from, which means label values in a legend: .* clusters"),
        ('[[class]]\nname = "a"', r"class 1 .*\('a'\) has no clusters"),
        ('[[class]]\nname = "a"\nclusters = []', "has no clusters"),
        ('[[class]]\nname = "a"\nclusters = 3', "has no clusters"),
        ('[[class]]\nname = "a"\nclusters = [true]', "True"),
        ('[[class]]\nname = "a"\nclusters = ["3"]', "'3'"),
        ('[[class]]\nname = "a"\nclusters = [8]', "holds 8, but the clusters are 0 to 7"),
        ('[[class]]\nname = "a"\nclusters = [-1]', "holds -1"),
        ('[[class]]\nname = ""\nclusters = [1]', "class 1 .* has no name"),
        ("[[class]]\nclusters = [1]", "class 1 .* has no name"),
        ('[[class]]\nname = "a\\nb"\nclusters = [1]', "one line"),
        (ONE + 'color = "blue"', "'blue', which is not a colour"),
        (ONE + "mixed = 1", "mixed is 1"),
        (ONE + '[[class]]\nname = "b"\nclusters = [1, 0]', "cluster 0 twice, in class 1 and in class 2"),
        ('[[class]]\nname = "b"\nclusters = [1, 1]', "cluster 1 twice"),
        (
            ONE + 'color = "#000000"\n[[class]]\nname = "a"\nclusters = [1]\ncolor = "#111111"',
            "'a' two colours, in class 1 and in class 2",
        ),
    ],
)
def test_mistakes_in_a_file_of_names_are_named(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "names.toml"
    path.write_text(text)
    with pytest.raises(UnsegError, match=complaint) as caught:
        open_names(path).names(8)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--names .*: no such file"):
        open_names(tmp_path / "names.toml")
