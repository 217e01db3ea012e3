"""How long the page of `unseg visualize` takes: to be written, and in a browser until it can be used.

    python tests/benchmarks/bench_page.py [--images 2000] [--side 96]

Makes images of noise, clusters their pixels, writes the page, and opens it in chromium (playwright, of the extra
`test`). Prints sizes and seconds: the command, the first thumbnails and maps on the screen, one cluster shown alone.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

FIRST = 12  # images that fit on the screen
THUMBNAILS = "[...document.querySelectorAll('main img')].filter(one => one.naturalWidth).length"
MAPS = """[...document.querySelectorAll('main canvas')].filter(one => one.width && one.height &&
    one.getContext('2d').getImageData(one.width >> 1, one.height >> 1, 1, 1).data[3]).length"""


def main() -> None:
    """Make, write and open a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=96)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_images(folder / "images", asked.images, asked.side)
        _unseg(folder, "cluster", "images", "--features", "bands", "--classes", "24", "-o", "map.h5")
        print(f"visualize: {_unseg(folder, 'visualize', 'map.h5', '-o', 'page'):.1f} s")
        size = sum(path.stat().st_size for path in (folder / "page").rglob("*") if path.is_file())
        print(f"page: {size / 1e6:.0f} MB, data/page.js {(folder / 'page/data/page.js').stat().st_size / 1e6:.2f} MB")
        _open(folder / "page" / "index.html")


def _write_images(folder: Path, count: int, side: int) -> None:
    folder.mkdir()
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{number:05d}.png")


def _unseg(folder: Path, *arguments: str) -> float:
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "unsegcli", *arguments, "--quiet"], cwd=folder, check=True, stdout=sys.stderr)
    return time.monotonic() - started


def _open(page: Path) -> None:
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        started = time.monotonic()
        tab.goto(page.as_uri(), wait_until="commit")
        for what, found in (("thumbnails", THUMBNAILS), ("maps", MAPS)):
            while tab.evaluate(found) < FIRST:  # the policy of the page forbids `wait_for_function`
                time.sleep(0.01)
            print(f"first {what}: {time.monotonic() - started:.2f} s")
        print(f"one cluster alone: {_milliseconds_of_a_click(tab):.0f} ms until the click returns")
        browser.close()


def _milliseconds_of_a_click(tab: Page) -> float:
    took: float = tab.evaluate(
        """() => {
            const before = performance.now();
            document.querySelector("#legend button.row").click();
            return performance.now() - before;
        }"""
    )
    return took


if __name__ == "__main__":
    main()
