import re

from benchmarks.records.environment import capture_environment
from benchmarks.report.site.pages.history import draw_line
from benchmarks.report.trends import Point, Series, judge_series


def test_a_step_to_less_and_one_to_more_have_signs_of_their_own():
    values = [8.0, 8.0, 8.0, 4.0, 4.0, 4.0, 6.0, 6.0, 6.0]
    points = tuple(Point(f"2026-01-0{n}", None, value) for n, value in enumerate(values, start=1))
    series = Series("cell", "latency", "ms", capture_environment(), points)
    line = draw_line(judge_series(series))
    assert re.findall(r'circle class="(\w+)"', line) == ["better", "worse"]
    assert 'aria-label="9 points, a step to less, a step to more"' in line


def test_the_page_always_offers_what_regressed(site):
    page = site.files["history.html"].decode()
    verdicts = re.search(r"<label>verdict <select[^>]*>(.*?)</select>", page, re.DOTALL)[1]
    assert "<option>regressed</option>" in verdicts
