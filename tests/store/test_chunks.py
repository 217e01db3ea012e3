"""Chunks that we compress ourselves are read back by plain h5py, and digests depend on content alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from unsegcli.store.chunks import WHOLE_UP_TO, Chunk, Encoded, array_digest, checksum_holds, chunk_shape_of, encode
from unsegcli.store.kinds import ANY_NUMBER

DTYPES = [np.dtype(name) for name in ANY_NUMBER.split()]
ARRAYS = hnp.arrays(
    st.sampled_from(DTYPES), hnp.array_shapes(min_dims=1, max_dims=4, max_side=9), elements={"allow_nan": False}
)


@contextmanager
def stored(encoded: Encoded) -> Iterator[h5py.Dataset]:
    """The chunks in a file in memory, with the filters declared as the format says: shuffle, gzip, fletcher32."""
    memory = BytesIO()
    with h5py.File(memory, "w") as file:
        dataset = file.create_dataset(
            "x",
            shape=encoded.shape,
            dtype=encoded.dtype,
            chunks=encoded.chunk_shape,
            shuffle=True,
            compression="gzip",
            fletcher32=True,
        )
        for offset, mask, chunk in encoded.chunks:
            dataset.id.write_direct_chunk(offset, chunk, mask)
    with h5py.File(memory, "r") as file:  # HDF5 notices a filter that was left out only when a file is opened anew
        yield file["x"]


def by_h5py(encoded: Encoded) -> NDArray[Any]:
    with stored(encoded) as dataset:
        values: NDArray[Any] = dataset[...]
        return values


@settings(max_examples=60)
@given(ARRAYS)
def test_any_array_is_read_back_by_h5py(array: NDArray[Any]) -> None:
    found = by_h5py(encode(array))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@settings(max_examples=40)
@given(ARRAYS)
def test_every_chunk_carries_its_checksum(array: NDArray[Any]) -> None:
    encoded = encode(array)
    assert all(checksum_holds(chunk) for _, _, chunk in encoded.chunks)
    assert encoded.stored_bytes == sum(len(chunk) for _, _, chunk in encoded.chunks)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_large_maps_are_tiled_and_padded_at_the_border(dtype: str) -> None:
    height, width = 2001, 2003  # just above 4 megapixels, and no multiple of 512
    array = (np.arange(height * width) % 251).reshape(height, width).astype(dtype)
    encoded = encode(array)
    assert encoded.chunk_shape == (512, 512)
    assert len(encoded.chunks) == 4 * 4
    np.testing.assert_array_equal(by_h5py(encoded), array)


def test_a_part_of_a_tiled_map_is_read_alone() -> None:
    array = np.zeros((3000, 1400, 2), np.uint8)
    array[700, 600] = (3, 4)
    with stored(encode(array)) as dataset:
        assert dataset.chunks == (512, 512, 2)
        assert dataset[700, 600].tolist() == [3, 4]


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((2000, 2000), (2000, 2000)),  # exactly 4 megapixels
        ((2000, 2001), (512, 512)),
        ((100, 50_000), (100, 512)),
        ((2000, 2000, 300), (2000, 2000, 300)),  # pixels are counted, not bands
        ((5_000_000,), (5_000_000,)),
    ],
)
def test_chunk_shape(shape: tuple[int, ...], chunks: tuple[int, ...]) -> None:
    assert WHOLE_UP_TO == 4_000_000
    assert chunk_shape_of(shape) == chunks


@settings(max_examples=40)
@given(ARRAYS, st.data())
def test_one_flipped_bit_is_noticed(array: NDArray[Any], data: st.DataObject) -> None:
    (_, _, chunk), *_ = encode(array).chunks
    bit = data.draw(st.integers(0, len(chunk) * 8 - 1))
    broken = bytearray(chunk)
    broken[bit // 8] ^= 1 << bit % 8
    assert not checksum_holds(bytes(broken))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_noise_is_stored_without_gzip_and_plain_values_with(dtype: str) -> None:
    """What hardly shrinks is stored as it is: h5py reads both, and the checksum stands in both."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 2)).astype(dtype)
    noise = noise * np.array(257 if dtype == "uint16" else 1, dtype)
    plain = np.zeros_like(noise)
    plain[100:200] = 9
    for array, packed in ((noise, False), (plain, True)):
        encoded = encode(array)
        assert (encoded.stored_bytes < array.nbytes / 2) is packed
        assert (encoded.chunks[0].filter_mask == 0) is packed
        np.testing.assert_array_equal(by_h5py(encoded), array)
        assert checksum_holds(encoded.chunks[0].stored)


def test_h5py_refuses_a_flipped_bit_too() -> None:
    encoded = encode(np.arange(100, dtype=np.int32).reshape(10, 10))
    ((offset, mask, chunk),) = encoded.chunks
    broken = bytearray(chunk)
    broken[7] ^= 1
    chunks = (Chunk(offset, mask, bytes(broken)),)
    damaged = Encoded(encoded.dtype, encoded.shape, encoded.chunk_shape, chunks, encoded.digest)
    with pytest.raises(OSError, match="read data"):
        by_h5py(damaged)


@settings(max_examples=40)
@given(ARRAYS)
def test_digest_depends_on_values_not_on_memory_or_byte_order(array: NDArray[Any]) -> None:
    wanted = array_digest(array)
    assert encode(array).digest == wanted
    assert array_digest(np.asfortranarray(array)) == wanted
    assert array_digest(array.astype(array.dtype.newbyteorder(">"))) == wanted
    strided = np.repeat(array, 2, axis=0)[::2]
    assert array_digest(strided) == wanted


def test_big_endian_arrays_are_stored_little_endian() -> None:
    encoded = encode(np.array([[1, 2, 3]], ">u2"))
    assert encoded.dtype == "<u2"
    assert by_h5py(encoded).tolist() == [[1, 2, 3]]


def test_digest_depends_on_shape_type_and_every_value() -> None:
    array = np.arange(12, dtype=np.int32).reshape(3, 4)
    changed = array.copy()
    changed[2, 3] += 1
    others = [array.reshape(4, 3), array.reshape(-1), array.astype(np.uint32), array.astype(np.int64), changed, array.T]
    digests = {array_digest(array), *map(array_digest, others)}
    assert len(digests) == 7


def test_arrays_without_values_still_have_a_shape() -> None:
    assert array_digest(np.zeros((0, 3))) != array_digest(np.zeros((3, 0)))
