"""What needs GDAL: coordinate systems, GeoTIFF files that can be read in parts, and layers of polygons.

Only this file of the package writes with rasterio and pyogrio. They are optional, and imported when they are used.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import ArtifactError, ConfigError
from unsegcli.images.georeference import WKT_STARTS, Georeference

Values = NDArray[np.float64]

PACKAGES = ("rasterio", "pyogrio")
INSTALL = "pip install '.[geo]' in your copy of unseg"
NORTH_POLE = 90 + 1e-9  # degrees, as they are computed
LONGITUDE_LATITUDE = "OGC:CRS84"  # WGS 84, longitude first, as GeoJSON has it
PACKAGE_VERSION = "1.2"  # that older programs read without a warning
COG_OPTIONS = {
    "compress": "deflate",
    "predictor": "no",  # differences of numbers that stand for classes mean nothing
    "blocksize": 512,
    "overview_resampling": "mode",
    "bigtiff": "if_safer",
    "num_threads": 1,
}


PLAIN_OPTIONS = {
    "compress": "deflate", "zlevel": 1, "tiled": True, "blockxsize": 512, "blockysize": 256, "bigtiff": "if_safer",
}  # fmt: skip
CACHE = 128 * 2**20  # bytes of a large raster that GDAL keeps


def are_installed() -> bool:
    """Return whether rasterio and pyogrio can be imported."""
    return all(importlib.util.find_spec(package) for package in PACKAGES)


def check_installed(what: str, instead: str = "") -> None:
    """Raise an error that says what to install for this, or what to do instead."""
    if not are_installed():
        raise ConfigError(f"{what} needs rasterio and pyogrio: {INSTALL}{instead}")


@cache
def _module(name: str) -> Any:
    """Import a part of rasterio or pyogrio, and silence its log: errors are reported by unseg."""
    log = logging.getLogger(name.split(".")[0])
    log.addHandler(logging.NullHandler())
    log.propagate = False
    return import_module(name)


# Coordinate systems


def may_be_known(crs: str) -> bool:
    """Return whether a coordinate system is given by an EPSG number or as WKT, so that it may be known."""
    return crs.startswith("EPSG:") or crs.split("[")[0] in WKT_STARTS


@cache
def system(crs: str) -> Any:
    """Return the coordinate system that is given by an EPSG number or as WKT; None if it is not known."""
    if not may_be_known(crs):
        return None
    try:
        with _module("rasterio").Env():  # otherwise GDAL prints errors by itself
            return _module("rasterio.crs").CRS.from_user_input(crs)
    except _module("rasterio.errors").CRSError:
        return None


def wkt(crs: str) -> str:
    """Return the description of a known system as WKT of version 2."""
    return str(system(crs).to_wkt(version="WKT2_2019"))


def metres_per_unit(crs: str) -> float:
    """Return how long the unit of a projected system is; 0 if it is not projected."""
    found = system(crs)
    return float(found.linear_units_factor[1]) if found is not None and found.is_projected else 0.0


def to_longitude_latitude(crs: str, points: Values) -> Values:
    """Convert points (points, 2) of a known system to degrees; all are NaN if one lies outside of what it is for."""
    if not len(points):
        return points
    try:
        with _module("rasterio").Env():
            found = _module("rasterio.warp").transform(system(crs), LONGITUDE_LATITUDE, *points.T)
    except _module("rasterio._err").CPLE_BaseError:
        return np.full(points.shape, np.nan)
    degrees = np.stack(found, axis=1)
    there = (np.abs(degrees[:, 1]) <= NORTH_POLE).all()
    return degrees if there else np.full(points.shape, np.nan)


# Files


def cog(
    values: NDArray[Any],
    colors: Mapping[int, Sequence[int]] | None,
    place: Georeference,
    void: int | None,
) -> bytes:
    """Encode a label map (height, width) as a GeoTIFF that is optimized for the cloud: tiles, and overviews by mode.

    Args:
        values: whole numbers.
        colors: colour of each number; None = no colour table.
        place: place on a map.
        void: number that is no data; None = none.
    """
    with warnings.catch_warnings(), _module("rasterio.io").MemoryFile() as file:
        warnings.simplefilter("ignore", _module("rasterio.errors").NotGeoreferencedWarning)
        profile = raster_profile(values.shape, values.dtype.name, place, void)
        with file.open(driver="COG", **profile, **COG_OPTIONS) as target:
            target.write(values, 1)
            _write_colors(target, colors)
        return bytes(file.read())


def raster_profile(shape: Sequence[int], dtype: str, place: Georeference, void: int | None) -> dict[str, Any]:
    """Return what rasterio wants to know of a label map (height, width)."""
    profile = {"height": shape[0], "width": shape[1], "count": 1, "dtype": dtype, "nodata": void}
    if place.transform:
        profile["transform"] = _module("rasterio").Affine(*place.transform)
    return profile | {"crs": system(place.crs)}


def _write_colors(target: Any, colors: Mapping[int, Sequence[int]] | None) -> None:
    if colors is not None and np.dtype(target.dtypes[0]).itemsize <= 2:
        target.write_colormap(1, {number: (*color, 255) for number, color in colors.items()})


@contextlib.contextmanager
def large_cog(
    path: Path, profile: Mapping[str, Any], colors: Mapping[int, Sequence[int]] | None
) -> Iterator[Callable[[int, NDArray[Any]], None]]:
    """Write a GeoTIFF as `cog` makes it a few rows at a time, by way of a plain file beside it.

    Args:
        path: the file.
        profile: as `raster_profile` returns it.
        colors: colour of each number; None = no colour table.

    Yields:
        A function that takes the first row of a band, and its values (rows, width).
    """
    rasterio, errors = _module("rasterio"), _module("rasterio.errors")
    plain, block = path.with_name(path.name + ".plain"), _module("rasterio.windows").Window
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=CACHE):
            warnings.simplefilter("ignore", errors.NotGeoreferencedWarning)
            with rasterio.open(plain, "w", driver="GTiff", **profile, **PLAIN_OPTIONS) as target:
                _write_colors(target, colors)
                yield lambda row, values: target.write(values, 1, window=block(0, row, values.shape[1], len(values)))
            _module("rasterio.shutil").copy(plain, path, driver="COG", **COG_OPTIONS)
    except (OSError, errors.RasterioError, _module("rasterio._err").CPLE_BaseError) as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            plain.unlink()


def unwritable(path: Path, error: Exception) -> ArtifactError:
    """Return the error that says what cannot be written, and what to do."""
    return ArtifactError(
        f"{path}: cannot be written ({error}), so nothing is kept; fix this, or choose another folder with -o"
    )


def write_layer(
    path: Path,
    layer: str,
    columns: Mapping[str, NDArray[Any]],
    polygons: Sequence[bytes] | None = None,
    crs: str = "",
    options: Mapping[str, str] | None = None,
) -> None:
    """Add rows to a layer of a GeoPackage, which is made if it is not there.

    Args:
        path: the file.
        layer: name of the layer.
        columns: values by name, one for each row; NaN = unknown.
        polygons: of each row, as WKB; None = a table without a place.
        crs: coordinate system; "" or an unknown one = none.
        options: of a layer that is new, as GDAL has them.
    """
    found, errors = system(crs), _module("pyogrio.errors")
    settings = {
        "driver": "GPKG",
        "layer": layer,
        "geometry": None if polygons is None else np.array([*polygons, None], object)[:-1],
        "geometry_type": None if polygons is None else "Polygon",
        "field_data": list(columns.values()),
        "fields": np.array(list(columns), object),
        "crs": None if found is None else crs if crs.startswith("EPSG:") else found.to_wkt(),
        "append": path.exists(),
        "dataset_options": {"VERSION": PACKAGE_VERSION},
        "layer_options": dict(options or {}),
    }
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*crs.*", UserWarning)  # of a layer without a coordinate system
            _module("pyogrio.raw").write(str(path), **settings)
    except (errors.DataSourceError, errors.DataLayerError) as error:
        raise unwritable(path, error) from error
