"""The settings of each stage, one frozen dataclass each: the only home of stage defaults.

Standard library only, so that the command line can read the defaults without importing anything heavy.
"""

from __future__ import annotations

from dataclasses import dataclass

AUTO = "auto"  # as the number of clusters: chosen before they are made, without labels


@dataclass(frozen=True)
class Pictures:
    """How picture files become working pixels; part of every stage that reads pictures."""

    axes: str = "auto"  # letters of y x c p (p: pages), in the order of the array's axes; or auto
    bands: tuple[int, ...] = ()  # 1-based bands to take, in this order; () = all
    alpha: str = "auto"  # what a fourth (or second) band of an RGBA-like file is: auto drop mask band
    nodata: float | None = None  # a pixel whose bands all have this value is not valid
    percentiles: tuple[float, float] = (1.0, 99.0)  # of each band, mapped to 0..255; not for 8-bit pictures
    scaling: str = "folder"  # percentiles over the whole folder, or for each picture alone: folder picture
    size: tuple[int, ...] = ()  # (shorter side,) or (height, width) of the working picture; () = as it is
    scale: float = 1.0  # factor on both sides of the picture; not together with size
    patch: int = 0  # cut working pictures into squares of this side; 0 = whole pictures
    stride: int = 0  # distance between patches; 0 = the patch itself (no overlap)
    max_pixels: int = 200_000_000  # larger pictures are refused before they are decoded


@dataclass(frozen=True)
class Superpixels:
    """Settings of `unseg superpixels`."""

    algorithm: str = "slic"  # slic felzenszwalb
    segments: int = 0  # superpixels aimed at in each window; 0 = by pixels_per_segment
    pixels_per_segment: int = 200  # mean area aimed at
    compactness: float = 10.0  # slic: 1 follows colour, 100 makes squares; search in steps of three
    pixels: bool = True  # store the working pixels beside the superpixels


@dataclass(frozen=True)
class Train:
    """Settings of `unseg train` that are not the method's own; those are in its Config."""

    classes: int | str | None = None  # number of clusters; None = as the method's settings say; auto = by stability
    most_classes: int = 12  # auto: the largest number that is tried
    steps: int | None = None  # length of the training; None = by epochs
    epochs: float | None = None  # passes over all pictures; None = as the method's settings say
    minutes: float | None = None  # length by the clock: the number of steps is fixed after a few that are timed
    seed: int = 0  # of the weights at the start, of order, crops and every other chance
    precision: str = "float32"  # of the network's work: float32 bf16 fp16; auto = bf16 where there are units for it
    compile: bool = False  # let torch compile the network: rounds in another order
    min_confidence: float = 0.0  # of a picture's proposal, from 0 to 1; pictures below it are left out
    keep_every: int = 0  # also keep the model after every so many steps; 0 = the last one only
    restarts: int = 1  # trainings from seeds that follow each other, of which the best one by label-free signs is kept


@dataclass(frozen=True)
class Cluster:
    """Settings of `unseg cluster` for the k-means baselines."""

    classes: int | str = 8  # number of clusters; auto = by stability, which is measured first
    most_classes: int = 12  # auto: the largest number that is tried
    features: str = "regions"  # regions (colour, texture and position) or rgb (bands of blurred pixels)
    blur: float = 2.0  # rgb: standard deviation of the Gaussian, in working pixels
    samples: int = 300  # rgb: pixels drawn from each window to fit the centres
    starts: int = 3  # k-means runs; the one of the lowest inertia is kept
    iterations: int = 100  # at most, of Lloyd's algorithm in each run
    seed: int = 0  # of all random draws


@dataclass(frozen=True)
class Learned:
    """Settings of `unseg cluster` for a trained model: how its scores become a map."""

    per: str = ""  # what has one cluster: pixel, superpixel; "" = superpixel where the input has them
    flips: bool = False  # take the mean over the picture and its mirror image
    refine: bool = False  # let the scores follow the edges of the picture
    tile: int = 512  # larger pictures are taken in overlapping tiles of this side
    confidence: bool = False  # also store the largest score of each pixel


@dataclass(frozen=True)
class Objects:
    """Settings of `unseg cluster` for a trained model whose clusters are found afterwards, among objects."""

    objects: str = "picture"  # what gets one cluster: all that is object in a picture, or each component of it
    threshold: float = 0.5  # probability from which on a pixel is object; published: 0.6225 (a logit of 0.5)
    pooling: str = "mean"  # a vector for an object: mean of its pixels' directions; or logit, weighted, as published


@dataclass(frozen=True)
class Iem:
    """Settings of `unseg iem`; the defaults are those of the published program. Lengths are in working pixels."""

    size: tuple[int, ...] = (128,)  # (shorter side,) or (height, width) of the picture that is worked on; () = as it is
    iterations: int = 150  # each moves the contour by a pixel at most
    sigma: float = 5.0  # standard deviation of the Gaussian that fills in; search from 2 to 8
    kernel: int = 11  # taps of that Gaussian along each axis, odd
    repeats: int = 2  # times that it is applied
    scale_factor: int = 1  # fill in on pixels so many times as large (means of squares); quicker elsewhere, not here
    diversity: float = 1e-3  # lambda, for 128 x 128 pixels of 3 bands; 0 = errors alone, 1000 = colours alone
    init: str = "square"  # the first mask: square, superpixels (those mostly in the square), or a file of masks
    square: float = 78 / 128  # side of the centred square as a share of the picture's; about that of the object
    crop: bool = False  # work on the centred square of the picture only, as the paper does
    smooth: bool = True  # after each step, keep foreground only where 4 of the 9 pixels around are
    update: str = "contour"  # which pixels may change in a step: contour all
    parts: int = 2  # 2 = foreground and background; more = the least uniform part is parted again
    confidence: bool = False  # also store how much each pixel looks like foreground


@dataclass(frozen=True)
class Proposals:
    """Settings of `unseg proposals`."""

    method: str = "consensus"  # rbd mr iem, or consensus, which is the vote of the three
    size: tuple[int, ...] | None = None  # of the picture that is worked on, as in Iem; None = `working_size`
    clean: bool | None = None  # tidy masks, and refuse those of a senseless area; None = unless made elsewhere
    smallest: float = 0.01  # pieces of a mask below this share of the picture are dropped
    area: tuple[float, float] = (0.01, 0.99)  # shares of the picture; below or above, there is no object
    confidence: bool = False  # also store how much each pixel looks like an object

    @property
    def working_size(self) -> tuple[int, ...]:
        """The size asked for, else that for which the method's constants are meant."""
        return self.size if self.size is not None else Iem.size if self.method == "iem" else (300,)


@dataclass(frozen=True)
class Refine:
    """Settings of `unseg iem --refine`: of the training on the masks."""

    steps: int = 400  # changes of the weights; more follow the masks more closely, with their mistakes
    seed: int = 0  # of the weights at the start, of order, crops and every other chance


@dataclass(frozen=True)
class Evaluate:
    """Settings of `unseg evaluate`."""

    matching: str = "one-to-one"  # clusters to classes: one-to-one or many-to-one
    match_by: str = "count"  # what the matching makes as large as it can: count (of pixels) or iou
    per_image: bool = False  # also the score of matching each picture by itself, an oracle
    ceiling: bool = False  # also the best score that these segments allow, an oracle
    background: int | None = None  # ceiling: the cluster that is no object and keeps its class; None = there is none
    ignore: tuple[int, ...] = ()  # label values that are not scored, beside the legend's
    protocol: str = ""  # of a published code: iic picie stego iem maskcontrast
    polarity: str = "given"  # of object masks: given, or best-of-two (an oracle)
    grid: str = "source"  # score on the labels' own grid, or on the working grid as papers do: source working
    tolerance: int | None = None  # of boundary recall, in pixels; None = 0.0025 of the diagonal
    replicates: int = 1000  # of the bootstrap over pictures; 0 = no interval
    seed: int = 0  # of the bootstrap


@dataclass(frozen=True)
class Demo:
    """Settings of `unseg demo`."""

    pictures: int = 60  # mosaics to make
    side: int = 160  # of a mosaic, in pixels
    seed: int = 0  # of all random choices


@dataclass(frozen=True)
class Visualize:
    """Settings of `unseg visualize`."""

    export: str = ""  # instead of panels: labels (label maps as picture files) or csv (areas); "" = panels
    format: str = "png"  # of exported label maps: png tiff
    truth: bool = True  # show ground truth where it is found; panels only
    limit: int | None = None  # the first so many pictures only; None = all
