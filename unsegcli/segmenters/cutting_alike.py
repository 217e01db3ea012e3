"""How an earlier file of superpixels was read and cut, so that new images are treated in the same way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unsegcli import store
from unsegcli.dataflow.dataset import Dataset, dataset_from_files, is_artifact
from unsegcli.errors import ArtifactError, ConfigError
from unsegcli.images.scaling import Limits
from unsegcli.images.working import Reading
from unsegcli.params import Inputs, Superpixels
from unsegcli.segmenters.centres import CUTTING, cutting_from, shared_scaling
from unsegcli.segmenters.model_inputs import still_chosen

LARGEST_SIDE = 1_000_000  # of a window


@dataclass(frozen=True)
class CutAlike:
    """How the images of an earlier file were read and cut."""

    path: Path
    fingerprint: str
    params: Superpixels
    patch: int  # of its windows
    stride: int
    reading: Reading
    scaling: Limits | None  # of each band; None if it differs between images

    def dataset(self, inputs: Inputs, known_from: str | Path | None) -> Dataset:
        """Find new images, which are read as the earlier ones were.

        Args:
            inputs: image files, and options that do not change how they are read.
            known_from: an earlier output; its digests are reused for files of unchanged size and modification time.
        """
        wrong = [path for path in inputs.paths if is_artifact(path)]
        if wrong:
            raise ConfigError(f"{wrong[0]}: --like reads images as earlier ones were read; give images instead")
        images = replace(inputs.images, patch=self.patch, stride=self.stride)
        found = dataset_from_files(replace(inputs, images=images), known_from, self.reading)
        alike = replace(found, known=self.reading, known_scaling=self.scaling, recorded=(still_chosen(found, images),))
        return alike.with_input("like", self.path, self.fingerprint)


def read_cutting(path: str | Path) -> CutAlike:
    """Read how the images of a file of superpixels were read and cut."""
    with store.open_artifact(path, "superpixels") as artifact:
        made = artifact.recipe.get("parameters", {}) if artifact.recipe.get("stage") == "superpixels" else {}
        if any(name not in made for name in (*CUTTING, "patch", "stride")):
            raise ArtifactError(f"--like {path}: does not record how its images were read and cut; give another file")
        return CutAlike(
            path=Path(path),
            fingerprint=artifact.fingerprint,
            params=cutting_from(path, made),
            patch=_side(path, made["patch"]),
            stride=_side(path, made["stride"]),
            reading=Reading.from_json(artifact.attributes["reading"]),
            scaling=shared_scaling(artifact),
        )


def _side(path: str | Path, value: Any) -> int:
    """Return a side of windows as it is in a file, with its type and range checked."""
    if type(value) is not int or not 0 <= value <= LARGEST_SIDE:
        raise ArtifactError(f"--like {path}: its windows are not as unseg writes them; give another file")
    return value
