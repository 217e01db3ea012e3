"""A raster of 12,000 x 12,000 pixels to a map: below two gigabytes in all processes together."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from unsegcli import store
from unsegcli.core.geometry import boxes

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SIDE, MOST_BYTES = 12_000, 2e9
COMMANDS = (
    ("superpixels", "raster.tif", "-o", "sp.h5"),
    ("cluster", "sp.h5", "--features", "bands", "--classes", "6", "-o", "map.h5"),
    ("export", "map.h5", "--to", "geotiff", "-o", "maps"),
)


@pytest.mark.slow
def test_a_large_raster_needs_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rasterio = pytest.importorskip("rasterio")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from bench_common import peaks_of
    from bench_raster import write_raster

    raster = write_raster(tmp_path / "raster.tif", SIDE)
    for command in COMMANDS:
        peaks = peaks_of([sys.executable, "-m", "unsegcli", *command, "--workers", "2"], tmp_path)
        assert peaks.together < MOST_BYTES, (command, peaks)
    with store.open_artifact(tmp_path / "map.h5") as artifact:
        assert artifact.window_count == len(boxes(SIDE, SIDE, 2176, 2048))
    with rasterio.open(raster) as given, rasterio.open(tmp_path / "maps" / "raster.tif") as made:
        assert (made.shape, made.crs, made.transform) == (given.shape, given.crs, given.transform)
        for window in (((0, SIDE // 8),) * 2, ((SIDE // 2 - 150, SIDE // 2 + 150),) * 2):
            values = made.read(1, window=window)
            assert np.array_equal(values == made.nodata, given.read(1, window=window) == given.nodata)
            assert len(np.unique(values[values != made.nodata])) > 1
