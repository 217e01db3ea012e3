"""Makes the images of the README and the guide from photographs that come with scikit-image, by the commands there.

python docs/make_images.py, with playwright (pip install '.[test]') and chromium for the picture of the page
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from skimage import data

FOLDER = Path(__file__).parent / "images"
PHOTOS = ("astronaut", "chelsea", "coffee", "immunohistochemistry", "rocket")


def photos(folder: Path, names: tuple[str, ...]) -> None:
    """Write photographs of scikit-image into a folder."""
    folder.mkdir()
    for name in names:
        Image.fromarray(getattr(data, name)()).save(folder / f"{name}.png")


def unseg(line: str, folder: Path) -> None:
    """Run one command in a folder."""
    subprocess.run([sys.executable, "-m", "unsegcli", *line.split(), "--quiet"], cwd=folder, check=True)


def scaled(source: Path, target: Path, box: tuple[int, int, int, int], width: int, colours: int) -> None:
    """A part of an image, scaled down, with few colours so that the file is small."""
    part = Image.open(source).convert("RGB").crop(box)
    size = (width, round(part.height * width / part.width))
    part.resize(size, Image.Resampling.LANCZOS).quantize(colours).save(target, optimize=True)
    print(target, target.stat().st_size // 1000, "kB")


def photographed(page: Path, target: Path) -> None:
    """The page as a browser shows it, where clusters are named."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1440, "height": 800})
        tab.goto(page.resolve().as_uri())
        tab.get_by_text("Name", exact=True).first.click()
        tab.locator(".card input[type=text]").first.fill("night")
        tab.keyboard.press("Enter")
        tab.evaluate("window.scrollTo(0, 0)")
        tab.wait_for_timeout(2000)
        tab.screenshot(path=target)
        browser.close()


def main() -> None:
    """All images."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        photos(place / "tissue", ("immunohistochemistry",))
        unseg("superpixels tissue --pixels-per-segment 300 -o sp.h5", place)
        unseg("cluster sp.h5 --classes 2 -o tissue.h5", place)
        unseg("visualize tissue.h5 --panels -o shown", place)
        panel = place / "shown" / "panels" / "immunohistochemistry.png"
        scaled(panel, FOLDER / "tissue.png", (0, 36, 1576, 606), 840, 64)  # without its title

        photos(place / "many", (*PHOTOS, "hubble_deep_field"))
        unseg("map many --classes 12 -o map", place)
        photographed(place / "map" / "page" / "index.html", place / "page.png")
        scaled(place / "page.png", FOLDER / "page.png", (0, 0, 1440, 800), 1000, 80)

        photos(place / "photos", PHOTOS)
        unseg("superpixels photos -o photos.h5", place)
        unseg("cluster photos.h5 --classes 5 -o five.h5", place)
        unseg("visualize five.h5 -o five", place)
        scaled(place / "five" / "contact-sheet.png", FOLDER / "photos.png", (0, 30, 674, 630), 600, 256)


if __name__ == "__main__":
    main()
