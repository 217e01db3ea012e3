"""The Python interface on arrays: what the commands compute, for images that are in memory.

An image is an array (height, width) or (height, width, bands) of uint8, uint16, other whole numbers or floats, and is
read as the command reads a folder that holds just this image:

* uint8 is taken as it is. Of all other types the 1st and the 99th percentile of each band, over the valid pixels,
  become 0 and 255. Where floats from 0 to 1 mean what they say, give `(255 * image).astype(np.uint8)` instead.
* NaN and infinity are void.
* If it has 2 or 4 bands, the last one may be alpha (uint8 and uint16): it is dropped if constant, a mask of valid
  pixels if it holds only none and full, and else a band like the others.

Label maps come out as int32 (height, width) on the grid of the image, with -1 where a pixel is void. Every mistake is
an `unsegcli.UnsegError` of one line. What would be said on the command line goes to the logger `unseg`. What a function
needs is imported when it is called; only `load_model` loads torch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from unsegcli import console
from unsegcli.errors import ConfigError
from unsegcli.params import (
    LABEL_ROLES,
    MODEL,
    OBJECTS,
    Cluster,
    Evaluate,
    Iem,
    Images,
    Inputs,
    Superpixels,
    changed_options,
)

if TYPE_CHECKING:
    from unsegcli.dataflow.dataset import Window
    from unsegcli.images.in_memory import ArrayImage
    from unsegcli.images.working import Reading, Source
    from unsegcli.segmenters.trained import Trained

__all__ = ["Model", "ObjectMask", "cluster", "evaluate", "iem", "load_model", "superpixels"]

LabelMap = NDArray[np.int32]
Arrays = NDArray[Any] | Sequence[NDArray[Any]]  # one, or several; a stack along the first axis is several
Settings = TypeVar("Settings")

LARGEST_NUMBER = 65_535  # of a cluster
LARGEST_CLASS = 2**31 - 1


def superpixels(
    image: NDArray[Any], settings: Superpixels | None = None, *, valid: NDArray[Any] | None = None
) -> LabelMap:
    """Cut an image into superpixels: small connected pieces of about one colour.

    What `unseg superpixels` gives for the image. A good size is a quarter of the smallest thing that matters:
    `Superpixels(pixels_per_segment=...)`, or `Superpixels(segments=...)` for a number; `compactness` of 1 follows
    colours, 100 makes squares.

    Args:
        image: (height, width) or (height, width, bands).
        settings: what superpixels are wanted; `pixels` has no meaning here.
        valid: (height, width), not zero where pixels count. None = all of them.

    Returns:
        (height, width), numbered from 0 row by row; -1 where not valid.

    Example:
        >>> import numpy as np
        >>> from unsegcli import superpixels
        >>> from unsegcli.params import Superpixels
        >>> image = np.zeros((20, 40, 3), np.uint8)
        >>> image[:, 20:] = 255, 200, 0
        >>> regions = superpixels(image, Superpixels(segments=2))
        >>> regions.shape, int(regions.max()) + 1
        ((20, 40), 2)
    """
    from unsegcli.segmenters.cutting import check_superpixels, pieces_of

    _check_no_files("superpixels", image)
    settings = _given(settings, Superpixels)
    check_superpixels(settings)
    read, _ = _read(image, valid)
    pieces = pieces_of(read.pixels, read.valid, settings)
    if pieces.warning:
        console.warn(pieces.warning)
    return pieces.regions.astype(np.int32)


@dataclass(frozen=True)
class ObjectMask:
    """The result of `iem` for one image."""

    parts: LabelMap  # (height, width): 0 = background, then the parts; -1 = void
    objectness: NDArray[np.float64]  # (height, width), 0 to 1: how much a pixel looks like foreground; 0 where void
    confidence: float  # 0 to 1: how well foreground and background are told apart
    warning: str = ""  # what was wrong with the image, if anything

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The object as a boolean array (height, width): neither background nor void."""
        return self.parts > 0


def iem(
    image: NDArray[Any],
    settings: Iem | None = None,
    *,
    valid: NDArray[Any] | None = None,
    start: NDArray[Any] | None = None,
) -> ObjectMask:
    """Find the object of an image by inpainting error maximization, without training.

    What `unseg iem` gives for the image. It works at `Iem.size` (128 pixels along the shorter side), and the result is
    brought back to the grid of the image. What matters most is where it starts: `Iem(square=...)` should be about the
    size of your objects, as a share of the side of the image. The first call on a machine compiles for some seconds.

    Args:
        image: (height, width) or (height, width, bands).
        settings: of the method. `trace` is for files; `init` is square or superpixels.
        valid: (height, width), not zero where pixels count. None = all of them.
        start: (height, width), above zero in the first mask; instead of `init` and `square`.

    Example:
        >>> import numpy as np
        >>> from unsegcli import iem
        >>> noise = np.random.default_rng(0).integers(0, 60, (40, 40, 3))
        >>> image = noise.astype(np.uint8)
        >>> image[10:30, 10:30] += 150
        >>> found = iem(image)
        >>> found.mask.shape, bool(found.mask[20, 20]), bool(found.mask[2, 2])
        ((40, 40), True, False)
        >>> 0 <= found.confidence <= 1
        True
    """
    from unsegcli.core.geometry import sample_nearest
    from unsegcli.segmenters.inpainting import STARTS, check_iem, parted_window

    _check_no_files("iem", image)
    settings = _given(settings, Iem)
    check_iem(settings)
    if settings.trace is not None:
        raise ConfigError("Iem(trace=...): draws into a folder, and is for unsegcli.files.iem; leave it out")
    if settings.init not in STARTS:
        raise ConfigError(f"Iem(init={str(settings.init)!r}): is none of {', '.join(STARTS)}; give a mask as start=")
    if start is not None and settings.init != Iem.init:
        raise ConfigError("start= and Iem(init=...) both say how the mask begins: give one of them")
    read, _ = _read(image, valid, Images(size=settings.size))
    first = None if start is None else _FirstMask(_like_image(start, read.shape, "start") > 0)
    parted = parted_window(_window(read), settings, first)
    return ObjectMask(
        sample_nearest(parted.parts.astype(np.int32), read.shape),
        sample_nearest(parted.objectness, read.shape),
        parted.confidence,
        parted.warning,
    )


@dataclass(frozen=True)
class _FirstMask:
    mask: NDArray[np.bool_]  # (height, width) on the image's own grid

    def on(self, window: Window) -> NDArray[np.bool_]:
        from unsegcli.core.geometry import sample_nearest

        first: NDArray[np.bool_] = sample_nearest(self.mask, window.grid)[window.box.slices]
        return first


def cluster(
    images: Arrays,
    settings: Cluster | None = None,
    superpixels: Superpixels | Sequence[NDArray[Any]] | None = None,
) -> list[LabelMap]:
    """Cluster the pixels of several images together by k-means, without training.

    What `unseg superpixels` and `unseg cluster` give for these images in one folder: all are read alike, and a number
    means the same in all of them. Take a few more clusters than you expect classes, and merge later. For a trained
    model see `load_model`.

    Args:
        images: each (height, width) or (height, width, bands).
        settings: `Cluster(classes=..., seed=...)`; of those that are for k-means. With `features="bands"` the pixels
            that centres are fitted on are drawn by the content of the arrays, not of files, so that numbers and
            borders may differ a little from those of the command.
        superpixels: what superpixels are wanted, or one map (height, width) for each image, -1 = void.

    Returns:
        for each image (height, width), 0 to classes - 1; -1 where void.

    Example:
        >>> import numpy as np
        >>> from unsegcli import cluster
        >>> from unsegcli.params import Cluster, Superpixels
        >>> image = np.zeros((20, 40, 3), np.uint8)
        >>> image[:, 20:] = 255, 200, 0
        >>> first, second = cluster([image, image[:, ::-1]], Cluster(classes=2), Superpixels(segments=8))
        >>> first.shape, bool(first[0, 0] == second[0, -1] != first[0, -1])
        ((20, 40), True)
    """
    from unsegcli.dataflow.dataset import Dataset
    from unsegcli.images.in_memory import read_arrays
    from unsegcli.segmenters.baselines import assigned_to, check_settings, check_without_features, fit_centres

    _check_no_files("cluster", images)
    settings = _given(settings, Cluster)
    named = changed_options(settings, (MODEL, OBJECTS), ("confidence", "method"))
    if named:
        raise ConfigError(f"{', '.join(named)} is for a trained model: see load_model; leave it out")
    if settings.classes is None:
        settings = replace(settings, classes=settings.number)
    check_settings(settings)
    check_without_features(settings, "images")
    several = _several(images, axes=4)
    names = [f"image {number}" for number in range(len(several))]
    read, reading = read_arrays([(name, image, None) for name, image in zip(names, several, strict=True)], Images())
    regions: list[LabelMap | None] = [None] * len(read)
    if settings.features == "regions":
        regions = list(_regions(read, superpixels, names))
    elif superpixels is not None:
        raise ConfigError("superpixels do not go with Cluster(features='bands'): leave them out")
    units = tuple(_Unit(name, one, reading, some) for name, one, some in zip(names, read, regions, strict=True))
    fit = fit_centres(Dataset(inputs={}, hints={}, units=units, reading=reading, kind="superpixels"), settings, 1)
    return [_signed(assigned_to(unit.windows()[0], settings, fit)) for unit in units]


def _regions(
    read: Sequence[ArrayImage], superpixels: Superpixels | Sequence[NDArray[Any]] | None, names: Sequence[str]
) -> list[LabelMap]:
    """Return the superpixels of each image, computed or as given."""
    from unsegcli.core.superpixels.regions import contiguous
    from unsegcli.segmenters.cutting import check_superpixels, pieces_of

    if superpixels is None or isinstance(superpixels, Superpixels):
        wanted = superpixels or Superpixels()
        check_superpixels(wanted)
        return [pieces_of(one.pixels, one.valid, wanted).regions.astype(np.int32) for one in read]
    if len(superpixels) != len(read):
        raise ConfigError(f"superpixels: {len(superpixels)} maps for {len(read)} images: give one for each")
    return [
        contiguous(_like_image(given, one.shape, f"superpixels of {name}"), one.valid)
        for given, one, name in zip(superpixels, read, names, strict=True)
    ]


@dataclass(frozen=True)
class _Unit:
    """One image, with the interface of a unit of a `Dataset`."""

    name: str
    read: ArrayImage
    reading: Reading
    regions: LabelMap | None

    @property
    def source(self) -> Source:
        import hashlib

        from unsegcli.images.working import Source

        digest = hashlib.sha256(self.read.pixels.tobytes()).hexdigest()
        return Source(self.name, self.name, 0, digest, 0, 0, *self.read.shape, orientation=1, scaling=())

    @property
    def window_count(self) -> int:
        return 1

    @property
    def block(self) -> None:
        return None

    def in_windows(self) -> list[_Unit]:
        return [self]

    def windows(self) -> list[Window]:
        return [_window(self.read, self.regions, self.source.digest)]


def evaluate(
    prediction: Arrays,
    truth: Arrays,
    settings: Evaluate | None = None,
    *,
    ignore: Sequence[int] = (),
    clusters: int | None = None,
    classes: int | Sequence[str] | None = None,
    role: str = "",
) -> dict[str, Any]:
    """Score label maps against ground truth: one pair, or all pairs of a dataset together.

    What `unseg evaluate` gives for the same maps: one matrix over all images, one matching of clusters to classes
    (`Evaluate(matching=...)`), and intervals over images. Labels are used to score, and the result says so
    (`labels_used`).

    Args:
        prediction: a map (height, width), or several; whole numbers from 0, negative = void. Masks may be truth values.
        truth: as many, each in the shape of its prediction; classes from 0, not scored where negative or NaN.
        settings: the protocol; of the settings for files none has a meaning here.
        ignore: further values of the truth that are not scored, such as 255.
        clusters: how many there are, if some may be absent. None = up to the largest number.
        classes: how many there are, or their names. None = up to the largest number.
        role: what predictions hold. clusters (the default) are matched to classes; classes are not; of a mask 0 is
            background, and so is class 0 of the truth; superpixels are scored by their borders.

    Returns:
        `scores` (accuracy, miou, nmi, ari; iou and others of masks), `interval`, `chance`, `per_class`, `assignment`
        (the class of each cluster, -1 = none), `pixels`, `protocol` and more, as `unseg evaluate --json`; None where
        there is nothing to score.

    Example:
        >>> import numpy as np
        >>> from unsegcli import evaluate
        >>> truth = np.array([[0, 0, 1, 1], [0, 0, 1, 255]])
        >>> found = evaluate(1 - truth % 2, truth, ignore=[255])
        >>> found["scores"]["accuracy"], found["assignment"], found["labels_used"]
        (1.0, [1, 0], 'scoring')
    """
    from unsegcli.core.scoring import run_scores

    _check_no_files("evaluate", prediction)
    _check_no_files("evaluate", truth)
    settings = _given(settings, Evaluate)
    run_scores.check_evaluate(settings)
    role = role or settings.role or "clusters"
    if role not in LABEL_ROLES:
        raise ConfigError(f"role {role!r}: is not one of {', '.join(LABEL_ROLES)}")
    protocol = run_scores.protocol_for(settings, role, "prediction")
    unscored = sorted({*ignore, *settings.ignore, *protocol.ignore})
    pairs = _pairs(prediction, truth, unscored)
    matrix = None
    if role == "superpixels":
        result, _ = run_scores.scores_of_superpixels(
            (run_scores.bordered(found, [known], None, settings) for found, known in pairs), settings
        )
    elif role == "mask":
        result, _ = run_scores.scores_of_objects(
            (run_scores.judged(found, known, None, protocol) for found, known in pairs), protocol, settings
        )
    else:
        number = clusters or 1 + max(int(found.max(initial=0)) for found, _ in pairs)
        names = _class_names(classes, [known for _, known in pairs])
        if settings.background is not None and settings.background >= number:
            raise ConfigError(f"background {settings.background}: there are the clusters 0 to {number - 1} only")
        counted = (run_scores.counted(found, known, number, len(names), settings) for found, known in pairs)
        result, tally = run_scores.scores_of_clusters(counted, number, names, protocol, settings)
        matrix = tally.matrix
    scores: dict[str, Any] = run_scores.plain(
        {
            "version": run_scores.VERSION,
            "labels_used": "scoring",
            "role": role,
            "protocol": run_scores.described(protocol, settings, role, unscored, matrix),
            **result,
            "images": len(pairs),
        }
    )
    return scores


def _class_names(classes: int | Sequence[str] | None, truths: Sequence[LabelMap]) -> list[str]:
    if classes is not None and not isinstance(classes, int | np.integer):
        return [str(name) for name in classes]
    number = 1 + max(int(truth.max(initial=0)) for truth in truths) if classes is None else int(classes)
    return [str(one) for one in range(number)]


def _pairs(prediction: Arrays, truth: Arrays, unscored: Sequence[int]) -> list[tuple[LabelMap, LabelMap]]:
    """Convert predictions and truths to int32; -1 = void or not scored."""
    predictions, truths = (
        [one] if getattr(one, "ndim", 0) == 2 else _several(one, axes=3) for one in (prediction, truth)
    )
    if len(predictions) != len(truths):
        raise ConfigError(f"{len(predictions)} predictions and {len(truths)} truths: as many of each are wanted")
    pairs = []
    for number, (found, known) in enumerate(zip(predictions, truths, strict=True)):
        of = f" {number}" if len(predictions) > 1 else ""
        clusters = _label_map(found, f"prediction{of}", LARGEST_NUMBER)
        classes = _label_map(known, f"truth{of}", LARGEST_CLASS, unscored)
        if clusters.shape != classes.shape:
            raise ConfigError(
                f"prediction{of} is {_by(clusters.shape)}, but its truth {_by(classes.shape)}: bring both to one grid"
            )
        pairs.append((clusters, classes))
    return pairs


@dataclass(frozen=True)
class Model:
    """A trained model; see `load_model`."""

    _trained: Trained

    @property
    def classes(self) -> int:
        """Number of clusters; `segment` gives 0 to classes - 1."""
        return self._trained.classes

    @property
    def bands(self) -> int:
        """Number of bands that it needs. A model of 3 bands accepts grey images, too."""
        return self._trained.channels

    @property
    def method(self) -> str:
        """Name of the method that it was trained with."""
        return self._trained.method.name

    def __repr__(self) -> str:
        return f"Model(method={self.method!r}, classes={self.classes}, bands={self.bands})"

    @overload
    def segment(
        self,
        image: NDArray[Any],
        *,
        superpixels: NDArray[Any] | None = None,
        valid: NDArray[Any] | None = None,
        confidence: Literal[False] = False,
    ) -> LabelMap: ...

    @overload
    def segment(
        self,
        image: NDArray[Any],
        *,
        superpixels: NDArray[Any] | None = None,
        valid: NDArray[Any] | None = None,
        confidence: Literal[True],
    ) -> tuple[LabelMap, NDArray[np.float32]]: ...

    def segment(
        self,
        image: NDArray[Any],
        *,
        superpixels: NDArray[Any] | None = None,
        valid: NDArray[Any] | None = None,
        confidence: bool = False,
    ) -> LabelMap | tuple[LabelMap, NDArray[np.float32]]:
        """Compute the cluster of each pixel, like `unseg cluster model.h5` for this image.

        The image is scaled as the images were that the model learned from, and worked on at their size; the result is
        on the grid of the image.

        Args:
            image: (height, width, bands) or (height, width), of the bands and the type of values that it learned from.
            superpixels: (height, width), -1 = void: each gets one cluster as a whole. None = each pixel by itself.
            valid: (height, width), not zero where pixels count. None = all of them.
            confidence: give also how sure the model is of each pixel, 0 to 1.

        Returns:
            (height, width), -1 where void; with `confidence` a pair of that and (height, width) of float32.
        """
        from unsegcli.core.geometry import sample_nearest
        from unsegcli.core.superpixels.regions import contiguous
        from unsegcli.segmenters.network import applied_to

        trained = self._trained
        if trained.method.embeds:
            raise ConfigError(
                f"{self.method}: finds its clusters among the objects of many images: use unsegcli.files.cluster"
            )
        _check_no_files("cluster", image)
        read, _ = _read(image, valid, known=trained)
        regions = None
        if superpixels is not None:
            given = sample_nearest(_like_image(superpixels, read.shape, "superpixels"), read.grid)
            regions = contiguous(given, read.valid)
        level = "pixel" if regions is None else "superpixel"
        applied = applied_to(_window(read, regions), trained, Cluster(per=level))
        labels = sample_nearest(_signed(applied.labels), read.shape)
        return (labels, sample_nearest(applied.sure, read.shape)) if confidence else labels


def load_model(
    path: str | os.PathLike[str], *, method: str | os.PathLike[str] | None = None, device: str = "auto"
) -> Model:
    """Load a model that `unseg train` or `unsegcli.files.train` wrote. This loads torch.

    Args:
        path: such as model.h5.
        method: the file of the method again, if it is one of your own: a model never says what is to be run.
        device: auto (a graphics processor if there is one), cpu, cuda or mps.

    Example:
        >>> import numpy as np
        >>> from unsegcli import load_model
        >>> model = load_model("model.h5", device="cpu")
        >>> model.method, model.classes, model.bands
        ('iic', 4, 3)
        >>> model.segment(np.zeros((40, 60, 3), np.uint8)).shape
        (40, 60)
    """
    from unsegcli.segmenters.trained import open_trained

    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"load_model takes the path of a model, not {type(path).__name__}")
    trained = open_trained(os.fspath(path), None if method is None else os.fspath(method), device)
    if trained.vectors is not None:
        raise ConfigError(f"{path}: was trained on a file of features; apply it to one with unsegcli.files.cluster")
    reading = trained.reading
    if trained.scaling is None and reading.shares_scaling:
        console.warn(f"{path} does not say how its images were scaled: others are scaled by themselves")
    return Model(trained)


# What all of them need


def _given(settings: Settings | None, kind: type[Settings]) -> Settings:
    if settings is None:
        return kind()
    if not isinstance(settings, kind):
        raise ConfigError(f"settings are unsegcli.params.{kind.__name__}(...), not {type(settings).__name__}")
    return settings


def _check_no_files(name: str, value: Any) -> None:
    """Raise an error for inputs that are meant for the function of this name in `unsegcli.files`."""
    first = value[0] if isinstance(value, list | tuple) and value else value
    if isinstance(first, str | os.PathLike | Inputs):
        what = "Inputs" if isinstance(first, Inputs) else "paths"
        raise ConfigError(f"arrays are wanted here, not {what}: for files take unsegcli.files.{name}")


def _several(arrays: Any, axes: int) -> list[NDArray[Any]]:
    """Return a list of arrays from a list, or from a stack with this number of axes."""
    stack = isinstance(arrays, np.ndarray) and arrays.ndim == axes
    if not (stack or isinstance(arrays, list | tuple)) or not len(arrays):
        shape = f" of shape {arrays.shape}" if isinstance(arrays, np.ndarray) else ""
        raise ConfigError(f"a list of arrays is wanted, not {type(arrays).__name__}{shape}; give [image] for one")
    return list(arrays)


def _read(
    image: Any, valid: Any, params: Images | None = None, known: Trained | None = None
) -> tuple[ArrayImage, Reading]:
    from unsegcli.images.in_memory import read_arrays

    earlier = (None, None) if known is None else (known.reading, known.scaling)
    read, reading = read_arrays([("image", image, valid)], params or Images(), *earlier)
    return read[0], reading


def _window(read: ArrayImage, regions: LabelMap | None = None, key: str = "") -> Window:
    """Return the only window of an image; if it has superpixels, pixels outside of all of them are void."""
    from unsegcli.core.geometry import Box
    from unsegcli.dataflow.dataset import Window

    valid, stored = read.valid, None
    if regions is not None:
        inside = regions >= 0
        valid = None if inside.all() else inside
        stored = regions.astype(np.uint32)  # -1 wraps around to the maximum, which is void
    return Window(Box(0, 0, *read.grid), read.grid, read.pixels, valid, key, "image", stored)


def _signed(labels: NDArray[Any]) -> LabelMap:
    """Convert a label map with the maximum of its type as void to one with -1."""
    return np.where(labels == np.iinfo(labels.dtype).max, -1, labels.astype(np.int32))


def _like_image(value: Any, shape: tuple[int, int], name: str) -> LabelMap:
    values = _label_map(value, name, LARGEST_CLASS)
    if values.shape != shape:
        raise ConfigError(f"{name}: has {_by(values.shape)} pixels, but the image has {_by(shape)}")
    return values


def _label_map(value: Any, name: str, largest: int, void: Sequence[int] = ()) -> LabelMap:
    """Convert a map (height, width) to int32; -1 where it is negative, NaN, or one of `void`."""
    values = np.asarray(value)
    if values.ndim != 2 or not values.size:
        raise ConfigError(f"{name}: an array of shape {values.shape}, but a map (height, width) is wanted")
    if values.dtype.kind not in "buif":
        raise ConfigError(f"{name}: holds {values.dtype}, but whole numbers are wanted")
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), -1, values)
        if not (values == np.floor(values)).all():
            raise ConfigError(f"{name}: holds fractions, but whole numbers are wanted")
    outside = (values < 0) | np.isin(values, list(void))
    most = values.max(initial=0, where=~outside)
    if most > largest:
        raise ConfigError(f"{name}: holds the number {most}, above {largest}: number from 0")
    return np.where(outside, 0, values).astype(np.int32) - outside.astype(np.int32)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
