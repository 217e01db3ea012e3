"""The options that several commands share: one spelling, one meaning, one help text."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import typer

from unsegcli.errors import ConfigError
from unsegcli.params import AUTO, Pictures

PICTURES, RUNNING = "How pictures are read", "Running"

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT",
        show_default=False,
        help="Folder (with images/ inside, or searched whole), files, a quoted glob, a .txt list, or an HDF5 file "
        "of an earlier command. Without it: the paths on a pipe; else what the working folder has.",
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        rich_help_panel=RUNNING,
        help="Replace an output that holds a model, or a file that unseg did not make.",
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        min=0,
        rich_help_panel=RUNNING,
        metavar="N",
        help="Processes; the result is the same for any number. 0 = one for each processor. Fewer need less memory.",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        metavar="N",
        rich_help_panel=RUNNING,
        show_default=False,
        help="Take the first N pictures only: for a quick try.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        rich_help_panel=RUNNING,
        help="Write nothing; say what would be done, with an estimate of time, memory and disk.",
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad",
        rich_help_panel=RUNNING,
        help="Exit with 0 although pictures that cannot be read were left out.",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", rich_help_panel=RUNNING, help="No notes and no bar; warnings and errors stay."),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", rich_help_panel=RUNNING, help="Say more about each step.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

Labels = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="FOLDER",
        show_default=False,
        help="Ground truth: PNG, TIFF, NPY or .mat files named like the pictures. Default: labels/ beside them.",
    ),
]
LegendFile = Annotated[
    str | None,
    typer.Option(
        "--legend",
        metavar="FILE",
        show_default=False,
        help="TOML file with class names, colours and merges. evaluate and visualize find classes.toml beside the "
        "pictures by themselves.",
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        metavar="FILE",
        show_default=False,
        help="What `unseg evaluate` wrote for this segmentation: clusters get the names of their classes.",
    ),
]

Role = Annotated[
    Literal["clusters", "classes", "mask", "superpixels"] | None,
    typer.Option(
        "--role",
        show_default="clusters",
        help="What the numbers in a folder of label maps mean. classes: class numbers in the legend's order, not "
        "matched. mask: 0 is background. HDF5 files say it themselves.",
    ),
]
Images = Annotated[
    str | None,
    typer.Option(
        "--images",
        metavar="FOLDER",
        show_default=False,
        help="Where the pictures lie now, if not where the file says: they are found by content. For a folder of label "
        "maps: its pictures, found by name.",
    ),
]

Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        show_default=False,
        help="Settings by name, such as those of a published result; other options win over them. A wrong name "
        "lists the right ones.",
    ),
]


def _number_or_auto(text: str | None) -> str | None:
    if text is not None and text != AUTO and not (text.isdecimal() and int(text) > 0):
        raise typer.BadParameter(f"{text} must be a whole number from 1, or {AUTO}")
    return text


Classes = Annotated[
    str | None,
    typer.Option(
        "--classes",
        callback=_number_or_auto,
        metavar="N|auto",
        show_default="8",
        help="Number of clusters. A few more than the classes you expect keeps them apart; clusters can be merged "
        "later. auto = the number by which superpixels, or pixels, group most alike when it is done again.",
    ),
]
MostClasses = Annotated[
    int,
    typer.Option(
        "--most-classes",
        min=2,
        metavar="N",
        help="The largest number of clusters that --classes auto tries.",
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        min=1,
        rich_help_panel="Length",
        metavar="N",
        show_default=False,
        help="Length as changes of the weights.",
    ),
]
Refine = Annotated[
    bool,
    typer.Option(
        "--refine",
        help="Improve the result. cluster: let the scores of a model follow the edges of the picture (a guided filter, "
        "any number of bands). iem: train a network on the masks, which then draws them anew.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="The same seed gives the same result.")]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="NAME|FILE.py",
        show_default=False,
        help="train: how it learns, inmars (the default), infoseg (both need superpixels), iic, maskcontrast or segnet "
        "(both need --proposals); or a Python file of your own, see docs/methods.md. cluster: that file again, for a "
        "model that it made. proposals: rbd, mr, iem or consensus (the default), the vote of the three.",
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    typer.Option(
        "--device", rich_help_panel=RUNNING, help="Where a network runs. auto = a graphics processor if there is one."
    ),
]
Confidence = Annotated[
    bool | None,
    typer.Option(
        "--confidence",
        help="Also store for each pixel, 0 to 1, how much it looks like foreground (iem, proposals), or how sure the "
        "model is of its cluster (cluster).",
    ),
]

Axes = Annotated[
    str,
    typer.Option(
        "--axes",
        rich_help_panel=PICTURES,
        metavar="LETTERS",
        help="Order of the axes of TIFF and NPY arrays: y and x, c for bands, p for pages (each page is a picture "
        "of its own), such as cyx or pyx. auto = as the file says, else the smaller of first and last is c.",
    ),
]
Bands = Annotated[
    str | None,
    typer.Option(
        "--bands",
        rich_help_panel=PICTURES,
        metavar="N,N,...",
        show_default=False,
        help="Bands to take, counted from 1, in this order, such as 4,1,2. Default: all of them.",
    ),
]
Alpha = Annotated[
    Literal["auto", "drop", "mask", "band"],
    typer.Option(
        "--alpha",
        rich_help_panel=PICTURES,
        help="What the last of 2 or 4 bands is. auto looks at the whole folder: constant = dropped, only none and "
        "full = mask of valid pixels, anything else = a band like the others (near infrared, say).",
    ),
]
Nodata = Annotated[
    float | None,
    typer.Option(
        "--nodata",
        rich_help_panel=PICTURES,
        metavar="VALUE",
        show_default=False,
        help="Pixels with this value in all bands are void. Default: what a GeoTIFF itself declares.",
    ),
]
Mask = Annotated[
    str | None,
    typer.Option(
        "--mask",
        rich_help_panel=PICTURES,
        metavar="FOLDER",
        show_default=False,
        help="Folder of masks named like the pictures; pixels that are zero there are void.",
    ),
]
Percentiles = Annotated[
    str,
    typer.Option(
        "--percentiles",
        rich_help_panel=PICTURES,
        metavar="LOW,HIGH",
        help="For more than 8 bits: the percentiles of each band that become black and white. Wider keeps "
        "highlights, narrower raises contrast.",
    ),
]
Scaling = Annotated[
    Literal["folder", "picture"],
    typer.Option(
        "--scaling",
        rich_help_panel=PICTURES,
        help="Take those percentiles over the whole folder (pictures stay comparable), or for each picture alone "
        "(exposure differs without meaning).",
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        rich_help_panel=PICTURES,
        metavar="N|HxW",
        show_default=False,
        help="Work on pictures whose shorter side is N pixels, or that are H x W. Results can still be painted "
        "back on the original grid. Default: as they are; 128 for iem, 300 for proposals.",
    ),
]
Scale = Annotated[
    float,
    typer.Option("--scale", rich_help_panel=PICTURES, metavar="FACTOR", help="Work on pictures FACTOR times as large."),
]
Patch = Annotated[
    int,
    typer.Option(
        "--patch",
        min=0,
        rich_help_panel=PICTURES,
        metavar="N",
        help="Cut large pictures into windows of N x N pixels. 0 = do not cut.",
    ),
]
Stride = Annotated[
    int,
    typer.Option(
        "--stride",
        min=0,
        rich_help_panel=PICTURES,
        metavar="N",
        help="Distance between windows; below --patch they overlap. 0 = the same as --patch.",
    ),
]
MaxPixels = Annotated[
    int,
    typer.Option(
        "--max-pixels",
        min=1,
        rich_help_panel=PICTURES,
        metavar="N",
        help="Refuse pictures of more pixels, before they are decoded.",
    ),
]

DEFAULT_PERCENTILES = ",".join(f"{value:g}" for value in Pictures.percentiles)


def classes_from(text: str | None) -> int | str | None:
    """The number of clusters as typed: a number, auto, or None if nothing was said."""
    return text if text is None or text == AUTO else int(text)


def retyped(context: typer.Context, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the options that were given on the command line, as they were: for commands that hand them on."""
    return tuple(word for parameter in context.command.params for word in _as_typed(context, parameter, set(names)))


def _as_typed(context: typer.Context, parameter: Any, names: set[str]) -> list[str]:
    source = context.get_parameter_source(parameter.name)
    if parameter.name not in names or source is None or source.name != "COMMANDLINE":
        return []
    value = context.params[parameter.name]
    if parameter.is_flag:
        return [(parameter.opts if value else parameter.secondary_opts)[0]]
    return [parameter.opts[0], str(value)]


def pictures_from(
    axes: str,
    bands: str | None,
    alpha: str,
    nodata: float | None,
    percentiles: str,
    scaling: str,
    size: str | None,
    scale: float,
    patch: int,
    stride: int,
    max_pixels: int,
) -> Pictures:
    """The settings on reading pictures, from the options as typed."""
    return Pictures(
        axes=axes,
        bands=tuple(map(int, _numbers("--bands", bands, ",", "band numbers from 1, such as 4,1,2"))),
        alpha=alpha,
        nodata=None if nodata is None or math.isnan(nodata) else nodata,  # NaN pixels are void as it is
        percentiles=_percentiles(percentiles),
        scaling=scaling,
        size=tuple(map(int, _numbers("--size", size, "x", "a number or HEIGHTxWIDTH, such as 256 or 240x320", most=2))),
        scale=scale,
        patch=patch,
        stride=stride,
        max_pixels=max_pixels,
    )


def _percentiles(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not 0 <= low < high <= 100:
        raise ConfigError(f"--percentiles {text}: must be two rising numbers from 0 to 100, such as 1,99")
    return low, high


def _numbers(option: str, text: str | None, separator: str, expected: str, most: int | None = None) -> list[str]:
    """The whole numbers from 1 in an option such as 4,1,2 or 240x320, still as text."""
    parts = [part.strip() for part in text.lower().split(separator)] if text is not None else []
    if any(not part.isdecimal() or int(part) == 0 for part in parts) or len(parts) > (most or len(parts)):
        raise ConfigError(f"{option} {text}: must be {expected}")
    return parts
