"""Legends: what label values mean, and every mistake in one named in a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from unsegcli.errors import DataError
from unsegcli.legend import Legend, LegendClass, find_legend, read_legend


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_legend_is_read_in_its_order(tmp_path: Path) -> None:
    path = write(
        tmp_path / "classes.toml",
        'ignore = [255]\n[[class]]\nname = "building"\ncolor = "#800000"\nfrom = [0, 2, 7]\n'
        '[[class]]\nname = "sky"\nfrom = [1]\n',
    )
    legend = read_legend(path)
    assert legend == Legend((255,), (LegendClass("building", (128, 0, 0), (0, 2, 7)), LegendClass("sky", None, (1,))))
    assert legend.names == ("building", "sky")
    assert not legend.in_colors


def test_legend_of_colours_with_a_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    path = tmp_path / "legend.toml"
    path.write_bytes('\ufeffignore = ["#ffffff"]\r\n[[class]]\r\nname = "a"\r\nfrom = ["#00fF00"]\r\n'.encode())
    legend = read_legend(path)
    assert legend.ignore == ((255, 255, 255),)
    assert legend.classes[0].sources == ((0, 255, 0),)
    assert legend.in_colors


ONE = '[[class]]\nname = "a"\nfrom = [0]\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ignore = [", "not valid TOML"),
        ("", "has no classes"),
        ("class = []", "has no classes"),
        ("class = [1]", "has no classes"),
        ('class = "a"', "has no classes"),
        ("ignored = [1]\n" + ONE, "unknown key 'ignored'"),
        (ONE + 'colour = "#000000"', "unknown key 'colour'"),
        ("[[class]]\nfrom = [0]", "class 1 .* has no name"),
        ('[[class]]\nname = " "\nfrom = [0]', "has no name"),
        ("[[class]]\nname = 3\nfrom = [0]", "has no name"),
        (ONE + '[[class]]\nname = "b"', r"class 2 .*\('b'\) has no from"),
        ('[[class]]\nname = "a"\nfrom = []', "is empty"),
        ('[[class]]\nname = "a"\nfrom = 3', "is not a list"),
        ("ignore = 255\n" + ONE, "ignore of legend .* is not a list"),
        ('[[class]]\nname = "a"\nfrom = [1.5]', "1.5"),
        ('[[class]]\nname = "a"\nfrom = [true]', "True"),
        ('[[class]]\nname = "a"\nfrom = [99999999999999999999]', "99999999999999999999"),
        ('[[class]]\nname = "a"\nfrom = ["red"]', "'red', which is not a colour"),
        (ONE + 'color = "#12345"', "'#12345', which is not a colour"),
        (ONE + "color = 7", "7, which is not a colour"),
        (ONE + '[[class]]\nname = "b"\nfrom = [1, 0]', "value 0 twice, in class 'a' and in class 'b'"),
        ("ignore = [0]\n" + ONE, "value 0 twice, in ignore and in class 'a'"),
        ('[[class]]\nname = "a"\nfrom = [4, 4]', "value 4 twice"),
        (ONE + '[[class]]\nname = "a"\nfrom = [1]', "2 classes named 'a'"),
        ('ignore = ["#ffffff"]\n' + ONE, "mixes numbers and colours"),
        (
            '[[class]]\nname = "a"\nfrom = ["#0000ff"]\n[[class]]\nname = "b"\nfrom = ["#0000FF"]',
            "#0000ff twice",
        ),
    ],
)
def test_mistakes_in_a_legend_are_named(tmp_path: Path, text: str, complaint: str) -> None:
    path = write(tmp_path / "mine.toml", text)
    with pytest.raises(DataError, match=complaint) as caught:
        read_legend(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_legend_that_is_missing_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_legend(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        read_legend(tmp_path / "bytes.toml")


def test_legend_beside_images_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    assert find_legend(tmp_path) is None
    (tmp_path / "labels").mkdir()
    legend = write(tmp_path / "classes.toml", ONE)
    for folder in (tmp_path, tmp_path / "images", tmp_path / "labels" / ".." / "images"):
        assert find_legend(folder) == legend
    (tmp_path / "images/val").mkdir(parents=True, exist_ok=True)
    assert find_legend(tmp_path / "images/val") == legend
    monkeypatch.chdir(tmp_path / "images")
    assert find_legend(Path()) == legend
