"""Find the label maps of the same images in the results of several runs."""

from __future__ import annotations

from pathlib import PurePosixPath

from unsegcli.dataflow.label_maps import ImageMap, Predictions, StoredMap
from unsegcli.errors import DataError
from unsegcli.views.export import file_name


def maps_of_images(first: Predictions, other: Predictions) -> tuple[ImageMap | None, ...]:
    """Return the map in `other` of each image of `first`, by content where it is known, else by name.

    None = `other` lacks the image. Raises an error if it has none of them.
    """
    by_content = {(item.source.digest, item.source.page): item for item in other.maps if isinstance(item, StoredMap)}
    by_name = {_key(item): item for item in other.maps}
    found = []
    for item in first.maps:
        if isinstance(item, StoredMap) and by_content:
            named = by_name.get(_key(item))
            same = isinstance(named, StoredMap) and named.source.digest == item.source.digest
            found.append(named if same else by_content.get((item.source.digest, item.source.page)))
        else:
            found.append(by_name.get(_key(item)))
    if not any(found):
        raise DataError(f"{other.name}: has none of the images of {first.name}; show results of the same images")
    return tuple(found)


def _key(item: ImageMap) -> str:
    """Return the name of an image without its suffix, since a map may have another one."""
    return str(PurePosixPath(file_name(item)).with_suffix(""))
