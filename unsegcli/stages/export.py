"""`unseg export`: write parts of a model for other programs; the model stays as it is."""

from __future__ import annotations

from pathlib import Path

from unsegcli import console
from unsegcli._version import __version__
from unsegcli.dataflow.provenance import carried, networks
from unsegcli.dataflow.runner import Outcome, UpToDate
from unsegcli.errors import ConfigError
from unsegcli.params import Export, Inputs, Run
from unsegcli.views.tensor_file import tensor_bytes, write_tensor_file


def export(inputs: Inputs, params: Export | None = None, run: Run | None = None) -> Outcome:
    """Write the weights of a model's backbone.

    Args:
        inputs: the model.
        params: what to write, and the file of a method of your own.
        run: the file to write.
    """
    params, run = params or Export(), (run or Run()).of("export")
    if len(inputs.paths) != 1:
        raise ConfigError(f"export needs exactly one model, but {len(inputs.paths)} files are given")
    if params.what != "backbone":
        raise ConfigError(f"--what {params.what}: is not one of backbone")
    return _backbone(str(inputs.paths[0]), params, run)


def _backbone(path: str, params: Export, run: Run) -> Outcome:
    """Write the weights of the backbone; torch is imported here, so that help need not wait."""
    from unsegcli.segmenters.backbone_weights import backbone_of
    from unsegcli.segmenters.weights import state_to_arrays

    if Path(run.output).suffix.lower() != ".safetensors":
        raise ConfigError(f"-o {run.output}: the format is safetensors; give a name that ends in .safetensors")
    found = backbone_of(path, None if params.method is None else str(params.method))
    arrays, halves = state_to_arrays(found.state)
    about = {
        "format": "pt",
        "architecture": found.architecture,
        "method": found.method,
        "model": found.fingerprint,
        "made-by": f"unseg {__version__}",
    }
    for row in networks(carried({"model": {"path": str(path)}}, "model")):
        about |= {f"pretrained-{name}": text for name, text in row.items()}
    written = write_tensor_file(run.output, tensor_bytes(arrays, about, halves), force=run.force)
    names = list(arrays)
    console.note(
        f"{len(names)} tensors of {found.architecture} for {found.channels} bands, {names[0]} to {names[-1]}"
        f"{'' if written else ' (up to date)'}; torchvision's {found.architecture} loads them with strict=False and "
        "lacks only fc.weight and fc.bias"
    )
    return (Outcome if written else UpToDate)(Path(run.output))
