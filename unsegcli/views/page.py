"""The page as files: scripts with data, the shell with its title, and the assets that come with the package."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

PAGE = "index.html"
ASSETS = Path(__file__).parent / "page"
SUFFIXES = (".css", ".js")  # of assets besides the page itself
TITLE = re.compile(r"<title>.*?</title>", re.DOTALL)
UNSAFE_IN_ADDRESSES = re.compile(r"[#%\ud800-\udfff]")  # a browser would take them for something else


def script(call: str, *arguments: Any) -> bytes:
    """Return a script that calls a function with plain data.

    Text is ASCII, and nothing in it can end the script or start a tag.
    """
    texts = (json.dumps(printable(one), allow_nan=False, separators=(",", ":")) for one in arguments)
    plain = ",".join(texts).replace("<", "\\u003c")
    return f"{call}({plain});\n".encode("ascii")


def printable(value: Any) -> Any:
    """Replace what cannot be shown in all texts of plain data: control characters and invalid UTF-8."""
    if isinstance(value, str):
        return value if value.isprintable() else _shown(value)
    if isinstance(value, Mapping):
        return {printable(str(key)): printable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [printable(inner) for inner in value]
    return value


def _shown(text: str) -> str:
    escaped = all(not "\ud800" <= letter <= "\udfff" or "\udc80" <= letter <= "\udcff" for letter in text)
    plain = text.encode("utf-8", "surrogateescape" if escaped else "replace").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in plain)


def addressable(names: Sequence[str]) -> list[str]:
    """Replace in names of images what a browser takes for a part of an address."""
    return [UNSAFE_IN_ADDRESSES.sub("_", name) for name in names]


def index(title: str) -> bytes:
    """Return the page itself."""
    shell = (ASSETS / PAGE).read_text(encoding="utf-8")
    return TITLE.sub(lambda _: f"<title>{escape(printable(title))}</title>", shell, count=1).encode()


def assets() -> dict[str, bytes]:
    """Return the files that the page needs besides its data."""
    found = sorted(path for path in ASSETS.iterdir() if path.suffix in SUFFIXES)
    return {f"page/{path.name}": path.read_bytes() for path in found}


def assets_digest() -> str:
    """Return the digest of the page and its assets, so that a newer version of unseg writes a page again."""
    digest = hashlib.sha256((ASSETS / PAGE).read_bytes())
    for name, content in assets().items():
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()
