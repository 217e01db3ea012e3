"""Small files that claim or hide huge contents are refused, and cost next to no memory."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from sample_artifacts import sample

from unsegcli.errors import ArtifactError
from unsegcli.store import Artifact, open_artifact, problems_of, unpacking
from unsegcli.store.chunks import checksum_holds, chunk_shape_of

HIDDEN = 120_000_000  # bytes
ALLOWED = 40_000  # kB of memory above that of reading a sound file

READ = """
import resource, sys
from unsegcli.errors import ArtifactError
from unsegcli.store import KINDS, open_artifact

def read(path):
    kept = []
    with open_artifact(path) as artifact:
        for name in artifact.field_names():
            per = KINDS[artifact.kind].fields[name].per
            if per == "file":
                artifact.table(name)
            elif per == "entry":
                kept += [artifact.entry(name, key) for key in artifact.entries(name)]
            else:
                [artifact.read(name, index) for index in range(artifact.window_count)]

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)

read(sys.argv[1])
before = peak()
for path in sys.argv[2:]:
    try:
        read(path)
        print("read")
    except ArtifactError as error:
        print(error)
print(peak() - before)
"""


def deflated_zeros(times: int = 1) -> bytes:
    """Deflate many zeros, the result again, and so on."""
    packer = zlib.compressobj(1)
    whole = b"".join(packer.compress(bytes(10_000_000)) for _ in range(HIDDEN // 10_000_000)) + packer.flush()
    for _ in range(times - 1):
        whole = zlib.compress(whole)
    return whole


def put_chunk(file: h5py.File, name: str, like: h5py.Dataset, filters: int, body: bytes, **how: object) -> None:
    """Create a dataset of one chunk, whose stored bytes are given."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(how.get("chunk", like.shape))
    for _ in range(filters):
        properties.set_deflate(1)
    space = h5py.h5s.create_simple(like.shape, tuple(h5py.h5s.UNLIMITED for _ in like.shape))
    dtype = h5py.h5t.py_create(like.dtype)
    del file[name]
    h5py.h5d.create(file.id, name.encode(), dtype, space, properties).write_direct_chunk((0,) * like.ndim, body)


def stacked(file: h5py.File) -> None:
    put_chunk(file, "images/000001", file["images/000001"], 3, deflated_zeros(3))


def inflating(file: h5py.File) -> None:
    put_chunk(file, "images/000001", file["images/000001"], 1, deflated_zeros())


def large_chunk(file: h5py.File) -> None:
    chunk = (1000, HIDDEN // 3000, 3)
    put_chunk(file, "images/000001", file["images/000001"], 1, deflated_zeros(), chunk=chunk)


def linked(file: h5py.File) -> None:
    file.create_dataset("weights/big", data=np.zeros(10_000_000, np.float32), compression="gzip", compression_opts=1)
    for number in range(40):
        file[f"weights/big{number}"] = file["weights/big"]


BOMBS: dict[str, tuple[str, Callable[[h5py.File], None], str]] = {
    "stacked filters": ("superpixels", stacked, "images/000001 needs the HDF5 filter 1; only shuffle, gzip"),
    "a chunk that unpacks to more": ("superpixels", inflating, "a chunk does not unpack to 48 bytes"),
    "a chunk larger than its map": ("superpixels", large_chunk, "has a chunk that is larger than itself"),
}


def test_hidden_contents_are_refused_in_little_memory(tmp_path: Path) -> None:
    sound = sample("superpixels").write(tmp_path / "sound.h5")
    paths = []
    for kind, change, _ in BOMBS.values():
        paths.append(sample(kind).write(tmp_path / f"{len(paths)}.h5"))
        with h5py.File(paths[-1], "r+") as file:
            change(file)
        assert paths[-1].stat().st_size < HIDDEN / 100
    run = subprocess.run(
        [sys.executable, "-c", READ, str(sound), *map(str, paths)], capture_output=True, text=True, check=True
    )
    *said, grown = run.stdout.splitlines()
    for line, path, (_, _, message) in zip(said, paths, BOMBS.values(), strict=True):
        assert str(path) in line
        assert message in line
    assert int(grown) < ALLOWED


def read_weights(artifact: Artifact) -> None:
    kept = [artifact.entry("weights", key) for key in artifact.entries("weights")]
    assert kept


def test_one_dataset_under_many_names(tmp_path: Path) -> None:
    path = sample("model").write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        linked(file)
    message = "weights/big0 is weights/big under another name, which is not allowed"
    with open_artifact(path) as artifact, pytest.raises(ArtifactError, match=message):
        read_weights(artifact)


def test_what_is_held_together_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real datasets, each small enough by itself."""
    path = sample("model").write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        for number in range(5):
            file.create_dataset(f"weights/zero{number}", data=np.zeros(250_000, np.float32), compression="gzip")
    monkeypatch.setattr(unpacking, "AT_ONCE", 2_500_000)
    with open_artifact(path) as artifact, pytest.raises(ArtifactError, match="are more than is unpacked at once"):
        read_weights(artifact)


@pytest.mark.parametrize(
    ("bound", "message"),
    [("AT_ONCE", "stored bytes, which is more than is unpacked at once"), ("FEW_CHUNKS", "has too many chunks")],
)
def test_a_dataset_by_itself(bound: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sample("model").write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file.create_dataset("weights/x", data=np.zeros((100, 1000), np.uint8), chunks=(10, 100), compression="gzip")
    with open_artifact(path) as artifact:
        assert artifact.entry("weights", "x").shape == (100, 1000)
    monkeypatch.setattr(unpacking, bound, 90)
    with open_artifact(path) as artifact, pytest.raises(ArtifactError, match=message):
        artifact.entry("weights", "x")


@pytest.mark.parametrize(
    ("shape", "dtype"), [((1_281_167, 4), "int32"), ((1_500_000, 3), "float16"), ((1, 5_000_000), "uint8")]
)
def test_as_many_chunks_as_are_written_are_read(shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    found = {}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        own = chunk_shape_of(shape)
        for name, chunks in {"own": own, "smaller": tuple(-(-side // 2) for side in own)}.items():
            dataset = file.create_dataset(name, shape, dtype, chunks=chunks, compression="gzip")
            dataset.id.write_direct_chunk((0, 0), bytes(dataset.nbytes // 1000))  # so much is stored of it
            found[name] = unpacking.implausible(dataset, 1 << 30)
    assert found == {"own": None, "smaller": "has too many chunks for its size"}


def test_a_large_map_that_is_mostly_void(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        shape, chunk = (14_000, 14_000), (512, 512)
        dataset = file.create_dataset("x", shape, "uint32", chunks=chunk, compression="gzip")
        for top in range(0, 14_000, 512):
            for left in range(0, 14_000, 512):
                dataset.id.write_direct_chunk((top, left), bytes(15_000))  # so much is stored of it
        assert unpacking.implausible(dataset, 1 << 24, window=True) is None
        assert "more than is unpacked at once" in str(unpacking.implausible(dataset, 1 << 24))
        larger = file.create_dataset("y", (20_000, 20_000), "uint32", chunks=chunk, compression="gzip")
        larger.id.write_direct_chunk((0, 0), bytes(2_000_000))
        assert "more than is unpacked at once" in str(unpacking.implausible(larger, 1 << 24, window=True))


def test_maps_and_images_of_a_window_may_be_larger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_artifact(sample("superpixels").write(tmp_path / "a.h5")) as artifact:
        for name in ("superpixels", "images"):
            artifact.read(name, 0)  # and the tables
        monkeypatch.setattr(unpacking, "AT_ONCE", 0)
        monkeypatch.setattr(unpacking, "USUAL_RATIO", 0)
        assert artifact.read("superpixels", 1).shape == artifact.read("images", 1).shape[:2] == (4, 4)
        monkeypatch.setattr(unpacking, "WINDOW_AT_ONCE", 10)
        with pytest.raises(ArtifactError, match="more than is unpacked at once"):
            artifact.read("superpixels", 2)


def test_more_stored_bytes_than_the_file_has(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("x", data=np.zeros(100))
        assert unpacking.implausible(dataset, 800) is None
        assert unpacking.implausible(dataset, 799) == "claims 800 stored bytes, which is more than the file has"


@pytest.mark.parametrize("how", [{}, {"shuffle": True}, {"fletcher32": True}, {"compression": "gzip"}])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "<i2", ">i4", "float64"])
@pytest.mark.parametrize("chunks", [(3, 4), (2, 5), (7, 9)])
def test_values_are_those_of_hdf5(how: dict[str, object], dtype: str, chunks: tuple[int, int], tmp_path: Path) -> None:
    values = (np.random.default_rng(1).random((7, 9)) * 3).astype(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("x", data=values, chunks=chunks, **how)
        assert unpacking.implausible(dataset, 1 << 20) is None
        found = unpacking.unpacked(dataset)
        np.testing.assert_array_equal(found, values)
        assert found.dtype == values.dtype
        assert found.flags.writeable


def test_a_chunk_that_is_missing_or_wrong(tmp_path: Path) -> None:
    for damage, message in [(None, "a chunk is missing"), (b"123", "checksum"), (bytes(40), "not unpack|checksum")]:
        path = sample("superpixels").write(tmp_path / "a.h5", {"stage": "other"})
        with h5py.File(path, "r+") as file:
            like = file["images/000001"]
            shape, dtype = like.shape, like.dtype
            del file["images/000001"]
            made = file.create_dataset(
                "images/000001", shape, dtype, chunks=shape, compression="gzip", fletcher32=True, fillvalue=None
            )
            if damage is not None:
                assert not checksum_holds(damage) or damage == bytes(40)
                made.id.write_direct_chunk((0, 0, 0), damage)
        with open_artifact(path) as artifact, pytest.raises(ArtifactError, match=message):
            artifact.read("images", 1)
        with open_artifact(path) as artifact:
            assert problems_of(artifact)
        path.unlink()
