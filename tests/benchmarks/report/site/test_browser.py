"""The site in a real browser, from its files, with no network."""

import re
import shutil

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe judges the pages")

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BROWSER, reason="there is no Chromium: apt-get install chromium"),
]
# A page of each type.
PAGES = (
    *("index.html", "tables.html", "claims.html", "tasks.html", "models.html", "speed.html"),
    *("method.html", "explorer.html", "reviewers.html", "history.html", "machines.html"),
    *("unread.html", "table/table7-cpu.html", "table/study-small-cpu.html"),
    *("table/table-semanir-3-cpu.html", "claim/study-small-cpu-1.html"),
    *("finding/against-swinir.html", "task/denoise-color.html"),
    *("model/kgt-tiny-denoise-color.html", "record/table7-cpu.html"),
)
WIDE, NARROW = 1400, 390


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser, folder):
    """Opens a page of the site; fails at its end if it logged an error or asked a host."""
    faults, opened = [], []

    def go(path, width=WIDE):
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
        opened.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"{path}: {error}"))
        page.on("console", lambda m: m.type == "error" and faults.append(f"{path}: {m.text}"))
        page.on("request", lambda r: r.url.startswith("http") and faults.append(f"{path}: {r.url}"))
        page.goto(f"file://{folder}/{path}")
        return page

    yield go
    for context in opened:
        context.close()
    assert faults == []


def pages_with_records(folder):
    """The pages with a record of quality and one of memory, whose names of quantities are long."""
    records = []
    for exhibit, quantity in (("table7-cpu", "psnr"), ("table3-smoke", "peak_over_closed_form")):
        path = f"record/{exhibit}.html"
        before, _, _ = (folder / path).read_text().partition(f'"{quantity}"')
        digest = re.findall(r'<section class="record" id="(\w+)">', before)[-1]
        records.append(f"{path}#{digest}")
    return (*PAGES, *records)


def test_every_type_of_page_loads_draws_its_charts_and_fits_a_phone(visit, folder):
    for path in pages_with_records(folder):
        page = visit(path, NARROW)
        for place in page.locator(".drawn").all():
            place.scroll_into_view_if_needed()
            place.locator("svg.marks").first.wait_for()
        widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        needed, there = page.evaluate(widths)
        assert needed <= there, path


def test_contrast_and_labels_pass_axe(visit, folder):
    found = {}
    for path in pages_with_records(folder):
        page = visit(path)
        # What axe would load to look into styles, a page from a file may not.
        options = {"resultTypes": ["violations"], "preload": False}
        results = axe.Axe().run(page, options=options)
        if results.violations_count:
            found[path] = results.generate_report()
    assert not found, "\n".join(f"{path}: {report}" for path, report in found.items())


def test_a_table_is_searched_sorted_and_filtered_and_its_address_restores_it(visit, folder):
    path = "table/study-small-cpu.html"
    page = visit(path)
    rows = page.locator("table#table tbody tr")
    everything = rows.count()
    page.locator(".dt-search input").fill("kgt-tiny")
    page.locator('.filters select[data-column="0"]').select_option("denoise-color-s25")
    assert 0 < rows.count() < everything
    assert all("denoise-color-s25" in text for text in rows.all_inner_texts())
    page.locator(".dt-search input").fill("")
    number = page.locator("table#table thead th").count() - 1
    header = page.locator("table#table thead th").nth(number)
    header.click()
    sync_api.expect(header).to_have_attribute("aria-sort", "ascending")
    kept, shown = page.url, rows.all_inner_texts()
    assert "#" in kept
    again = visit(path + kept[kept.index("#") :])
    assert again.locator("table#table tbody tr").all_inner_texts() == shown


def test_numbers_are_sorted_as_numbers(visit):
    page = visit("speed.html")
    name = page.locator("table#times thead th", has_text=re.compile(r"^median ms"))
    name.click()
    sync_api.expect(name).to_have_attribute("aria-sort", "ascending")
    position = page.locator("table#times thead th").all_inner_texts().index(name.inner_text())
    cells = page.locator(f"table#times tbody tr td:nth-child({position + 1})").all_inner_texts()
    values = [float(text.replace(",", "")) for text in cells]
    assert len({*values}) > 5
    assert values == sorted(values)


def test_a_slider_moves_by_mouse_and_by_keyboard_and_shows_what_is_chosen(visit):
    page = visit("task/denoise-color.html")
    slider = page.locator("img-comparison-slider").first
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()

    def exposed():
        return slider.evaluate("s => s.value")

    middle = exposed()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    by_mouse = exposed()
    assert by_mouse > middle
    slider.focus()
    page.keyboard.down("ArrowLeft")
    page.wait_for_timeout(400)
    page.keyboard.up("ArrowLeft")
    assert exposed() < by_mouse
    left = page.locator(".compare select").first
    left.select_option(label="target")
    assert slider.locator('[slot="first"]').get_attribute("src").endswith("-target.png")


def test_the_explorer_follows_pointer_and_keys(visit):
    page = visit("explorer.html")
    sync_api.expect(page.locator("#said")).to_contain_text("32 keys")
    window = page.locator(".window:visible")
    box = window.bounding_box()
    page.mouse.move(box["x"] + box["width"] * (20.5 / 32), box["y"] + box["height"] * (4.5 / 32))
    said = page.locator("#said")
    assert said.inner_text().startswith("Row 5, column 21: 32 keys;")
    assert page.locator(".window:visible .keys rect").count() == 32
    page.locator("#k").select_option("8")
    assert page.locator(".window:visible .keys rect").count() == 8
    window.focus()
    page.keyboard.press("ArrowDown")
    assert said.inner_text().startswith("Row 6, column 21: 8 keys;")


def test_a_window_is_chosen_on_the_photograph_and_its_address_restores_it(visit):
    page = visit("explorer.html")
    window = page.locator(".window:visible")
    first = window.get_attribute("aria-label")
    choices = page.locator(".photograph:visible button")
    sync_api.expect(choices.first).to_have_attribute("aria-pressed", "true")
    sync_api.expect(page.locator("#said")).to_contain_text("32 keys")
    choices.nth(1).click()
    by_mouse = window.get_attribute("aria-label")
    choices.nth(2).focus()
    page.keyboard.press("Enter")
    by_keyboard, said = window.get_attribute("aria-label"), page.locator("#said").inner_text()
    assert len({first, by_mouse, by_keyboard}) == 3
    sync_api.expect(choices.nth(2)).to_have_attribute("aria-pressed", "true")
    again = visit("explorer.html" + page.url[page.url.index("#") :])
    sync_api.expect(again.locator("#said")).to_have_text(said)
    assert again.locator(".window:visible").get_attribute("aria-label") == by_keyboard


def test_tables_of_a_card_scroll_and_break_no_word(visit):
    page = visit("model/kgt-tiny-denoise-color.html", NARROW)
    cells = page.locator(".card-text td", has_text=re.compile(r"^[\d.]+e-\d+$"))
    assert cells.count() > 2
    lines = "cell => cell.clientHeight / parseFloat(getComputedStyle(cell).lineHeight)"
    assert all(cell.evaluate(lines) < 2 for cell in cells.all())


def test_a_table_is_copied_as_csv(visit):
    page = visit("table/table7-cpu.html")
    page.evaluate(
        "document.execCommand = () => { window.copied = getSelection().toString() || "
        "document.activeElement.value; return true; }"
    )
    page.get_by_role("button", name="Copy as CSV").click()
    assert page.evaluate("window.copied").startswith("model")


def test_without_scripts_charts_are_pictures_and_tables_are_there(browser, folder):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(f"file://{folder}/table/study-small-cpu.html")
    assert page.locator(".drawn img").count() == 1
    assert page.locator("table#table tbody tr").count() > 20
    context.close()


def test_the_address_of_a_record_shows_that_one_and_leads_back_to_the_list(visit):
    page = visit("table/table7-cpu.html")
    links = page.locator('table#table a[href*="record/"]')
    link = links.filter(has_text=re.compile(r"^\d+\.\d\d")).first
    shown = link.inner_text()
    link.click()
    record = page.locator(".record:visible")
    assert record.count() == 1
    sync_api.expect(record.locator(".lead")).to_contain_text(shown)
    sync_api.expect(record.locator(".values")).to_contain_text("psnr")
    assert not page.locator("table#records").is_visible()
    assert page.locator('a[href="#main"]').count() == 0  # it would name something else
    record.get_by_role("link", name=re.compile("^All ")).click()
    assert page.locator("table#records").is_visible()
    assert record.count() == 0
    other = page.locator("table#records tbody td:first-child a").last
    name = other.inner_text()
    other.click()
    sync_api.expect(record.locator("h2")).to_have_text(name)
    assert record.locator(".values table").count() > 1
