"""Whatever is wrong with a file, it is refused in one line that names it, and nothing else is touched."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from sample_artifacts import differences, sample, values_of

from unsegcli.errors import ArtifactError
from unsegcli.store import KINDS, kind_of, open_artifact, problems_of
from unsegcli.store.chunks import array_digest
from unsegcli.store.kinds import COMMON_ATTRIBUTES

Damage = Callable[[h5py.File], object]
CORRUPTIONS = 150
DEEP = '{"a":' * 900 + "1" + "}" * 900  # as deep as Python itself still reads


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A sound file of each kind; tests work on copies."""
    folder = tmp_path_factory.mktemp("sound")
    return {kind: sample(kind).write(folder / f"{kind}.h5") for kind in KINDS}


@pytest.fixture
def damaged(sound: dict[str, Path], tmp_path: Path) -> Callable[[str, Damage], Path]:
    """A copy of the sound file of a kind, changed in place with plain h5py."""

    def make(kind: str, damage: Damage) -> Path:
        path = Path(shutil.copy(sound[kind], tmp_path / "damaged.h5"))
        with h5py.File(path, "r+") as file:
            damage(file)
        return path

    return make


def read_all(path: Path) -> None:
    """Open a file, ask for its sizes and read every value."""
    with open_artifact(path) as artifact:
        for name in artifact.field_names():
            artifact.sizes(name)
        values_of(artifact)


def refused(path: Path) -> str:
    """The one line with which reading a file is refused."""
    with pytest.raises(ArtifactError) as caught:
        read_all(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def put(name: str, **how: object) -> Damage:
    """Replace a dataset, or add one."""

    def damage(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file.create_dataset(name, **how)

    return damage


def link(name: str, target: object) -> Damage:
    def damage(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = target

    return damage


def drop(name: str) -> Damage:
    return lambda file: file.__delitem__(name)


def attribute(name: str, value: object) -> Damage:
    return lambda file: file.attrs.__setitem__(name, value)


def cell(name: str, row: int, values: object) -> Damage:
    """Change a row of a dataset."""
    return lambda file: file[name].__setitem__(row, values)


def stamped(name: str, values: NDArray[Any]) -> Damage:
    """Replace the dataset of a window, and its digest."""

    def damage(file: h5py.File) -> None:
        put(name, data=values)(file)
        field, _, index = name.partition("/")
        cell(f"digests/{field}", int(index), np.frombuffer(array_digest(values), np.uint8))(file)

    return damage


def octets(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


def other_file(path: Path) -> Path:
    """A file with what a link might want from it."""
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((4, 4, 3), np.uint8)
        file["box"] = np.zeros((3, 4), np.int32)
    return path


# -- what leads elsewhere --------------------------------------------------------------------------------------


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("place", ["images", "images/000001", "windows", "windows/box", "digests/images", "foreign"])
def test_links_into_other_files(
    place: str, exists: bool, damaged: Callable[[str, Damage], Path], tmp_path: Path
) -> None:
    """Also where the other file does not exist, so that following the link would give another message."""
    other = tmp_path / "other.h5"
    if exists:
        other_file(other)
    path = damaged("superpixels", link(place, h5py.ExternalLink(str(other), "/images")))
    if place == "digests/images":
        with pytest.raises(ArtifactError, match="link to another file"), open_artifact(path) as artifact:
            artifact.window_digests("images")
    else:
        assert "is a link to another file" in refused(path)


@pytest.mark.parametrize("ask", ["sizes", "read", "problems"])
def test_no_question_follows_a_link(ask: str, damaged: Callable[[str, Damage], Path], tmp_path: Path) -> None:
    other = other_file(tmp_path / "other.h5")
    path = damaged("superpixels", link("images/000001", h5py.ExternalLink(str(other), "/images")))
    with pytest.raises(ArtifactError, match="link to another file") as caught, open_artifact(path) as artifact:  # noqa: PT012
        if ask == "sizes":
            artifact.sizes("images")
        elif ask == "read":
            artifact.read("images", 1)
        else:
            raise ArtifactError("; ".join(problems_of(artifact)))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("place", ["superpixels", "superpixels/000000", "windows/box", "sources"])
def test_soft_links(place: str, damaged: Callable[[str, Damage], Path]) -> None:
    assert "is a soft link, which is not allowed" in refused(
        damaged("superpixels", link(place, h5py.SoftLink("/images")))
    )


def test_external_storage(damaged: Callable[[str, Damage], Path], tmp_path: Path) -> None:
    raw = tmp_path / "raw.bin"
    raw.write_bytes(bytes(48))
    path = damaged(
        "superpixels", put("windows/box", shape=(3, 4), dtype="i4", external=[(str(raw), 0, h5py.h5f.UNLIMITED)])
    )
    assert "stores its values in another file" in refused(path)


def test_virtual_dataset(damaged: Callable[[str, Damage], Path], tmp_path: Path) -> None:
    other = other_file(tmp_path / "other.h5")

    def damage(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((3, 4), "i4")
        layout[:] = h5py.VirtualSource(str(other), "box", (3, 4))
        del file["windows/box"]
        file.create_virtual_dataset("windows/box", layout)

    assert "is a virtual dataset" in refused(damaged("superpixels", damage))


# -- what only another program can read ------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"compression": "lzf"}, {"scaleoffset": 4}], ids=lambda how: next(iter(how)))
def test_foreign_filters(how: dict[str, object], damaged: Callable[[str, Damage], Path]) -> None:
    data = np.zeros((4, 4, 3), np.uint8)
    path = damaged("superpixels", put("images/000002", data=data, chunks=data.shape, **how))
    assert "needs the HDF5 filter" in refused(path)


def test_newer_version_and_unknown_kind(damaged: Callable[[str, Damage], Path]) -> None:
    for damage, text in [
        (attribute("kind-version", KINDS["metrics"].version + 1), "kind metrics, version 3"),
        (attribute("kind", "hologram"), "kind hologram, version 2"),
    ]:
        path = damaged("metrics", damage)
        assert kind_of(path) is None
        message = refused(path)
        assert f"was written by a newer unseg ({text})" in message
        assert "upgrade unseg" in message


def test_a_kind_that_is_not_wanted_here(sound: dict[str, Path]) -> None:
    with (
        pytest.raises(ArtifactError, match="is of kind metrics, but superpixels or features is needed here"),
        open_artifact(sound["metrics"], "superpixels", "features"),
    ):
        pass


# -- what is not of its kind -----------------------------------------------------------------------------------

WRONG: dict[str, tuple[str, Damage, str]] = {
    "shape of a window": (
        "superpixels",
        put("superpixels/000001", data=np.zeros((4, 5), "u2")),
        "superpixels/000001 has length 5 on the axis width, not 4",
    ),
    "bands that differ between windows": (
        "superpixels",
        put("images/000002", data=np.zeros((4, 4, 4), "u1")),
        "has length 4 on the axis band, not 3",
    ),
    "rows of features": (
        "features",
        put("features/000000", data=np.zeros((4, 5), "f4")),
        "features/000000 has length 4 on the axis superpixel, not 3",
    ),
    "axes": ("superpixels", put("windows/box", data=np.zeros(12, "i4")), "has 1 axes instead of (window, 4)"),
    "length of a table": ("superpixels", put("sources/page", data=np.zeros(3, "i4")), "on the axis source, not"),
    "fixed axis": ("superpixels", put("windows/box", data=np.zeros((3, 5), "i4")), "length 5 on the axis 4, not 4"),
    "type": ("superpixels", put("windows/box", data=np.zeros((3, 4), "f4")), "is of type float32, not one of: int32"),
    "type of a map": ("segmentation", put("segmentation/000000", data=np.zeros((4, 6), "i2")), "of type int16"),
    "compound type": ("model", put("weights/x", data=np.zeros(2, [("a", "f4")])), "is of type void"),
    "objects": ("model", put("weights/x", data=["a", "b"]), "is of type object"),
    "ragged arrays": ("model", put("weights/x", shape=(2,), dtype=h5py.vlen_dtype("f4")), "is of type object"),
    "references": ("model", put("weights/x", shape=(2,), dtype=h5py.ref_dtype), "is of type object"),
    "complex numbers": ("model", put("weights/x", data=np.zeros(2, "c8")), "is of type complex64"),
    "text of free length": ("superpixels", put("sources/name", data=["a", "b"]), "text of fixed length"),
    "numbers for text": ("superpixels", put("sources/name", data=np.arange(2)), "text of fixed length"),
    "no values at all": ("model", put("weights/x", data=h5py.Empty("f4")), "weights/x"),
    "missing field": ("superpixels", drop("windows/grid"), "windows/grid is missing"),
    "missing group": ("superpixels", drop("superpixels"), "superpixels is missing"),
    "missing folder of fields": ("superpixels", drop("sources"), "sources/name is missing"),
    "missing window": (
        "superpixels",
        drop("superpixels/000001"),
        "superpixels/000001 is missing|superpixels does not have exactly one",
    ),
    "surplus dataset": ("superpixels", put("extra", data=[1]), "extra is not a field of kind superp"),
    "surplus field": ("superpixels", put("windows/extra", data=[1]), "windows/extra is not a field"),
    "surplus window": ("superpixels", put("images/000003", data=[1]), "images"),
    "surplus name of a window": ("superpixels", put("images/one", data=[1]), "images"),
    "field of another kind": ("superpixels", put("features/000000", data=[1]), "features is not a field"),
    "dataset for a group": ("superpixels", put("images", data=[1]), "images should be a group"),
    "dataset for a folder": ("superpixels", put("windows", data=[1]), "windows"),
    "type for a folder": ("superpixels", link("windows", np.dtype("f8")), "windows"),
    "group for a dataset": (
        "superpixels",
        lambda file: (drop("windows/box")(file), file.create_group("windows/box")),
        "windows/box should be a dataset",
    ),
    "group for a window": (
        "superpixels",
        lambda file: (drop("images/000000")(file), file.create_group("images/000000")),
        "images/000000 should be a dataset",
    ),
    "group for a weight": ("model", lambda file: file.create_group("weights/x"), "weights/x should be a dataset"),
    "type for a weight": ("model", link("weights/x", np.dtype("f8")), "weights/x should be a dataset"),
    "type without a counterpart": (
        "model",
        lambda file: h5py.h5d.create(file["weights"].id, b"x", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((3,))),
        "weights/x",
    ),
    "group in a circle": ("model", lambda file: file["weights"].__setitem__("x", file["/"]), "should be a dataset"),
    "recipe that is no JSON": ("metrics", attribute("recipe", '{"stage":'), "recipe is not a JSON object"),
    "recipe that is a list": ("metrics", attribute("recipe", "[1]"), "recipe is not a JSON object"),
    "recipe that is a number": ("metrics", attribute("recipe", 5), "recipe should be of type str"),
    "recipe that is too deep": ("metrics", attribute("recipe", '{"a":' + "[" * 30_000), "metrics|recipe|damaged"),
    "inputs that are no JSON": ("metrics", attribute("inputs", "{{"), "inputs is not a JSON object"),
    "inputs list has no paths": ("metrics", attribute("inputs", '{"pictures":{}}'), "inputs does not give path and"),
    "inputs that are numbers": ("metrics", attribute("inputs", '{"pictures":1}'), "inputs does not give path and"),
    "role of a wrong type": ("segmentation", attribute("role", 1), "the attribute role should be of type str"),
    "clusters of a wrong type": ("segmentation", attribute("clusters", "8"), "clusters should be of type int"),
    "kind that is no text": ("metrics", attribute("kind", [1, 2]), "its attribute kind is not one value"),
    "version that is no number": ("metrics", attribute("kind-version", "1"), "kind and kind-version are broken"),
    "version that is several": (
        "metrics",
        attribute("kind-version", [1, 1]),
        "its attribute kind-version is not one value",
    ),
    "version before the first": ("metrics", attribute("kind-version", 0), "kind metrics has no version 0"),
    "format of another program": ("metrics", attribute("format", "keras"), "but was not written by unseg"),
    "recipe with an infinite number": ("metrics", attribute("recipe", '{"a":1e999}'), "recipe is not a JSON object"),
    "recipe with an enormous number": ("metrics", attribute("recipe", f'{{"a":1{"0" * 900}}}'), "not a JSON object"),
    "reading that is too deep": ("superpixels", attribute("reading", DEEP), "reading is not JSON that can be used"),
    "reading that is a list": ("superpixels", attribute("reading", "[]"), "reading is not a JSON object"),
    "settings that are too deep": ("model", attribute("config", DEEP), "config is not JSON that can be used"),
    "names that are too deep": ("model", attribute("bfloat16", "[" * 900 + "]" * 900), "bfloat16 is not JSON that can"),
    "names that are an object": ("model", attribute("bfloat16", "{}"), "bfloat16 is not a JSON list"),
    "scores that are too deep": ("metrics", put("scores", data=octets(DEEP)), "scores is not JSON that can be used"),
    "scores that are a list": ("metrics", put("scores", data=octets("[1]")), "scores is not a JSON object"),
    "seconds that are several": ("metrics", attribute("seconds", [1.0, 2.0]), "seconds is not one value"),
    "seconds that are no number": ("metrics", attribute("seconds", np.nan), "seconds is not finite"),
    "a command that is a number": ("metrics", attribute("command", 5), "command should be of type str"),
    "a command that is huge": (
        "metrics",
        lambda file: file.attrs.create("command", b"x", dtype=h5py.string_dtype(length=1 << 25)),
        "command is not one value",
    ),
    "clusters below zero": ("segmentation", attribute("clusters", -1), "clusters is -1, which is not from 0 to 65535"),
    "too many clusters": ("segmentation", attribute("clusters", 10**9), "clusters is 1000000000, which is not from 0"),
    "a size of zero": ("superpixels", cell("sources/size", 0, (0, 6)), "sources/size has 0, which is below 1"),
    "an orientation": ("superpixels", cell("sources/orientation", 0, 9), "sources/orientation has 9, which is above"),
    "more superpixels than pixels": (
        "superpixels",
        cell("windows/superpixels", 0, 10**12),
        "windows/superpixels has more superpixels than the window has pixels",
    ),
    "fewer than no superpixels": ("superpixels", cell("windows/superpixels", 0, -1), "windows/superpixels has -1"),
    "a window moved out of its image": ("superpixels", cell("windows/box", 1, (0, 3, 4, 4)), "window 1 extends beyond"),
    "a window too small for its image": ("superpixels", cell("windows/box", 0, (0, 0, 4, 5)), "of source 0 do not cov"),
    "pixels changed under an old digest": (
        "superpixels",
        cell("images/000001", 0, 7),
        "images/000001 has been changed since it was written: its digest differs",
    ),
    "a superpixel beyond their number": (
        "superpixels",
        stamped("superpixels/000001", np.full((4, 4), 2, "u2")),
        "superpixels/000001 has the superpixel 2, but there are only 2",
    ),
    "a category beyond their number": (
        "segmentation",
        stamped("segmentation/000001", np.full((4, 4), 4, "u1")),
        "segmentation/000001 has the category 4, but there are only 4",
    ),
    "promise of terabytes": (
        "model",
        put("weights/x", shape=(10**6, 10**6), dtype="f4", chunks=(1000, 1000)),
        "weights/x claims 4,000,000,000,000 bytes, which is more than its stored size can hold",
    ),
    "promise of a hundred megabytes": (
        "superpixels",
        lambda file: (
            file["windows/box"].__setitem__(0, (0, 0, 10**4, 10**4)),
            file["windows/grid"].__setitem__(0, (10**4, 10**4)),
            put("superpixels/000000", shape=(10**4, 10**4), dtype="u2", chunks=(512, 512), compression="gzip")(file),
        ),
        "claims 200,000,000 bytes",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_of_its_kind(what: str, damaged: Callable[[str, Damage], Path]) -> None:
    kind, damage, message = WRONG[what]
    text = refused(damaged(kind, damage))
    assert any(part in text for part in message.split("|"))


@pytest.mark.parametrize("what", WRONG)
def test_verifying_never_fails_itself(what: str, damaged: Callable[[str, Damage], Path]) -> None:
    """A problem is listed or the file is refused; there is no other way out."""
    kind, damage, _ = WRONG[what]
    try:
        with open_artifact(damaged(kind, damage)) as artifact:
            assert problems_of(artifact)
    except ArtifactError:
        pass


@pytest.mark.parametrize("text", ['{"a":NaN}', '{"a":Infinity}'])
def test_json_that_python_reads_but_none_else(text: str, damaged: Callable[[str, Damage], Path]) -> None:
    path = damaged("metrics", attribute("recipe", text))
    try:
        with open_artifact(path) as artifact:
            assert any("recipe" in problem for problem in problems_of(artifact))
    except ArtifactError as error:
        assert "recipe" in str(error)  # noqa: PT017


def test_an_attribute_that_is_no_utf8(damaged: Callable[[str, Damage], Path]) -> None:
    def damage(file: h5py.File) -> None:
        file.attrs.create("reading", b"{\xff\xfe}", dtype=h5py.string_dtype())

    path = damaged("superpixels", damage)
    try:
        with open_artifact(path) as artifact:
            assert problems_of(artifact)
    except ArtifactError as error:
        assert "reading" in str(error)  # noqa: PT017


@pytest.mark.parametrize("name", sorted(COMMON_ATTRIBUTES.keys() - {"format", "kind", "kind-version"}))
def test_missing_attribute(name: str, damaged: Callable[[str, Damage], Path]) -> None:
    path = damaged("metrics", lambda file: file.attrs.__delitem__(name))
    assert f"the attribute {name} is missing" in refused(path)


@pytest.mark.parametrize("name", ["format", "kind", "kind-version"])
def test_without_its_stamp_it_is_nobodys(name: str, damaged: Callable[[str, Damage], Path]) -> None:
    path = damaged("metrics", lambda file: file.attrs.__delitem__(name))
    assert kind_of(path) is None
    assert ("was not written by unseg" if name == "format" else "are broken") in refused(path)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].attributes])
def test_missing_attribute_of_the_kind(kind: str, damaged: Callable[[str, Damage], Path]) -> None:
    for name in KINDS[kind].attributes:
        path = damaged(kind, lambda file, name=name: file.attrs.__delitem__(name))  # type: ignore[misc]
        assert f"the attribute {name} is missing" in refused(path)


# -- what is no whole HDF5 file --------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.999])
def test_truncated(share: float, sound: dict[str, Path], tmp_path: Path) -> None:
    whole = sound["superpixels"].read_bytes()
    path = tmp_path / "cut.h5"
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "is not an HDF5 file, or is truncated" in refused(path)
    assert kind_of(path) is None


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"\x89PNG\r\n\x1a\n", b"a line of text\n" * 100])
def test_no_hdf5_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    assert "is not an HDF5 file, or is truncated" in refused(path)
    assert kind_of(path) is None


def test_hdf5_of_another_program(tmp_path: Path) -> None:
    path = other_file(tmp_path / "x.h5")
    assert "is an HDF5 file, but was not written by unseg" in refused(path)
    assert kind_of(path) is None


def test_a_folder_and_nothing(tmp_path: Path) -> None:
    assert "is a folder" in refused(tmp_path)
    assert "no such file" in refused(tmp_path / "none.h5")
    assert kind_of(tmp_path) is None
    assert kind_of(tmp_path / "none.h5") is None


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    os.mkfifo(path)
    other_end = os.open(path, os.O_RDWR)  # so that this test itself cannot wait for ever
    try:
        assert "is not a regular file" in refused(path)
    finally:
        os.close(other_end)


def test_no_permission(sound: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(shutil.copy(sound["metrics"], tmp_path / "x.h5"))
    if os.geteuid() == 0:  # root may read everything

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(h5py, "File", refuse)
    else:
        path.chmod(0)
    assert "is not readable: check its permissions" in refused(path)


def test_a_file_with_the_permission_to_read_only(sound: dict[str, Path], tmp_path: Path) -> None:
    path = Path(shutil.copy(sound["metrics"], tmp_path / "x.h5"))
    path.chmod(0o444)
    read_all(path)


# -- damage ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["superpixels/000000", "images/000001", "windows/box", "sources/name"])
def test_a_flipped_bit_in_a_chunk(name: str, sound: dict[str, Path], tmp_path: Path) -> None:
    path = Path(shutil.copy(sound["superpixels"], tmp_path / "x.h5"))
    with h5py.File(path) as file:
        place = file[name].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[place.byte_offset + place.size // 2] ^= 4
    path.write_bytes(content)
    message = refused(path)
    assert f"{name} cannot be read: the file is damaged" in message
    with open_artifact(path) as artifact:
        assert any("the file is damaged" in problem for problem in problems_of(artifact))


@pytest.mark.parametrize("signature", [b"FRHP", b"FHDB", b"BTHD", b"BTLF"])
def test_damage_where_the_names_of_weights_are(signature: bytes, tmp_path: Path) -> None:
    """Groups of more than eight names have structures of their own, which are read when names are listed."""
    many = {f"{number}.weight": np.zeros(3, np.float32) for number in range(20)}
    path = sample("model").changed(entries={"weights": many}).write(tmp_path / "a.h5")
    content = path.read_bytes()
    starts = [match.start() for match in re.finditer(re.escape(signature), content)]
    assert starts
    messages = []
    for start in starts:
        path.write_bytes(content[: start + 6] + bytes([content[start + 6] ^ 1]) + content[start + 7 :])
        messages.append(refused(path))
    assert any("is damaged" in message for message in messages)


def heap_headers(content: bytes) -> list[int]:
    """Places of the sizes in HDF5's heaps of text, over wrong ones of which the library can loop for ever."""
    found: list[int] = []
    start = content.find(b"GCOL")
    while start >= 0:
        end = start + int.from_bytes(content[start + 8 : start + 16], "little")
        found += range(start, start + 16)
        place = start + 16
        while place + 16 <= end:
            found += range(place, place + 16)
            if content[place : place + 2] == b"\0\0":  # the rest is free
                break
            place += 16 + -(-int.from_bytes(content[place + 8 : place + 16], "little") // 8) * 8
        start = content.find(b"GCOL", end)
    return found


@pytest.mark.parametrize("kind", ["superpixels", "model"])
def test_any_corrupted_byte_is_noticed_or_harmless(kind: str, sound: dict[str, Path], tmp_path: Path) -> None:
    whole = sound[kind].read_bytes()
    with open_artifact(sound[kind]) as artifact:
        wanted = values_of(artifact)
    random = np.random.default_rng(0)
    path = tmp_path / "x.h5"
    noticed = 0
    places = np.setdiff1d(np.arange(len(whole)), heap_headers(whole))
    for place, change in zip(
        random.choice(places, CORRUPTIONS // 2, replace=False), random.integers(1, 256, CORRUPTIONS), strict=False
    ):
        content = bytearray(whole)
        content[place] ^= int(change)
        path.write_bytes(content)
        kind_of(path)
        try:
            with open_artifact(path) as artifact:
                found = problems_of(artifact)
                if not found:
                    assert differences(values_of(artifact), wanted) == [], f"byte {place} changed by {change}"
        except ArtifactError as error:
            found = [str(error)]
            assert str(path) in found[0]
        noticed += bool(found)
    assert noticed > CORRUPTIONS // 10
