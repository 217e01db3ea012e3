"""Weights from elsewhere: files of several habits, what fits, what is told, and nothing that can run code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy import users_method

from unsegcli.errors import ConfigError, DataError
from unsegcli.methods._load import find_method
from unsegcli.segmenters.weight_files import state_digest
from unsegcli.training import pretrained
from unsegcli.training.pretrained import Pretrained, find_weights, read_state, read_weights

METHOD = find_method("maskcontrast")


class Backbone(nn.Module):
    """Named as a ResNet is."""

    def __init__(self, bands: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(bands, 4, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(nn.Conv2d(4, 4, 1))


def state_of(seed: int = 0, bands: int = 3) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    state = Backbone(bands).state_dict()
    return {name: torch.randn_like(value) if value.is_floating_point() else value for name, value in state.items()}


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def loaded(path: Path, content: Any, bands: int = 3) -> tuple[dict[str, Tensor], str]:
    """What a backbone holds after a file with such content was put into it, and what is said."""
    torch.save(content, path)
    backbone = Backbone(bands)
    weights = Pretrained(path.name, "digest", read_state(path))
    weights.put_into([backbone, backbone])
    return backbone.state_dict(), weights.report(backbone)


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


OTHER = {"fc.weight": torch.zeros(2, 2)}
CONTENTS = {
    "plain": lambda right, wrong: {**right, **OTHER},
    "moco": lambda right, wrong: {
        "epoch": 800,
        "state_dict": {**under("module.encoder_q.", right), **under("module.encoder_k.", wrong)},
    },
    "moco alone": lambda right, wrong: {**under("encoder_q.", right), "queue": torch.zeros(3, 3)},
    "dino": lambda right, wrong: {
        "student": under("module.backbone.", wrong),
        "teacher": {**under("backbone.", right), "head.weight": torch.zeros(2)},
    },
    "flat teacher": lambda right, wrong: {**under("student.backbone.", wrong), **under("teacher.backbone.", right)},
    "parallel": lambda right, wrong: {"model": under("module.", right)},
}


@pytest.mark.parametrize("habit", CONTENTS)
def test_names_are_brought_to_those_of_the_network(habit: str, tmp_path: Path) -> None:
    right, wrong = state_of(0), state_of(1)
    found, said = loaded(tmp_path / "w.pth", CONTENTS[habit](right, wrong))
    assert same(found, right)
    assert said.startswith("7 of 7 weights loaded from w.pth")


def test_what_does_not_fit_is_told_by_number_and_name(tmp_path: Path) -> None:
    given = state_of()
    del given["layer1.0.bias"]
    given["layer1.0.weight"] = torch.zeros(9, 9)
    more = {f"extra{number}": torch.zeros(1) for number in range(5)}
    found, said = loaded(tmp_path / "w.pth", {**given, **more})
    assert said == (
        "5 of 7 weights loaded from w.pth; missing or of another shape: layer1.0.weight, layer1.0.bias; "
        "unused: extra0, extra1, extra2 and 3 more"
    )
    assert torch.equal(found["conv1.weight"], given["conv1.weight"])
    assert found["layer1.0.weight"].shape == (4, 4, 1, 1)


def test_nothing_that_fits_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"w\.pth: no weight matches the network; the file has a, b, the network has conv1\.weight, "
    ):
        loaded(tmp_path / "w.pth", {"a": torch.zeros(1), "b": torch.zeros(1)})


@pytest.mark.parametrize("bands", [1, 2, 5])
def test_first_filters_are_brought_to_other_bands(bands: int, tmp_path: Path) -> None:
    """A grey image has the answer that it would have in colour; beyond colours bands have the mean of all."""
    given = state_of()
    found, _ = loaded(tmp_path / "w.pth", given, bands)
    colours, ours = given["conv1.weight"], found["conv1.weight"]
    assert ours.shape == (4, bands, 3, 3)
    grey = torch.rand(1, 1, 6, 6)
    wide, narrow = grey.expand(1, 3, 6, 6), grey.expand(1, bands, 6, 6)
    torch.testing.assert_close(nn.functional.conv2d(narrow, ours), nn.functional.conv2d(wide, colours))
    if bands == 5:
        torch.testing.assert_close(ours[:, :3], colours * 3 / 5)


class Rogue:
    """Would run code if it were unpickled."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("was_run"),)


def test_a_file_that_could_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": torch.zeros(1), "more": Rogue()}, "rogue.pth")
    Path("plain.pth").write_bytes(pickle.dumps(Rogue()))
    Path("broken.pth").write_bytes(b"no file of torch")
    for name in ("rogue.pth", "plain.pth", "broken.pth"):
        with pytest.raises(DataError, match=rf"--weights {name}: is broken or holds more than weights") as caught:
            read_state(Path(name))
        assert "\n" not in str(caught.value)
    assert not Path("was_run").exists()


def test_a_file_without_weights_is_refused(tmp_path: Path) -> None:
    for content, words in (([1, 2], "not hold a state dict"), ({"epoch": 3}, "holds no weights")):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(DataError, match=words):
            read_state(tmp_path / "w.pth")


def test_recipe_has_the_digest_of_the_file(tmp_path: Path) -> None:
    paths = [tmp_path / "a.pth", tmp_path / "b.pth"]
    for path, value in zip(paths, (0.0, 1.0), strict=True):
        torch.save({"conv1.weight": torch.full((1,), value)}, path)
    first, second = (find_weights(path, METHOD)[0] for path in paths)
    assert len(first) == len(second) == 64
    assert first != second
    assert find_weights("none", METHOD) == ("", None)
    assert find_weights("imagenet", METHOD) == ("imagenet IMAGENET1K_V1", None)
    assert read_weights("", None, "small") is None


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--weights imagenet: --method iic always starts from random weights"):
        find_weights("imagenet", find_method("iic"))
    with pytest.raises(ConfigError, match=r"--weights x: --method mine always starts from"):
        find_weights("x", find_method(str(users_method(tmp_path))))
    with pytest.raises(DataError, match=r"cannot be read \(No such file.*imagenet or none"):
        find_weights(tmp_path / "nothing.pth", METHOD)


def test_weights_of_a_name_that_torchvision_lacks() -> None:
    with pytest.raises(ConfigError, match=r"torchvision has no weights for small .*architecture=resnet50"):
        read_weights("imagenet IMAGENET1K_V1", None, "small")


def test_a_failing_download_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    models = pytest.importorskip("torchvision.models", exc_type=ImportError)

    def fails(*arguments: Any, **more: Any) -> None:
        raise OSError("no way there\nat all")

    monkeypatch.setattr(models.ResNet50_Weights.IMAGENET1K_V1.__class__, "get_state_dict", fails)
    with pytest.raises(DataError, match=r"cannot be downloaded \(no way there\); give a file"):
        read_weights("imagenet IMAGENET1K_V1", None, "resnet50")


def test_what_is_known_of_weights_from_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"conv1.weight": torch.ones(2, 3, 1, 1), "steps": torch.tensor(4)}
    monkeypatch.setattr(pretrained, "_download", lambda architecture: dict(state))
    found = read_weights("imagenet IMAGENET1K_V1", None, "resnet50")
    assert found is not None
    assert (found.name, found.labels) == ("torchvision resnet50 IMAGENET1K_V1", "ImageNet-1k")
    turned = dict(reversed(state.items()))
    assert found.digest == state_digest(turned)
    assert found.digest != state_digest({**state, "steps": torch.tensor(5)})
