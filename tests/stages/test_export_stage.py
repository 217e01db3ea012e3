"""`unseg export`: a backbone that torchvision loads, and one line where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from reading_back import fingerprint
from tiny_model import write_method, write_model
from toy import write_masks
from typed import one_line, unseg
from views.test_tensor_file import read_tensors

from unsegcli import files, store
from unsegcli.errors import ConfigError
from unsegcli.params import Export, Inputs, Run
from unsegcli.stages.export import export


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A maskcontrast model with a resnet18, and one with the small network, both of one step."""
    place = tmp_path_factory.mktemp("export")
    from PIL import Image

    (place / "data").mkdir()
    for number in range(2):
        values = np.random.default_rng(number).integers(0, 255, (40, 40, 3), np.uint8)
        Image.fromarray(values).save(place / "data" / f"p{number}.png")
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 1
    masks = write_masks(place / "masks.h5", place / "data", lambda _: mask)
    for name, architecture in (("resnet.h5", "resnet18"), ("small.h5", "small")):
        small = ["crop=32", "view=32", "batch=2", "head=8", "dimensions=4", "queue=2", f"architecture={architecture}"]
        settings = [part for one in small for part in ("--set", one)]
        unseg(
            "train", place / "data", "--method", "maskcontrast", "--proposals", masks, "--steps", "1", *settings,
            "-o", place / name, "--workers", "1",
        )  # fmt: skip
    return place


def test_torchvision_loads_the_backbone(models: Path, tmp_path: Path) -> None:
    """All names but those of the classifier, with the values of the model."""
    from torchvision.models import resnet18

    made = export(Inputs(models / "resnet.h5"), Export(), Run(tmp_path / "w.safetensors")).path
    tensors, kinds, about = read_tensors(made.read_bytes())
    network = resnet18(weights=None)
    state = {name: torch.from_numpy(values.copy()) for name, values in tensors.items()}
    result = network.load_state_dict(state, strict=False)
    assert set(result.missing_keys) == {"fc.weight", "fc.bias"}
    assert result.unexpected_keys == []
    with store.open_artifact(models / "resnet.h5", "model") as artifact:
        stored = artifact.entry("weights", "query.backbone.layer4.1.conv2.weight")
    np.testing.assert_array_equal(tensors["layer4.1.conv2.weight"], stored)
    np.testing.assert_array_equal(network.layer4[1].conv2.weight.detach().numpy(), stored)
    assert (kinds["conv1.weight"], kinds["bn1.num_batches_tracked"]) == ("F32", "I64")
    assert (about["architecture"], about["method"]) == ("resnet18", "maskcontrast")
    assert about["model"] == fingerprint(models / "resnet.h5")


@pytest.mark.slow
def test_as_typed(models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    result = unseg("export", models / "resnet.h5")
    assert result.stdout == "weights.safetensors\n"
    assert "120 tensors of resnet18 for 3 bands" in " ".join(result.stderr.split())
    assert "up to date" in unseg("export", models / "resnet.h5").stderr
    Path("weights.safetensors").write_text("mine")
    assert "has other content" in one_line(unseg("export", models / "resnet.h5", expect=2))
    unseg("export", models / "resnet.h5", "--force")
    assert "ends in .safetensors" in one_line(unseg("export", models / "resnet.h5", "-o", "w.h5", expect=2))
    assert callable(files.export)


def test_models_without_such_a_backbone_say_what_they_have(models: Path, tmp_path: Path) -> None:
    output = Run(tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match=r"its backbone is small, .* it has .*query\.backbone \([\d,]+\)"):
        export(Inputs(models / "small.h5"), Export(), output)
    method = write_method(tmp_path / "mine.py")
    model = write_model(tmp_path / "m.h5", method)
    with pytest.raises(ConfigError, match=r"its method mine has no backbone to export; it has layers\.0 \(16\)"):
        export(Inputs(model), Export(method=method), output)
    assert not (tmp_path / "w.safetensors").exists()
