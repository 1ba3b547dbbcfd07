import base64
import json
import posixpath
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zlib
from collections import Counter, deque
from html.parser import HTMLParser
from itertools import combinations
from urllib.parse import unquote

import numpy as np
import pytest

from benchmarks.records.record import RecordStore
from benchmarks.report.__main__ import main
from benchmarks.report.site.build import build_site
from benchmarks.report.site.findings import list_findings
from benchmarks.report.site.findings.finding import MOST_WORDS
from benchmarks.report.site.keys import SIDE, list_windows
from benchmarks.report.site.library import load_library
from benchmarks.report.site.writer import MARKER, Site, keep_quotes, mark_code
from tests.benchmarks.report.site.conftest import EVIL, MARKUP, ROOT

FRONT = "index.html"


class Page(HTMLParser):
    """What a page refers to, the anchors in it, and its text."""

    def __init__(self, content):
        super().__init__()
        self.links, self.loaded, self.anchors, self.texts = [], [], set(), []
        self.feed(content.decode())

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if "id" in found:
            self.anchors.add(found["id"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        for name in ("src", "href", "xlink:href"):
            if tag != "a" and name in found:
                self.loaded.append(found[name])

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def pages_of(site):
    return {path: Page(data) for path, data in site.files.items() if path.endswith(".html")}


def resolve(path, link):
    """The file in a site that a relative link leads to, and its anchor."""
    target, _, anchor = link.partition("#")
    base = posixpath.dirname(path)
    return (posixpath.normpath(posixpath.join(base, unquote(target))) if target else path), anchor


def test_every_link_and_file_of_every_page_is_there(site):
    pages = pages_of(site)
    records = sum(data.count(b'<section class="record"') for data in site.files.values())
    assert len(pages) + records > 100
    for path, page in pages.items():
        for link in page.links:
            target, anchor = resolve(path, link)
            assert target in site.files, (path, link)
            if anchor and target in pages:
                assert anchor in pages[target].anchors, (path, link)
        for link in page.loaded:
            assert link.startswith("data:") or resolve(path, link)[0] in site.files, (path, link)


def test_no_page_names_a_host_to_load_from(site):
    for path, data in site.files.items():
        if path.endswith((".html", ".css")):
            loaded = re.findall(
                r"""(?:src|href)=["']?(\w+:)?//|url\(["']?(\w+:)?//""", data.decode()
            )
            assert not loaded, path


def test_built_again_it_is_the_same_byte_by_byte(site, results):
    again = build_site(results)
    assert again.files.keys() == site.files.keys()
    assert [path for path, data in again.files.items() if data != site.files[path]] == []


def test_another_process_with_other_hashes_makes_the_same_bytes(site, results, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from benchmarks.report.site.library import load_library\n"
        "from benchmarks.report.site.pages import claims, exhibits, front\n"
        "from benchmarks.report.site.writer import Site\n"
        "library, site = load_library(Path(sys.argv[1])), Site()\n"
        "for page in (front, exhibits, claims): page.add(site, library)\n"
        "site.finish()\n"
        "site.write(Path(sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", code, results, tmp_path / "site"]
    environment = {**__import__("os").environ, "PYTHONHASHSEED": "12345"}
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
    built = [path for path in (tmp_path / "site").rglob("*") if path.is_file()]
    assert len(built) > 30
    for path in built:
        name = path.relative_to(tmp_path / "site").as_posix()
        assert path.read_bytes() == site.files[name], name


def test_text_from_outside_is_text_on_every_page(site):
    shown = 0
    for path, data in site.files.items():
        if path.endswith((".html", ".svg")):
            assert MARKUP not in data.decode(), path
            shown += EVIL.splitlines()[0] in "".join(Page(data).texts)
    assert shown >= 2  # on the page of its record, and of its table


def test_charts_are_well_formed_pictures(site):
    charts = [data for path, data in site.files.items() if path.startswith("charts/")]
    assert len(charts) > 5
    for data in charts:
        assert ElementTree.fromstring(data).tag == "{http://www.w3.org/2000/svg}svg"


def test_what_cannot_be_read_is_listed_and_the_rest_is_there(site, results):
    text = Page(site.files["unread.html"]).text
    name = "study-attention-crossover-gpu.jsonl"
    store = RecordStore(results / "records" / name)
    assert len(store.problems) == 2
    numbers = [problem.split(":")[1] for problem in store.problems]
    assert all(f"records/{name}:{number}:" in text for number in numbers)
    assert "unread.html" in Page(site.files[FRONT]).links
    assert "table/study-attention-crossover-gpu.html" in site.files


def test_no_page_says_where_the_records_lay(site, results):
    for path, data in site.files.items():
        assert str(results).encode() not in data, path


def find_clicks(pages, start, wanted, most):
    """The fewest links from a page to a wanted page or record; None where it takes more."""
    seen, queue = {start}, deque([(start, 0)])
    while queue:
        place, clicks = queue.popleft()
        if place == wanted:
            return clicks
        path = place.partition("#")[0]
        if clicks < most and path in pages:
            for link in pages[path].links:
                target = "#".join(filter(None, resolve(path, link)))
                if target not in seen:
                    seen.add(target)
                    queue.append((target, clicks + 1))
    return None


def test_each_finding_reaches_every_record_behind_it_in_three_clicks(site, results):
    library, pages = load_library(results), pages_of(site)
    front = pages[FRONT]
    findings = list_findings(library)
    assert len(findings) >= 3
    for finding in findings:
        assert finding.path in front.links
        records = [record for number in finding.numbers for record in number.records]
        assert records
        for record in records:
            wanted = library.path_of(record)
            clicks = find_clicks(pages, finding.path, wanted, 2)
            assert clicks is not None, (finding.key, wanted)


def test_findings_are_short_and_their_numbers_have_intervals(results):
    for finding in list_findings(load_library(results)):
        assert len(finding.sentence.split()) <= MOST_WORDS, finding.sentence
        assert finding.sentence.endswith(".")
        assert all(number.interval for number in finding.numbers)


def section_of(site, path):
    """The part of a page of records that the address of a record shows."""
    page, _, digest = path.partition("#")
    sections = re.findall(
        r'(?s)<section class="record" id="(\w+)">(.*?)</section>', site.files[page].decode()
    )
    return dict(sections)[digest]


def test_every_number_of_a_table_leads_to_its_record(site, results):
    """The values of each record are found on the page that its table links."""
    library = load_library(results)
    exhibit = library.find("study", "small", "cpu")
    page = site.files[exhibit.path].decode()
    linked = dict(re.findall(r'<a href="\.\./(record/[^"]+)">([^<]+)</a>', page))
    scored = {
        library.path_of(record): record
        for record in exhibit.report.records.values()
        if record.cell.kind == "quality" and record.status == "ok"
    }
    assert len(scored) > 50
    for path, record in scored.items():
        psnr = record.result.quantity("psnr").value
        assert linked[path].startswith(f"{psnr:.2f}")
        assert repr(psnr) in section_of(site, path)


def _to_seven_digits(text):
    return pytest.approx(float(text), rel=5.1e-7)


def test_the_page_of_a_record_holds_all_of_it(site, results):
    library = load_library(results)
    exhibit = library.find("table", "7", "cpu")
    for record in exhibit.report.records.values():
        text = Page(section_of(site, library.path_of(record)).encode()).text
        kept = json.loads(text[text.index('{"cell":') : text.rindex("}") + 1])
        whole = json.loads(record.model_dump_json(exclude_defaults=True))
        environment, of_the_run = whole.pop("environment"), kept.pop("environment")
        for name, quantity in kept["metrics"].items():
            assert quantity["value"] == whole["metrics"][name]["value"]
        assert kept == json.loads(json.dumps(whole), parse_float=_to_seven_digits)
        machines = Page(site.files["machines.html"]).text
        for name, value in environment.items():
            if name in ("commit", "dirty", "timestamp"):
                assert of_the_run[name] == value
            else:
                assert json.dumps(value, separators=(",", ":")) in machines


def test_a_claim_leads_to_all_its_records(site, results):
    library = load_library(results)
    judged = [claim for claim in library.claims() if claim.judgment.verdict != "NOT MEASURED"]
    assert judged
    for claim in judged:
        links = {"#".join(resolve(claim.path, link)) for link in Page(site.files[claim.path]).links}
        cells = claim.judgment.cells
        assert cells
        assert {library.path_of(claim.exhibit.records[c]) for c in cells} <= links


def test_results_against_the_method_stand_beside_those_for_it(results):
    findings = {finding.key: finding for finding in list_findings(load_library(results))}
    numbers = [number.text for number in findings["against-swinir"].numbers]
    assert numbers[0].startswith("+")
    assert numbers[1].startswith("\N{MINUS SIGN}")
    assert findings["speed-gpu"].verdict == "FAILS"


def test_pictures_are_as_many_as_photographs_and_their_scores_are_shown(site):
    pictures = [path for path in site.files if path.startswith("picture/")]
    assert len(pictures) == 3 * 4
    assert all(site.files[path].startswith(b"\x89PNG") for path in pictures)
    page = Page(site.files["task/denoise-color.html"])
    assert len(re.findall(r"difference [+\N{MINUS SIGN}]\d\.\d\d dB", page.text)) == 3
    assert "No picture: no weights ship" in Page(site.files["tasks.html"]).text


def test_the_page_of_a_network_shows_pictures_terms_and_why_a_quantity_is_missing(site, results):
    path = "model/kgt-tiny-denoise-color.html"
    page = Page(site.files[path])
    assert "Apache-2.0" in page.text
    assert "Berkeley Segmentation Dataset" in page.text
    assert site.files[path].count(b"<img-comparison-slider") == 3
    assert "task/denoise-color.html" in {resolve(path, link)[0] for link in page.links}
    assert "No memory: measured in table semanir-3 , among whose rows" in page.text
    assert "table/table-semanir-3-cpu.html" in {resolve(path, link)[0] for link in page.links}


def test_scores_of_a_card_lead_to_their_records(site, results):
    library = load_library(results)
    exhibit = library.find("study", "small", "cpu")
    shipped = "swinir-tiny-weather"
    page = site.files[f"model/{shipped}.html"].decode()
    linked = dict(re.findall(r'<td><a href="\.\./(record/[^"]+)">([^<]+) dB</a></td>', page))
    own = {
        library.path_of(record): f"{record.result.quantity('psnr').value:.2f}"
        for record in exhibit.report.records.values()
        if record.cell.model == shipped
    }
    assert len(own) == 3
    assert linked == own


def test_every_negative_number_of_a_text_has_a_minus_sign(site):
    signed = 0
    for path, data in site.files.items():
        if path.endswith(".html"):
            shown = re.sub(
                r"(?s)<(script|pre|textarea|code|option)\b.*?</\1>|<[^>]*>", " ", data.decode()
            )
            assert not re.findall(r"(?<![\w.-])-\d.{20}", shown), path
            signed += "\N{MINUS SIGN}0." in shown
    assert signed > 3


def test_the_explorer_offers_windows_of_each_photograph_and_stays_small(site):
    page = site.files["explorer.html"].decode()
    assert len(page) < 700_000
    packed = json.loads(re.search(r'id="orders">(.*?)</script>', page)[1])
    windows = {f"{window.name}-{window.number}": window for window in list_windows()}
    assert packed.keys() == windows.keys()
    for name, text in packed.items():
        order = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u2")
        assert np.array_equal(order, windows[name].order.ravel())
    places = [(window.name, window.top, window.left) for window in windows.values()]
    for one, other in combinations(places, 2):
        if one[0] == other[0]:
            assert max(abs(one[1] - other[1]), abs(one[2] - other[2])) >= SIDE
    assert min(Counter(name for name, *_ in places).values()) >= 3


def test_files_of_others_come_with_their_licenses(site):
    assert b"University of Washington" in site.files["vendor/LICENSE.vega"]
    named = re.findall(rb"`(LICENSE\.[\w-]+)`", site.files["vendor/README.md"])
    there = {path for path in site.files if path.startswith("vendor/LICENSE")}
    assert {f"vendor/{name.decode()}" for name in named} == there


def test_a_site_replaces_all_of_an_earlier_one(site, tmp_path):
    target = tmp_path / "site"
    site.write(target)
    (target / "table" / "gone.html").write_text("stale")
    site.write(target)
    built = {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()}
    assert built == set(site.files)
    assert [p.name for p in tmp_path.iterdir()] == ["site"]


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds files that are no site"):
        Site().write(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_files_never_share_a_path():
    site = Site()
    site.add("a.txt", "one")
    site.add("a.txt", "one")
    with pytest.raises(ValueError, match=r"path a\.txt"):
        site.add("a.txt", "two")
    site.add_beside("b.txt", str.upper, "one")
    site.add_beside("b.txt", str.upper, "two")
    with pytest.raises(ValueError, match=r"path b\.txt"):
        site.finish()


def test_text_between_tags_keeps_quotation_marks_alone():
    assert str(keep_quotes('<b>"&amp;')) == '&lt;b&gt;"&amp;amp;'


def test_backticks_of_a_text_are_code_and_nothing_else_is():
    assert str(mark_code("`a<b>` & `c")) == "<code>a&lt;b&gt;</code> &amp; `c"


def test_the_command_names_what_is_missing(tmp_path, capsys):
    assert main(["site", "--results", str(tmp_path / "none"), "--out", str(tmp_path / "s")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_any_record_the_front_page_says_so(tmp_path, few_pictures):
    (tmp_path / "records").mkdir()
    site = build_site(tmp_path)
    text = Page(site.files[FRONT]).text
    assert "No pair of KGT and SwinIR was measured." in text
    assert "0 findings" in text
    assert MARKER in site.files


@pytest.mark.slow
def test_the_committed_records_make_a_site_of_limited_size(tmp_path):
    command = [sys.executable, "-m", "benchmarks.report", "site", "--out", tmp_path / "site"]
    subprocess.run(command, check=True, cwd=ROOT)
    sizes = {path: path.stat().st_size for path in (tmp_path / "site").rglob("*.*")}
    pictures = sum(size for path, size in sizes.items() if path.suffix in (".png", ".svg"))
    assert sum(sizes.values()) - pictures < 10e6
    assert sum(sizes.values()) < 40e6
