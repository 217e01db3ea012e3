"""The settings of each stage: their names, their defaults, and what `--help` says of them, each once.

Standard library only, so that the command line can be built from this page without importing anything heavy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

AUTO = "auto"  # as the number of clusters: chosen before they are made, without labels
DEFAULT_CLASSES = 8  # clusters, where neither the user nor a model says how many
DEVICES = ("auto", "cpu", "cuda", "mps")
LABEL_ROLES = ("clusters", "classes", "mask", "superpixels")
# What each stage writes where the user names no output.
OUTPUTS = {
    "superpixels": "superpixels.h5",
    "train": "model.h5",
    "cluster": "segmentation.h5",
    "iem": "segmentation.h5",
    "proposals": "proposals.h5",
    "evaluate": "metrics.h5",
    "relabel": "relabelled.h5",
    "visualize": "visualization",
    "demo": "unseg-demo",
}

READING, RUNNING = "How images are read", "Running"
METHOD, LENGTH, TRAINING = "Method", "Length", "Training"
SUPERPIXELS, MASKS, PROTOCOL, EXPORT = "Superpixels", "Masks", "Protocol", "Export"
K_MEANS, MODEL = "Without a model: k-means", "With a model"
OBJECTS = "With a model of maskcontrast: objects are found, and then grouped"


@dataclass(frozen=True)
class Option:
    """What the command line says of a setting, and how text becomes its value."""

    help: str
    panel: str = ""  # heading in `--help`
    flag: str = ""  # spelling, if it is not the name of the setting; `--on/--off` for a switch with two words
    short: str = ""  # one letter
    metavar: str = ""  # stands for the value in `--help`
    form: str = ""  # how text becomes a value, if the type does not tell: one of FORMS in cli/_forms.py
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    shown: str = ""  # the default in words, where the value itself says nothing; - = say nothing
    instead_of: str = ""  # the setting that says the same in another way: only one of the two may be typed
    recorded: bool = True  # whether the result depends on it, so that it belongs into the recipe


def option(default: Any, help: str | Option, **more: Any) -> Any:
    """A setting that is also an option of the command line."""
    described = help if isinstance(help, Option) else Option(help, **more)
    return field(default=default, metadata={"option": described})


# What recipes call some settings and values: the names that they had in the first version.
STORED_NAMES = {"max_classes": "most_classes"}
STORED_VALUES = {("scaling", "image"): "picture", ("objects", "image"): "picture", ("features", "bands"): "rgb"}


def as_stored(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as recipes call them, so that an output of an earlier version is still up to date."""
    return {
        STORED_NAMES.get(name, name): STORED_VALUES.get((name, value), value) if isinstance(value, str) else value
        for name, value in settings.items()
    }


def recorded(settings: Any) -> dict[str, Any]:
    """The settings that a result depends on, by name, for its recipe."""
    apart = {one.name for one in fields(settings) if "option" in one.metadata and not one.metadata["option"].recorded}
    return as_stored({name: value for name, value in asdict(settings).items() if name not in apart})


def changed_options(settings: Any, panels: Collection[str], names: Collection[str] = ()) -> list[str]:
    """The options of these panels, and of these names, that are not at their defaults; as typed."""
    asked = [
        one.name
        for one in fields(settings)
        if one.name in names or ("option" in one.metadata and one.metadata["option"].panel in panels)
    ]
    changed = [name for name in asked if getattr(settings, name) != getattr(type(settings), name)]
    return [f"--{name.replace('_', '-')}" for name in changed]


# Options that several commands have, with one meaning.
SEED = Option("The same seed gives the same result.", metavar="N", least=0)
CLASSES = Option(
    "Number of clusters. A few more than the classes you expect keeps them apart; clusters can be merged later. "
    "auto = the number at which superpixels, or pixels, group most alike when it is done again.",
    metavar="N|auto",
    form="count or auto",
    shown=str(DEFAULT_CLASSES),
)
MAX_CLASSES = Option("The largest number of clusters that --classes auto tries.", metavar="N", least=2)
LEARNING_METHOD = Option(
    "The learning method: inmars (the default), infoseg, iic, maskcontrast or segnet (both need --proposals); or a "
    "Python file of your own, see docs/methods.md. cluster: that file again, for a model that it made.",
    metavar="NAME|FILE.py",
    shown="-",
    recorded=False,
)
PRESET = Option(
    "Settings by name, such as those of a published result; other options win over them. A wrong name lists the right "
    "ones.",
    metavar="NAME",
    shown="-",
    recorded=False,
)
CONFIDENCE = Option(
    "Also store for each pixel, 0 to 1, how much it looks like foreground (iem, proposals), or how sure the model is "
    "of its cluster (cluster)."
)
SIZE = Option(
    "Work on images whose shorter side is N pixels, or that are H x W. Results can still be painted back on the "
    "original grid. Default: as they are; 128 for iem, 300 for proposals.",
    panel=READING,
    metavar="N|HxW",
    form="size",
    shown="-",
    instead_of="scale",
)
LABELS = Option(
    "Ground truth: PNG, TIFF, NPY or .mat files named like the images. Default: labels/ beside them.",
    metavar="FOLDER",
    shown="-",
    recorded=False,
)
LEGEND = Option(
    "TOML file with class names, colours and merges. evaluate and visualize find classes.toml beside the images by "
    "themselves.",
    metavar="FILE",
    shown="-",
    recorded=False,
)
METRICS = Option(
    "What `unseg evaluate` wrote for this segmentation: clusters get the names of their classes.",
    metavar="FILE",
    shown="-",
    recorded=False,
)
ROLE = Option(
    "What the numbers in a folder of label maps mean. classes: class numbers in the legend's order, not matched. "
    "mask: 0 is background. HDF5 files say it themselves.",
    choices=LABEL_ROLES,
    shown="clusters",
    recorded=False,
)


@dataclass(frozen=True)
class Images:
    """How image files become working pixels; part of every stage that reads images."""

    axes: str = option(
        AUTO,
        "Order of the axes of TIFF and NPY arrays: y and x, c for bands, p for pages (each page is an image of its "
        "own), such as cyx or pyx. auto = as the file says, else the smaller of first and last is c.",
        panel=READING,
        metavar="LETTERS",
    )
    bands: tuple[int, ...] = option(
        (),
        "Bands to take, counted from 1, in this order, such as 4,1,2. Default: all of them.",
        panel=READING,
        metavar="N,N,...",
        form="numbers",
        shown="-",
    )
    alpha: str = option(
        AUTO,
        "What the last of 2 or 4 bands is. auto looks at the whole folder: constant = dropped, only none and full = "
        "mask of valid pixels, anything else = a band like the others (near infrared, say).",
        panel=READING,
        choices=(AUTO, "drop", "mask", "band"),
    )
    nodata: float | None = option(
        None,
        "Pixels with this value in all bands are void. Default: what a GeoTIFF itself declares.",
        panel=READING,
        metavar="VALUE",
        form="value or nan",
        shown="-",
    )
    percentiles: tuple[float, float] = option(
        (1.0, 99.0),
        "For more than 8 bits: the percentiles of each band that become black and white. Wider keeps highlights, "
        "narrower raises contrast.",
        panel=READING,
        metavar="LOW,HIGH",
        form="percentiles",
    )
    scaling: str = option(
        "folder",
        "Take those percentiles over the whole folder (images stay comparable), or for each image alone (exposure "
        "differs without meaning).",
        panel=READING,
        choices=("folder", "image"),
    )
    size: tuple[int, ...] = option((), SIZE)
    scale: float = option(1.0, "Work on images FACTOR times as large.", panel=READING, metavar="FACTOR")
    patch: int = option(
        0, "Cut large images into windows of N x N pixels. 0 = do not cut.", panel=READING, metavar="N", least=0
    )
    stride: int = option(
        0,
        "Distance between windows; below --patch they overlap. 0 = the same as --patch.",
        panel=READING,
        metavar="N",
        least=0,
    )
    max_pixels: int = option(
        200_000_000, "Refuse images of more pixels, before they are decoded.", panel=READING, metavar="N", least=1
    )


@dataclass(frozen=True)
class Inputs:
    """What a stage reads: paths, how images are read, and which of them."""

    paths: Sequence[str | Path]  # folders, files, globs, lists of images; or artifacts. One path needs no list
    images: Images = field(default_factory=Images)
    mask: str | Path | None = option(
        None,
        "Folder of masks named like the images; pixels that are zero there are void.",
        panel=READING,
        metavar="FOLDER",
        shown="-",
    )
    source_folder: str | Path | None = option(
        None,
        "Where the images lie now, if not where the file says: they are found by content. For a folder of label maps: "
        "its images, found by name.",
        flag="--images",
        panel=RUNNING,
        metavar="FOLDER",
        shown="-",
    )
    limit: int | None = option(
        None,
        "Take the first N images only: for a quick try.",
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
    """How a stage runs; its result does not depend on it."""

    # Empty = the name that OUTPUTS has for the stage.
    output: str | Path = option("", "The folder to write.", flag="--output", short="-o", metavar="FILE")
    workers: int = option(
        0,
        "Processes; the result is the same for any number. 0 = one for each processor. Fewer need less memory.",
        panel=RUNNING,
        metavar="N",
        least=0,
    )
    device: str = option(
        AUTO,
        "Where a network runs. auto = a graphics processor if there is one.",
        panel=RUNNING,
        choices=DEVICES,
    )
    force: bool = option(
        False, "Replace an output that holds a model, or a file that unseg did not make.", panel=RUNNING
    )
    dry_run: bool = option(
        False, "Write nothing; say what would be done, with an estimate of time, memory and disk.", panel=RUNNING
    )

    def of(self, stage: str) -> Run:
        """With the output that the stage has where none is named."""
        return self if self.output else replace(self, output=OUTPUTS[stage])


@dataclass(frozen=True)
class Terminal:
    """How a command speaks, and whether what it left out makes it fail."""

    skip_bad: bool = option(False, "Exit with 0 although images that cannot be read were left out.", panel=RUNNING)
    quiet: bool = option(False, "No notes and no bar; warnings and errors stay.", short="-q", panel=RUNNING)
    verbose: bool = option(False, "Say more about each step.", short="-v", panel=RUNNING)
    json: bool = option(False, "Print JSON instead of a table.")


@dataclass(frozen=True)
class Superpixels:
    """Settings of `unseg superpixels`."""

    algorithm: str = option(
        "slic",
        "slic: even pieces of about one size. felzenszwalb: pieces as large as the image is plain.",
        panel=SUPERPIXELS,
        choices=("slic", "felzenszwalb"),
    )
    segments: int = option(
        0,
        "Superpixels aimed at in each image (or window). More follow finer outlines, and cost more in later steps; "
        "instead of --pixels-per-segment.",
        panel=SUPERPIXELS,
        metavar="N",
        least=1,
        shown="-",
        instead_of="pixels_per_segment",
    )
    pixels_per_segment: int = option(
        200,
        "Mean size of a superpixel in pixels: the choice for images of different sizes. Take a quarter of the "
        "smallest thing that matters.",
        panel=SUPERPIXELS,
        metavar="N",
        least=1,
    )
    compactness: float = option(
        10.0,
        "slic: 1 follows colour, 100 makes squares; search in steps of three.",
        panel=SUPERPIXELS,
        metavar="X",
    )
    pixels: bool = option(
        True,
        "Store the working pixels too, so that the file is complete; without them it is smaller and needs the images "
        "later.",
        panel=SUPERPIXELS,
        flag="--pixels/--no-pixels",
    )


@dataclass(frozen=True)
class Train:
    """Settings of `unseg train`; those of a method itself are in its Config."""

    method: str = option("inmars", LEARNING_METHOD)
    classes: int | str | None = option(None, CLASSES)  # None = as the method's settings say; auto = by stability
    max_classes: int = option(12, MAX_CLASSES)
    preset: str | None = option(None, PRESET)
    config: str | Path | None = option(
        None,
        "TOML file with settings of the method; they win over those of a preset.",
        panel=METHOD,
        metavar="FILE",
        shown="-",
        recorded=False,
    )
    sets: Sequence[str] = option(
        (),
        "One setting of the method, such as learning_rate=0.0003; may be given several times. A wrong name lists the "
        "right ones.",
        flag="--set",
        panel=METHOD,
        metavar="KEY=VALUE",
        form="several",
        shown="-",
        recorded=False,
    )
    weights: str | Path = option(
        "none",
        "What the network begins with, for methods that can: none (random); imagenet, weights of torchvision, which "
        "are downloaded; or a file that torch has saved, such as one of MoCo or DINO.",
        panel=METHOD,
        metavar="none|imagenet|FILE",
        recorded=False,
    )
    proposals: str | Path | None = option(
        None,
        "Object masks of these images, as `unseg iem` and `unseg proposals` write them: for methods that learn from "
        "such.",
        panel=METHOD,
        metavar="FILE",
        shown="-",
        recorded=False,
    )
    min_confidence: float = option(
        0.0,
        "Leave out images whose mask in --proposals has a lower confidence.",
        panel=METHOD,
        metavar="X",
        least=0,
        most=1,
    )
    epochs: float | None = option(
        None, "Length as passes over all images.", panel=LENGTH, metavar="N", shown="by method"
    )
    steps: int | None = option(None, "Length as changes of the weights.", panel=LENGTH, metavar="N", least=1, shown="-")
    minutes: float | None = option(
        None,
        "Length by the clock: some steps are timed, and then their number is fixed.",
        panel=LENGTH,
        metavar="N",
        shown="-",
    )
    seed: int = option(0, SEED)
    seeds: int = option(
        1,
        "Train N models, from --seed on; each output has its seed in its name.",
        panel=TRAINING,
        metavar="N",
        least=1,
        recorded=False,
    )
    restarts: int = option(
        1,
        "Train N models, from --seed on, and keep the one that looks best without labels.",
        panel=TRAINING,
        metavar="N",
        least=1,
    )
    precision: str = option(
        "float32",
        "Numbers that the network works with: the same on every machine. auto = bf16 where the processor has units "
        "for it, which is about twice as quick; else float32.",
        panel=TRAINING,
        choices=(AUTO, "float32", "bf16", "fp16"),
    )
    compile: bool = option(False, "Compile the network first: for hours on a GPU.", panel=TRAINING)
    keep_every: int = option(
        0,
        "Also keep the model after every N steps, with the step in its name. 0 = the last one only.",
        panel=TRAINING,
        metavar="N",
        least=0,
    )
    memory: float = option(
        4.0,
        "Images to hold in memory; what is beyond lies in a file beside the output.",
        panel=TRAINING,
        metavar="GB",
        least=0,
        recorded=False,
    )
    checkpoint_minutes: float = option(
        3.0,
        "Time between two checkpoints, from which a killed training goes on.",
        panel=TRAINING,
        metavar="N",
        least=0,
        recorded=False,
    )


@dataclass(frozen=True)
class Cluster:
    """Settings of `unseg cluster`: by k-means, by a trained model, or by one whose clusters are found afterwards."""

    classes: int | str | None = option(None, CLASSES)  # None = as a model says, else DEFAULT_CLASSES
    max_classes: int = option(12, MAX_CLASSES)
    features: str = option(
        "regions",
        "regions: colour, texture and position of superpixels. bands: the bands of blurred pixels, the floor that a "
        "learned method must beat; works on images directly, and is the choice for grey ones.",
        panel=K_MEANS,
        choices=("regions", "bands"),
    )
    blur: float = option(
        2.0,
        "bands: Gaussian blur in pixels. More gives smoother maps and loses small things.",
        panel=K_MEANS,
        metavar="SIGMA",
        least=0,
    )
    samples: int = option(
        300,
        "bands: pixels drawn from each image to fit the centres. More than a few hundred change little.",
        panel=K_MEANS,
        metavar="N",
        least=1,
    )
    starts: int = option(
        3,
        "Runs of k-means from different seeds; the one of the lowest inertia is kept.",
        panel=K_MEANS,
        metavar="N",
        least=1,
    )
    iterations: int = 100  # at most, of Lloyd's algorithm in each run
    seed: int = option(0, SEED)
    per: str = option(
        "",
        "What gets one cluster as a whole: each pixel, or each superpixel by its mean scores. Default: superpixel if "
        "the input has superpixels, else pixel.",
        panel=MODEL,
        choices=("pixel", "superpixel"),
        shown="-",
    )
    flips: bool = option(
        False,
        "Mean of the scores of the image and of its mirror image: a little better, at twice the time.",
        panel=MODEL,
    )
    refine: bool = option(
        False,
        "Let the scores follow the edges of the image (a guided filter, any number of bands).",
        panel=MODEL,
    )
    tile: int = option(
        512,
        "Larger images go through the network in overlapping tiles of N x N pixels. Less needs less memory.",
        panel=MODEL,
        metavar="N",
        least=64,
    )
    objects: str = option(
        "image",
        "What gets one cluster as a whole: all that is object in an image, or each connected part of it.",
        panel=OBJECTS,
        choices=("image", "component"),
    )
    threshold: float = option(
        0.5,
        "Probability above which a pixel is object. Published: 0.6225, a logit of 0.5.",
        panel=OBJECTS,
        metavar="X",
    )
    pooling: str = option(
        "mean",
        "The vector of an object: mean, of its pixels' directions; logit, of their vectors weighted by how much they "
        "look like an object, as published.",
        panel=OBJECTS,
        choices=("mean", "logit"),
    )
    confidence: bool = option(False, CONFIDENCE)
    method: str | Path | None = option(None, LEARNING_METHOD)

    @property
    def number(self) -> int:
        """How many clusters, where that is not to be found out."""
        return self.classes if isinstance(self.classes, int) else DEFAULT_CLASSES


@dataclass(frozen=True)
class Iem:
    """Settings of `unseg iem`; the defaults are those of the published program. Lengths are in working pixels."""

    size: tuple[int, ...] = option((128,), SIZE)
    iterations: int = option(
        150,
        "Steps, each of which moves the mask's outline by a pixel at most. 0 = the first mask itself.",
        panel=MASKS,
        metavar="N",
        least=0,
    )
    sigma: float = option(
        5.0,
        "Width of the Gaussian that fills in. Wider sees coarser structure; search from 2 to 8.",
        panel=MASKS,
        metavar="PIXELS",
    )
    kernel: int = option(11, "Taps of that Gaussian along each axis, an odd number.", panel=MASKS, metavar="N", least=1)
    repeats: int = option(2, "Times that the Gaussian is applied.", panel=MASKS, metavar="N", least=1)
    scale_factor: int = option(
        1,
        "Fill in on pixels N times as large. Take a smaller --sigma and --kernel with it.",
        panel=MASKS,
        metavar="N",
        least=1,
    )
    diversity: float = option(
        1e-3,
        "Weight of uniform colours within each side (the paper's lambda, for 128 x 128 pixels of 3 bands); search in "
        "steps of two. 0 = the error of filling in alone, 1000 = colours alone.",
        panel=MASKS,
        metavar="WEIGHT",
    )
    init: str = option(
        "square",
        "The first mask. superpixels: those that lie mostly in the square. FILE: masks made before, an HDF5 file or a "
        "folder of images named like yours, 0 = background.",
        panel=MASKS,
        metavar="square|superpixels|FILE",
    )
    square: float = option(
        78 / 128,
        "Side of the centred square that the mask starts as, as a share of the image's. It matters most: take about "
        "the size of your objects.",
        panel=MASKS,
        metavar="SHARE",
        shown="0.609",
    )
    crop: bool = option(
        False,
        "Work on the centred square of each image only, as the paper does; the rest is void.",
        panel=MASKS,
    )
    smooth: bool = option(
        True,
        "After each step drop foreground pixels that stand alone, and fill small holes.",
        panel=MASKS,
        flag="--smooth/--no-smooth",
    )
    update: str = option(
        "contour",
        "Which pixels may change in a step: those at the mask's outline and the image's border, or all.",
        panel=MASKS,
        choices=("contour", "all"),
    )
    parts: int = option(
        2,
        "Number of parts. Above 2 the part with the most varied colours is parted again; parts are numbered for each "
        "image by itself.",
        panel=MASKS,
        metavar="K",
        least=2,
    )
    confidence: bool = option(False, CONFIDENCE)
    trace: str | Path | None = option(
        None,
        "Also draw how each mask came about: one PNG file an image.",
        panel=MASKS,
        metavar="FOLDER",
        shown="-",
        recorded=False,
    )


@dataclass(frozen=True)
class Proposals:
    """Settings of `unseg proposals`."""

    cue: str = option(
        "consensus",
        "What makes an object: rbd, unlike what holds on to the border; mr, unlike the four sides; iem, what cannot "
        "be filled in; or consensus, the vote of the three.",
        panel=MASKS,
        choices=("rbd", "mr", "iem", "consensus"),
    )
    masks: str | Path | None = option(
        None,
        "Instead of a cue: masks of objects that another tool made, one file named like each image, 0 = background, "
        "1 or 255 = object.",
        panel=MASKS,
        metavar="FOLDER",
        shown="-",
        instead_of="cue",
        recorded=False,
    )
    size: tuple[int, ...] | None = option(None, SIZE)  # None = `working_size`
    clean: bool | None = option(
        None,
        "Fill holes, drop small pieces, and refuse masks of a senseless area.",
        panel=MASKS,
        flag="--clean/--no-clean",
        shown="clean, but not with --masks",
    )
    smallest: float = option(
        0.01,
        "Pieces of a mask below this share of the image are dropped. Take less for many small objects.",
        panel=MASKS,
        metavar="SHARE",
    )
    area: tuple[float, float] = option(
        (0.01, 0.99),
        "A mask with a smaller or a larger share of the image is no object: it becomes empty.",
        panel=MASKS,
        metavar="LOW,HIGH",
        form="shares",
    )
    confidence: bool = option(False, CONFIDENCE)

    @property
    def working_size(self) -> tuple[int, ...]:
        """The size asked for, else that for which the cue's constants are meant."""
        return self.size if self.size is not None else Iem().size if self.cue == "iem" else (300,)


@dataclass(frozen=True)
class Evaluate:
    """Settings of `unseg evaluate`."""

    matching: str = option(
        "one-to-one",
        "Give each class to one cluster at most, which is what papers report; or give every cluster its best class, "
        "which rises with the number of clusters.",
        flag="--hungarian/--many-to-one",
        panel=PROTOCOL,
        form="one-to-one many-to-one",
    )
    match_by: str = option(
        "count", "What the matching maximises: pixels, or mean IoU.", panel=PROTOCOL, choices=("count", "iou")
    )
    per_image: bool = option(
        False,
        "Print too what matching each image by itself would give: an oracle that forgives inconsistent clusters, "
        "shown apart.",
        panel=PROTOCOL,
    )
    ceiling: bool = option(
        False,
        "Print too what these segments allow at best: each one, as a whole, with the class that it has most of. An "
        "oracle, shown apart.",
        panel=PROTOCOL,
    )
    background: int | None = option(
        None,
        "--ceiling: the cluster that is no object; it keeps the class it was matched to.",
        panel=PROTOCOL,
        metavar="CLUSTER",
        least=0,
        shown="-",
    )
    ignore: tuple[int, ...] = option(
        (),
        "Label value that is not scored, such as 255; may be given several times. A legend may list them too.",
        panel=PROTOCOL,
        metavar="VALUE",
        form="several numbers",
        shown="-",
    )
    protocol: str = option(
        "",
        "Match and average as this published code does; what it cannot reproduce is listed in the output. Take it to "
        "compare with that paper only.",
        panel=PROTOCOL,
        choices=("iic", "picie", "stego", "iem", "maskcontrast"),
        shown="-",
    )
    polarity: str = option(
        "given",
        "Object masks: as they are, or the better of mask and inverse in each image, an oracle that some papers use.",
        panel=PROTOCOL,
        choices=("given", "best-of-two"),
    )
    grid: str = option(
        "source",
        "Score every labelled pixel once; or on the smaller working grid, as papers do.",
        panel=PROTOCOL,
        choices=("source", "working"),
    )
    tolerance: int | None = option(
        None,
        "Superpixels: pixels by which a border may be missed in boundary recall.",
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
class Relabel:
    """Settings of `unseg relabel`."""

    rules: Sequence[str] = ()  # such as 3=water and 1+4=roof
    legend: str | Path | None = option(None, LEGEND)
    metrics: str | Path | None = option(None, METRICS)
    like: str | Path | None = option(
        None,
        "Keep the numbers and names of an older segmentation of the same images, where clusters overlap.",
        metavar="FILE",
        shown="-",
        recorded=False,
    )


@dataclass(frozen=True)
class Inspect:
    """Settings of `unseg inspect`."""

    verify: bool = option(False, "Read every value and check every invariant; exit with 1 if one is broken.")


@dataclass(frozen=True)
class Demo:
    """Settings of `unseg demo`."""

    mosaics: int = option(60, "Mosaics to make. More take longer and say more.", metavar="N", least=2)
    side: int = 160  # of a mosaic, in pixels
    seed: int = 0  # of all random draws


@dataclass(frozen=True)
class Visualize:
    """Settings of `unseg visualize`."""

    export: str = option(
        "",
        "Instead of panels: label maps as plain grey files on the grid of each image as shown, or a table with the "
        "area of each category in each image.",
        panel=EXPORT,
        choices=("labels", "csv"),
        shown="-",
    )
    format: str = option(
        "png", "Of exported label maps. tiff also holds more numbers.", panel=EXPORT, choices=("png", "tiff")
    )
    truth: bool = option(
        True, "Leave ground truth out, even where it lies beside the images.", flag="--no-labels"
    )  # shown where it is found; panels only
    labels: str | Path | None = option(None, LABELS, instead_of="truth")
    legend: str | Path | None = option(None, LEGEND)
    metrics: str | Path | None = option(None, METRICS)
    role: str = option("", ROLE)
