"""The page in a real browser, from the upload to the file that is taken home."""

import json
import re
import shutil
import time
from pathlib import Path

import av
import pytest
from waiting import until

PAGE = Path(__file__).parents[3] / "inference" / "web" / "page"
TWO_GB = 2 * 1024**3
NAMED_ROLES = ("button", "checkbox", "radio", "slider", "spinbutton", "link", "progressbar")


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def chromium(downloads):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("chromium and chromedriver are absent (Debian: chromium, chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    browsing = webdriver.Chrome(options=options, service=service)
    yield browsing
    browsing.quit()


class Page:
    """What a person does with the page, and sees on it."""

    def __init__(self, browser, port):
        self.browser = browser
        self.address = f"http://localhost:{port}/"

    def open(self, width=1280, height=900):
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        self.browser.get(self.address)
        self.until("#about:not(:empty)")
        return self

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).textContent", selector).strip()

    def is_shown(self, selector):
        return self.run(
            "const found = document.querySelector(arguments[0]);"
            "return Boolean(found) && found.getClientRects().length > 0",
            selector,
        )

    def until(self, selector):
        until(lambda: self.is_shown(selector), seconds=60)

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def click(self, selector):
        self.run("arguments[0].scrollIntoView({block: 'center'})", self.find(selector))
        self.find(selector).click()

    def give(self, kind, path):
        self.find(f"#{kind} input[type=file]").send_keys(str(path))

    def choose(self, kind, path):
        self.give(kind, path)
        self.until(f"#{kind} .chosen")

    def complaints(self):
        """Of the browser: errors, and what its policy kept the page from."""
        return [e["message"] for e in self.browser.get_log("browser") if e["level"] == "SEVERE"]

    def asked_hosts(self):
        """Hosts of all requests since this was last asked."""
        found = set()
        for entry in self.browser.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.add(message["params"]["request"]["url"].split("/")[2])
        return found


@pytest.fixture
def open_page(chromium, serve):
    def open_one(app_state, **size):
        chromium.get("about:blank")
        chromium.delete_all_cookies()
        for log in ("browser", "performance"):
            chromium.get_log(log)
        page = Page(chromium, serve(app_state)).open(**size)
        page.run("sessionStorage.clear()")
        return page

    return open_one


def test_from_the_upload_to_the_file_at_home(open_page, open_app, real_worker, media, downloads):
    page = open_page(open_app(real_worker))
    assert not page.find("#video input[type=file]").is_enabled(), "the box is not ticked yet"
    assert not page.find("#show").is_enabled()
    page.click("#rights")
    page.choose("video", media / "video.mp4")
    assert "video.mp4" in page.text("#video .chosen")
    assert "0.6 s, 160 × 120, 10 fps" in page.text("#video .chosen")
    page.choose("garment", media / "garment.png")
    page.click("#show")
    page.until("#preview")
    assert page.text("#preview-player figcaption") == "your video"
    assert len(page.browser.find_elements("css selector", "#preview-player canvas")) == 3
    page.click("#dress")
    page.until("#result")
    assert "garment.png on video.mp4, top, seed 0" in page.text("#result-note")
    assert page.text("#result .tag") == "synthetic"

    slider = "#result-player input[type=range][aria-label=Frame]"
    assert page.find(slider).get_attribute("max") == "5"
    page.run(
        "const slider = document.querySelector(arguments[0]); slider.value = 4;"
        "slider.dispatchEvent(new Event('input'))",
        slider,
    )
    until(lambda: page.text("#result-player output") == "0.4 / 0.6 s")
    colours = (
        "return [...document.querySelectorAll('#result-player canvas')].map((canvas) =>"
        "[...canvas.getContext('2d').getImageData(82, 80, 1, 1).data])"
    )
    until(lambda: page.run(colours)[0][0] > 150)
    source, result = page.run(colours)
    assert source[0] > 150, "the red shirt"
    assert source != result, "and what was painted in its place"

    page.click("#download")
    until(lambda: list(downloads.glob("*.mp4")))
    taken = downloads / "video-in-garment.mp4"
    until(taken.exists)
    with av.open(str(taken)) as container:
        assert "Synthetic video" in container.metadata["comment"]
        assert len(list(container.decode(video=0))) == 6
    assert page.complaints() == []
    assert page.asked_hosts() == {page.address.split("/")[2]}, "nothing is asked from outside"

    page.open()  # a reload brings back what was there
    page.until("#result")
    assert "video.mp4" in page.text("#video .chosen")
    page.click("#delete")
    until(lambda: not page.is_shown("#result"))
    page.click("#leave")
    until(lambda: page.is_shown("#empty") and not page.is_shown("#video .chosen"))


def test_wrong_files_get_a_sentence_where_they_were_given(
    open_page, open_app, real_worker, media, tmp_path
):
    app_state = open_app(real_worker, video_mb=200)
    page = open_page(app_state)
    page.click("#rights")
    with (tmp_path / "long.mp4").open("wb") as file:
        file.truncate(TWO_GB)  # sparse: two gigabytes of nothing
    start = time.monotonic()
    page.give("video", tmp_path / "long.mp4")
    page.until("#video-error")
    assert page.text("#video-error") == (
        "This file is too large: a video may have up to 200 MB, this one has 2.1 GB."
    )
    assert time.monotonic() - start < 20, "it was not sent first"
    page.give("garment", media / "text.jpg")
    page.until("#garment-error")
    assert "cannot be read as a picture" in page.text("#garment-error")
    page.choose("video", media / "empty_room.mp4")
    assert not page.is_shown("#video-error")
    page.click("#show")
    page.until("#stage-error")
    assert page.text("#stage-error").startswith("No person was found in this video.")
    page.choose("garment", media / "garment.png")
    assert not page.is_shown("#garment-error")


def test_a_place_in_the_queue_is_shown_and_a_job_can_be_cancelled(
    open_page, open_app, slow_worker, media, visit, send
):
    app_state = open_app(slow_worker)
    other = visit(app_state)
    video = send(other, "video", "video.mp4").json()["id"]
    order = {"rights": True, "video": video}
    first = other.post("/api/jobs", json=order).json()["id"]
    until(lambda: other.get(f"/api/jobs/{first}").json()["stage"])

    page = open_page(app_state)
    page.click("#rights")
    page.choose("video", media / "video.mp4")
    page.click("#show")
    page.until("#progress")
    until(lambda: page.text("#progress-title") == "One job is ahead of yours")
    assert page.text("#progress-note") == "It starts in about 30 seconds."
    other.post(f"/api/jobs/{first}/cancel")
    until(lambda: page.text("#progress-title") == "Painting")
    until(lambda: page.text("#percent") == "25 %")
    assert page.text("#progress-note") == "About 30 seconds left"
    page.click("#cancel")
    until(lambda: not page.is_shown("#progress"))
    assert page.text("#announced") == "Cancelled."
    until(lambda: page.find("#show").is_enabled())


def test_it_fits_a_phone_and_everything_has_a_name(open_page, open_app, real_worker, media):
    page = open_page(open_app(real_worker), width=390, height=844)
    page.click("#rights")
    page.choose("video", media / "video.mp4")
    page.choose("garment", media / "garment.png")
    page.click("#show")
    page.until("#preview")
    page.click("#dress")
    page.until("#result")
    page.click("#result-player button[aria-pressed]")  # the line between source and result
    page.until("#result-player .divider")
    assert page.run("return document.scrollingElement.scrollWidth") == 390
    tree = page.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    nameless = [
        node["role"]["value"]
        for node in tree
        if not node.get("ignored")
        and node.get("role", {}).get("value") in NAMED_ROLES
        and not node.get("name", {}).get("value")
    ]
    assert nameless == []
    small = page.run(
        "return [...document.querySelectorAll('button, .button, .segments label')]"
        ".filter((found) => found.getClientRects().length && !found.matches('.link'))"
        ".filter((found) => found.getBoundingClientRect().height < 36).map((f) => f.outerHTML)"
    )
    assert small == [], "too small for a thumb"


def colours_of(block):
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_its_ground_by_what_wcag_asks(is_dark):
    blocks = (PAGE / "page.css").read_text(encoding="utf-8").split(":root {")
    colours = colours_of(blocks[1]) | (colours_of(blocks[2]) if is_dark else {})
    for text, ground in (
        ("ink", "paper"), ("ink", "card"), ("soft", "paper"), ("soft", "card"), ("on-ink", "ink"),
        ("ink", "accent-wash"), ("soft", "accent-wash"), ("accent", "paper"), ("accent", "card"),
        ("on-ink", "accent"), ("bad", "bad-wash"),
    ):  # fmt: skip
        light, dark = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{text} on {ground}"


def test_the_page_asks_for_nothing_from_outside():
    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "//" not in re.sub(r"^\s*//.*$|\s// .*$", "", text, flags=re.MULTILINE), path.name
        assert " style=" not in text
