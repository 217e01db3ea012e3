"""The page of `unseg visualize` in a browser, used by clicks and keys: looking, naming, saving, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from called import cluster, evaluate, relabel, superpixels, visualize
from numpy.typing import NDArray
from page_files import decoded, page_data, page_maps
from PIL import Image
from reading_back import maps_of, table_of

from unsegcli.params import Cluster, Evaluate, Superpixels, Visualize

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

pytestmark = pytest.mark.browser

EVIL = '<img src=x onerror=alert(1)> & "q"'  # in the name of an image, and of a cluster
PATCHES = np.array(
    [[[40, 70, 200], [220, 40, 40], [240, 220, 60]], [[30, 150, 40], [44, 160, 52], [150, 150, 150]]], np.uint8
)
HEIGHT, WIDTH = 72, 96
FADE = 0.65


def missing(reason: str) -> None:
    """Skip, unless a browser is demanded."""
    if os.environ.get("UNSEG_NEEDS_BROWSER"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("the tests of the page need playwright: pip install playwright")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        missing("the tests of the page need a browser: install chromium")
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        running = playwright.chromium.launch(executable_path=program, args=sandbox)
        yield running
        running.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images of six plain patches, in another order in each; the class of a patch is its row."""
    home = tmp_path_factory.mktemp("browser")
    for folder in ("images", "labels"):
        (home / "data" / folder).mkdir(parents=True)
    rows, columns = np.arange(HEIGHT) * 2 // HEIGHT, np.arange(WIDTH) * 3 // WIDTH
    for number, name in enumerate(("p1", "p10", EVIL.replace("/", ""))):
        noise = np.random.default_rng(number).normal(0, 2, (HEIGHT, WIDTH, 3))
        pixels = np.roll(PATCHES, number, 1)[rows[:, None], columns] + noise
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(home / "data" / "images" / f"{name}.png")
        labels = np.broadcast_to(rows[:, None], (HEIGHT, WIDTH)).astype(np.uint8)
        Image.fromarray(labels).save(home / "data" / "labels" / f"{name}.png")
    (home / "data" / "classes.toml").write_text(
        '[[class]]\nname = "above"\nfrom = [0]\n[[class]]\nname = "below"\nfrom = [1]\n'
    )
    params = Cluster(classes=6, features="bands", blur=1)
    cluster([home / "data"], home / "six.h5", params, workers=1)
    cluster([home / "data"], home / "two.h5", Cluster(classes=2, features="bands", blur=1), workers=1)
    return home


@pytest.fixture(scope="module")
def plain(home: Path) -> Path:
    """A page without labels."""
    return visualize(home / "six.h5", home / "plain", Visualize(truth=False), workers=1).path


@pytest.fixture(scope="module")
def scored(home: Path) -> Path:
    """A page of two results with their scores."""
    metrics = []
    for name in ("six", "two"):
        matching = Evaluate(matching="many-to-one")
        metrics.append(evaluate(home / f"{name}.h5", home / f"{name}.metrics.h5", matching, workers=1).path)
    results = [home / "six.h5", home / "two.h5"]
    return visualize(results, home / "scored", Visualize(metrics=metrics), workers=1).path


Opener = Callable[..., "Page"]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opener]:
    """Open a page; afterwards: it said nothing on the console, and asked for nothing but its own files."""
    said: list[str] = []
    asked: list[str] = []
    contexts: list[BrowserContext] = []

    def opened(folder: Path, script: str = "", **options: Any) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce", **options)
        contexts.append(context)
        context.set_default_timeout(5000)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        if script:
            page.add_init_script(script)
        page.goto(f"file://{folder}/index.html")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
    assert [address for address in asked if not address.startswith(("file://", "data:", "blob:"))] == []


def painted(canvas: Locator) -> NDArray[np.uint8]:
    """The pixels of a canvas, once it is painted: (height, width, 4)."""
    canvas.page.wait_for_function("canvas => canvas.width > 0", arg=canvas.element_handle())
    width, height, values = canvas.evaluate(
        """canvas => {
            const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true});
            copy.drawImage(canvas, 0, 0);
            return [canvas.width, canvas.height, [...copy.getImageData(0, 0, canvas.width, canvas.height).data]];
        }"""
    )
    return np.array(values, np.uint8).reshape(height, width, 4)


def tile(page: Page, number: int) -> Locator:
    return page.locator(f".tile[data-number='{number}'] canvas")


def legend(page: Page) -> dict[str, str]:
    """Name: colour, as the legend shows them."""
    rows = page.locator(".legend .row[data-clusters]")
    texts = [row.locator(".name").inner_text() for row in rows.all()]
    colors = [
        row.locator(".swatch").evaluate("swatch => getComputedStyle(swatch).backgroundColor") for row in rows.all()
    ]
    return dict(zip(texts, (hexadecimal(color) for color in colors), strict=True))


def hexadecimal(color: str) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(int(value) for value in re.findall(r"\d+", color)[:3]))


def in_colors(numbers: NDArray[np.int64], colors: dict[int, str]) -> NDArray[np.uint8]:
    table = np.array([list(bytes.fromhex(colors[number][1:])) for number in sorted(colors)], np.uint8)
    return table[numbers]


def name_card(page: Page, number: int) -> Locator:
    return page.locator(f"#card-{number}")


def say_name(page: Page, number: int, name: str) -> None:
    field = name_card(page, number).locator(".name-field")
    field.click()
    field.fill(name)
    field.press("Enter")


def saved(page: Page, folder: Path) -> Path:
    """Save the names, and close what is said about it."""
    with page.expect_download() as download:
        page.locator("#save").click()
    assert download.value.suggested_filename == "names.toml"
    download.value.save_as(folder / "names.toml")
    assert "the folder in which you type this command" in page.locator("dialog.saved").inner_text()
    assert page.locator("#command").inner_text() == page.evaluate("unseg.result().relabel")
    page.locator("#close-saved").click()
    return folder / "names.toml"


def test_names_reach_the_segmentation_as_the_page_showed_them(
    open_page: Opener, plain: Path, home: Path, tmp_path: Path
) -> None:
    page = open_page(plain)
    page.keyboard.press("m")
    order = [int(card.get_attribute("id").split("-")[1]) for card in page.locator(".card").all()]  # type: ignore[union-attr]
    a, b, c, d, e, f = order
    assert page.locator("#progress").inner_text() == "0 of 6 named, 0 % of the pixels"
    say_name(page, a, "  Water ")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == f"Name of cluster {b}"
    page.keyboard.type(EVIL)
    page.keyboard.press("Enter")
    say_name(page, c, "water")  # the same name, in another spelling
    assert legend(page)["Water"] == page_data(plain)["usual_colors"]["water"]
    shares = {one["number"]: one["share"] for one in page_data(plain)["results"][0]["clusters"]}
    progress = f"3 of 6 named, {100 * (shares[a] + shares[b] + shares[c]):.0f} % of the pixels"
    assert page.locator("#progress").inner_text() == progress
    assert page.locator("#used-names option").evaluate_all("all => all.map(one => one.value)") == sorted(
        {"Water", EVIL}, key=lambda name: min(a, c) if name == "Water" else b
    )
    name_card(page, d).get_by_label("Mixed").check()
    assert name_card(page, d).locator(".name-field").is_disabled()
    name_card(page, b).locator("input[type=color]").fill("#123456")
    assert legend(page)[EVIL] == "#123456"
    page.reload()
    assert page.locator("#progress").inner_text() == f"{progress}, 1 mixed"
    file = saved(page, tmp_path)
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    assert content["segmentation"] == page_data(plain)["results"][0]["fingerprint"]
    by_name = {entry["name"]: entry for entry in content["class"]}
    assert sorted(by_name["Water"]["clusters"]) == sorted([a, c])
    assert by_name[EVIL] == {"name": EVIL, "color": "#123456", "clusters": [b]}
    assert by_name[f"cluster {d}"]["mixed"] is True
    assert not {e, f} & {number for entry in content["class"] for number in entry["clusters"]}
    page.keyboard.press("g")
    shown = painted(tile(page, 0))
    named = relabel(home / "six.h5", [], tmp_path / "named.h5", names=file).path
    colors = dict(enumerate(table_of(named, "categories/color")))
    assert np.array_equal(shown[..., :3], in_colors(maps_of(named)[0].astype(np.int64), colors))
    assert np.all(shown[..., 3] == 255)
    assert {"Water", EVIL} < set(table_of(named, "categories/name"))


def test_suggestions_merge_and_everything_can_be_undone(
    open_page: Opener, plain: Path, home: Path, tmp_path: Path
) -> None:
    page = open_page(plain)
    page.get_by_role("link", name="Name").click()
    pair = page.locator(".suggestion").first.get_attribute("data-pair")
    a, b = (int(number) for number in str(pair).split())
    page.locator(".suggestion .accept").first.click()
    row = page.locator(f".legend .row[data-clusters='{min(a, b)} {max(a, b)}']")
    assert row.locator(".times").inner_text() == "×2"
    assert page.locator(f".suggestion[data-pair='{pair}']").count() == 0
    progress = page.locator("#progress").inner_text()  # numbers are no name
    assert progress == "0 of 6 named, 0 % of the pixels, 1 merge without a name yet"
    nameless = f"clusters {min(a, b)} and {max(a, b)}"
    assert row.locator(".name").inner_text() == nameless
    larger = max((a, b), key=lambda number: page_data(plain)["results"][0]["clusters"][number]["pixels"])
    field = name_card(page, larger).locator(".name-field")
    assert field.evaluate("field => field === document.activeElement")
    box = field.bounding_box()
    assert box is not None
    assert field.evaluate("(field, [x, y]) => document.elementFromPoint(x, y) === field", [box["x"] + 9, box["y"] + 9])
    assert "2 clusters, no name yet" in name_card(page, larger).inner_text()
    for card in page.locator(".card").all():
        beside = card.locator(".chip:visible").all_inner_texts()
        assert len(set(beside)) == len(beside)
        assert nameless not in beside or card.get_attribute("id") not in (f"card-{a}", f"card-{b}")
    file = saved(page, tmp_path)
    assert tomllib.loads(file.read_text())["class"][0]["name"] == nameless
    named = relabel(home / "six.h5", [], tmp_path / "merged.h5", names=file).path
    names = table_of(named, "categories/name")
    assert len(names) == 5
    assert all(re.fullmatch(r"cluster \d+( \(was \d+\))?", name) for name in names), "called by its new number"
    again = page_data(visualize(named, tmp_path / "again", Visualize(truth=False), limit=1, workers=1).path)
    assert not any(one["named"] for one in again["results"][0]["clusters"])
    page.locator("#undo").click()
    page.locator("#load").set_input_files(file)
    row.locator(".times").wait_for()
    assert page.locator("#progress").inner_text() == progress
    page.locator("#undo").click()
    page.locator("#redo").click()
    say_name(page, b, "grass")
    assert row.locator(".name").inner_text() == "grass"  # both have it
    page.keyboard.press("Escape")
    page.keyboard.press("Control+z")
    assert row.locator(".name").inner_text() == nameless
    page.locator("#undo").click()
    assert row.count() == 0
    assert page.locator("#undo").is_disabled()
    page.keyboard.press("Control+Shift+Z")
    page.locator("#redo").click()
    assert row.locator(".name").inner_text() == "grass"
    name_card(page, a).locator(".alone").click()  # one of two: its row is marked as shown in part
    assert row.get_attribute("aria-pressed") == "mixed"
    page.go_back()
    name_card(page, a).get_by_role("button", name="Separate").click()
    assert list(legend(page)).count("grass") == 1
    page.keyboard.press("Escape")
    page.locator(".crop").first.click()
    page.locator(".legend .chosen").wait_for()
    page.go_back()
    page.locator(".cards").wait_for()
    assert page.locator(".legend .chosen").count() == 0  # as before
    page.locator(".suggestion .dismiss").first.click()
    page.reload()
    assert page.locator(f".suggestion[data-pair='{pair}']").count() == 0


def test_looking_sorts_filters_fades_and_shows_one_cluster_alone(open_page: Opener, scored: Path) -> None:
    page = open_page(scored)
    data = page_data(scored)
    colors = {one["number"]: one["color"] for one in data["results"][0]["clusters"]}
    numbers = decoded(page_maps(scored, 0)["results"][0])
    assert np.array_equal(painted(tile(page, 0))[..., :3], in_colors(numbers, colors))
    assert tile(page, 0).evaluate("canvas => Number(getComputedStyle(canvas).opacity)") == FADE
    page.keyboard.press(",")
    page.keyboard.press(".")
    page.keyboard.press(".")
    assert page.locator("#fade").input_value() == "75"
    page.locator("#fade").focus()
    page.keyboard.press("Home")
    assert tile(page, 0).evaluate("canvas => getComputedStyle(canvas).opacity") == "0"
    page.locator("#sort").select_option("score")
    scores = [data["results"][0]["images"][number]["score"] for number in order_of(page)]
    assert scores == sorted(scores)
    page.locator("#sort").select_option("name")
    names = [data["images"][number]["name"] for number in order_of(page)]
    assert names[1:] == ["p1.png", "p10.png"]
    page.keyboard.press("/")
    page.keyboard.type("P10")
    assert [data["images"][number]["name"] for number in order_of(page)] == ["p10.png"]
    page.locator("#filter").fill("")
    page.locator("#filter").press("Escape")
    page.keyboard.press("4")
    truth = decoded(page_maps(scored, 0)["truth"])
    classes = {number: one["color"] for number, one in enumerate(data["classes"])}
    wait_for_color(tile(page, 0), classes[int(truth[0, 0])])
    assert np.array_equal(painted(tile(page, 0))[..., :3], in_colors(truth, classes))
    page.keyboard.press("1")
    chosen = page.locator(".legend .row[data-clusters]").nth(1)
    number = int(str(chosen.get_attribute("data-clusters")))
    chosen.click()
    page.wait_for_function("canvas => canvas.width > 0", arg=tile(page, 0).element_handle())
    alpha = painted(tile(page, 0))[..., 3]
    inner = middle_of(numbers == number)
    outer = middle_of(numbers != number)
    assert np.all(alpha[inner] == 0)
    assert np.all(alpha[outer] > 150)
    page.locator("#sort").select_option("share")
    assert "3 images" in page.locator(".status").inner_text()
    page.locator(".legend .chosen .row").click()  # once more: released
    page.wait_for_function("canvas => canvas.width === 0", arg=tile(page, 0).element_handle())


def order_of(page: Page) -> list[int]:
    return [int(str(frame.get_attribute("data-number"))) for frame in page.locator(".tile").all()]


def wait_for_color(canvas: Locator, color: str) -> None:
    """Wait until the first pixel of a canvas has a colour."""
    wanted = list(bytes.fromhex(color[1:]))
    for _ in range(50):
        if painted(canvas)[0, 0, :3].tolist() == wanted:
            return
        canvas.page.wait_for_timeout(50)
    pytest.fail(f"the canvas does not turn {color}")


def middle_of(area: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """An area without its border."""
    padded = np.pad(area, 2, constant_values=True)
    shifts = [
        padded[2 + y : 2 + y + area.shape[0], 2 + x : 2 + x + area.shape[1]] for y in (-2, 0, 2) for x in (-2, 0, 2)
    ]
    found: NDArray[np.bool_] = np.logical_and.reduce(shifts)
    assert found.any()
    return found


def test_an_image_is_enlarged_moved_compared_and_left(open_page: Opener, scored: Path) -> None:
    page = open_page(scored)
    page.locator(".tile[data-number='0'] .picture").click()
    stage = page.locator(".stage")
    zoom = lambda: float(str(stage.get_attribute("data-zoom")))  # noqa: E731
    place = lambda: page.locator(".pane.left .plane").bounding_box()  # noqa: E731
    page.wait_for_function("() => document.querySelector('.stage').dataset.zoom === '1.000'")
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert zoom() == pytest.approx(1.96)
    stage.hover()
    page.mouse.wheel(0, -300)
    page.wait_for_function("() => Number(document.querySelector('.stage').dataset.zoom) > 2.5")
    before = place()
    page.keyboard.press("ArrowLeft")
    assert place()["x"] == pytest.approx(before["x"] + 80, abs=1)
    box = stage.bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] - 50, middle[1] + 20)
    page.mouse.up()
    assert place()["x"] == pytest.approx(before["x"] + 30, abs=1)
    assert page.locator(".legend .chosen").count() == 0  # a drag is no click
    page.keyboard.press("0")
    assert zoom() == 1
    page.keyboard.press("w")
    assert page.locator(".pane.right .tag").inner_text().endswith("two")
    numbers = decoded(page_maps(scored, 0)["results"][1])
    colors = {one["number"]: one["color"] for one in page_data(scored)["results"][1]["clusters"]}
    assert np.array_equal(painted(page.locator(".pane.right canvas"))[..., :3], in_colors(numbers, colors))
    page.locator(".divider").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".divider").get_attribute("aria-valuenow") == "55"
    page.mouse.click(middle[0] - 60, middle[1] - 60)
    at = int(HEIGHT / 2 - 60 * HEIGHT / place()["height"]), int(WIDTH / 2 - 60 * WIDTH / place()["width"])
    clicked = decoded(page_maps(scored, 0)["results"][0])[at]
    chosen = page.locator(".legend .chosen .row")
    chosen.wait_for()
    assert chosen.get_attribute("data-clusters") == str(clicked)
    page.keyboard.press("n")
    assert page.locator(".title-bar h2").inner_text() == page_data(scored)["images"][1]["name"]
    page.keyboard.press("p")
    page.keyboard.press("Escape")  # all clusters again
    page.keyboard.press("Escape")  # all images again
    assert page.locator(".tile").count() == 3


def test_scores_of_several_results_stand_beside_each_other(open_page: Opener, scored: Path) -> None:
    page = open_page(scored)
    page.keyboard.press("c")
    results = page_data(scored)["results"]
    table = page.locator(".scores table").first
    for result in results:
        assert f"{result['scores']['scores']['miou']:.3f}" in table.inner_text()
    cells = page.locator(".heat").first.locator("tbody tr").first.locator("td").all_inner_texts()
    row = results[0]["confusion"]["clusters_by_class"][0]
    assert cells[:2] == [str(round(100 * value / sum(row)) or "") for value in row]
    page.locator("#result").select_option("1")
    assert page.locator(".heat").first.locator("tbody tr").count() == 2
    assert len(legend(page)) == 2


def test_results_are_shown_side_by_side(open_page: Opener, scored: Path) -> None:
    page = open_page(scored)
    before = legend(page)
    page.keyboard.press("b")
    canvases = tile(page, 0)
    assert canvases.count() == 2
    assert page.locator(".tile[data-number='0'] .result-name").all_inner_texts() == ["six", "two"]
    for number, result in enumerate(page_data(scored)["results"]):
        colors = {one["number"]: one["color"] for one in result["clusters"]}
        wanted = in_colors(decoded(page_maps(scored, 0)["results"][number]), colors)
        assert np.array_equal(painted(canvases.nth(number))[..., :3], wanted)
    assert legend(page) == before  # of the chosen result
    page.evaluate(  # another layer while the maps of one wait to be painted
        """async () => {
            unseg.change({layer: "image"});
            await new Promise((end) => setTimeout(end, 100));
            unseg.change({layer: "map"});
            for (let i = 0; i < 30; i++) await null;
            unseg.change({layer: "errors"});
        }"""
    )
    page.wait_for_function("canvas => canvas.dataset.layer === 'errors'", arg=canvases.nth(1).element_handle())
    page.set_viewport_size({"width": 390, "height": 844})
    boxes = [one.bounding_box() for one in page.locator(".tile[data-number='0'] .picture").all()]
    assert all(box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
    page.locator(".tile[data-number='0'] .picture").nth(1).click()  # opens its own result
    assert page.locator("#result").input_value() == "1"
    page.keyboard.press("Escape")
    page.locator("#beside").click()
    assert tile(page, 0).count() == 1


def test_crops_are_large_and_nothing_is_out_of_reach_or_cut(open_page: Opener, scored: Path) -> None:
    page = open_page(scored)
    assert "p1.png" in page.locator(".tile img").evaluate_all("all => all.map(one => one.alt)")
    for width in (820, 1440, 390):
        page.set_viewport_size({"width": width, "height": 844})
        page.keyboard.press("g")
        for control in ("fade", "sort", "filter", "beside"):
            box = page.locator(f"#{control}").bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for place in (".legend .name", *(["#header .title p"] if width == 1440 else [])):
            assert page.locator(place).evaluate_all("all => all.every(one => one.scrollWidth <= one.clientWidth)")
        page.keyboard.press("m")
        assert 84 <= min(sides(page, ".card .crop")) <= max(sides(page, ".card .crop")) <= 128
        assert min(sides(page, ".suggestion .crop:visible")) >= 72
    page.locator(".legend .drawer").click()
    page.locator(".legend .row[data-clusters]").first.click()
    assert page.locator(".legend.open").count() == 0  # the images are free again


def sides(page: Page, elements: str) -> list[float]:
    found: list[float] = page.locator(elements).evaluate_all("all => all.map(one => one.getBoundingClientRect().width)")
    return found


def test_no_two_names_share_a_colour(open_page: Opener, scored: Path) -> None:
    page = open_page(scored)
    assert len(set(legend(page).values())) == 2  # clusters have the colours of their classes
    page.keyboard.press("m")
    assert page.locator("#progress").inner_text() == "0 of 6 named, 0 % of the pixels, 6 by matching"
    for number in range(4):
        say_name(page, number, f"name {number}")
    colors = [color for name, color in legend(page).items() if name.startswith("name")]
    assert len(set(colors)) == 4
    say_name(page, 3, "another name")
    assert legend(page)["another name"] == colors[3]
    say_name(page, 3, "Another name")  # in another spelling
    assert legend(page)["Another name"] == colors[3]


def test_names_with_tags_and_quotes_stay_text(open_page: Opener, plain: Path) -> None:
    page = open_page(plain)
    page.locator(".tile .name", has_text="onerror").wait_for()
    page.get_by_role("button", name=f"Open {EVIL}").click()
    assert page.locator(".title-bar h2").inner_text() == f"{EVIL}.png"
    assert page.locator("img[src=x]").count() == 0


REFUSED = (
    """Object.defineProperty(window, "localStorage", {get() { throw new DOMException("no", "SecurityError"); }});"""
)


def test_without_storage_names_are_saved_and_loaded_as_a_file(
    open_page: Opener, plain: Path, home: Path, tmp_path: Path
) -> None:
    page = open_page(plain, REFUSED)
    page.keyboard.press("m")
    assert "keeps nothing" in page.locator("#not-kept").inner_text()
    say_name(page, 5, "low")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    notice = page.locator("#not-kept button").first
    box = notice.bounding_box()
    assert box is not None
    assert notice.evaluate("(one, [x, y]) => document.elementFromPoint(x, y) === one", [box["x"] + 9, box["y"] + 9])
    page.evaluate("scrollTo(0, 0)")
    page.locator("#undo").click()
    say_name(page, 0, 'a\\b "c"')
    name_card(page, 1).get_by_label("Mixed").check()
    before = legend(page)
    file = saved(page, tmp_path)
    page.reload()
    assert page.locator("#progress").inner_text().startswith("0 of 6")
    page.locator("#load").set_input_files(file)
    page.wait_for_function("() => document.getElementById('progress').textContent.startsWith('1 of 6')")
    assert legend(page) == before
    assert name_card(page, 1).get_by_label("Mixed").is_checked()
    file.write_text(file.read_text().replace("clusters = [0]", "clusters = 0"))
    page.locator("#load").set_input_files(file)
    page.locator("#said", has_text="names.toml: line").wait_for()
    page.locator("#load").set_input_files(home / "data" / "classes.toml")
    page.locator("#said", has_text="line 3 has from, which belongs into a legend").wait_for()


def test_superpixels_alone_have_a_page_without_names(open_page: Opener, home: Path) -> None:
    path = superpixels([home / "data"], home / "sp.h5", Superpixels(algorithm="felzenszwalb"), workers=1).path
    page = open_page(visualize(path, home / "cut", Visualize(truth=False), limit=1, workers=1).path)
    assert page.locator("nav a").count() == 0  # there is nothing but to look
    numbers = decoded(page_maps(home / "cut", 0)["superpixels"])
    border = np.zeros(numbers.shape, bool)  # the next one to the right or below is of another superpixel
    border[:, :-1] |= numbers[:, :-1] != numbers[:, 1:]
    border[:-1] |= numbers[:-1] != numbers[1:]
    assert border.any()
    assert np.array_equal(np.all(painted(tile(page, 0)) == (255, 221, 77, 255), axis=2), border)


def test_help_and_theme_answer_to_keys(open_page: Opener, plain: Path) -> None:
    page = open_page(plain, color_scheme="light")
    page.keyboard.press("?")
    assert "next unnamed cluster" in page.locator("dialog").inner_text()
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.keyboard.press("d")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.keyboard.press("m")
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.locator(".card").count() == 6
