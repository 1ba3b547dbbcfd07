import pytest

from benchmarks.records.result import Quantity
from benchmarks.report.site.pages.records import format_quantity, summarize
from tests.benchmarks.making import make_cell, make_record


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        (Quantity(value=569344.0, unit="bytes"), "556 KiB"),
        (Quantity(value=1.5 * 2**30, unit="bytes"), "1.5 GiB"),
        (Quantity(value=3 * 2**20, lo=2**20, hi=4 * 2**20, unit="bytes"), "3 MiB [1, 4]"),
        (Quantity(value=0.0, unit="bytes"), "0 bytes"),
        (Quantity(value=47185920.0, unit="FLOP"), "47,185,920 FLOP"),
        (Quantity(value=0.123456, lo=0.1, hi=0.2), "0.1235 [0.1, 0.2]"),
    ],
)
def test_a_quantity_has_a_unit_that_it_fills_and_no_powers_of_ten(quantity, text):
    assert format_quantity(quantity) == text


def test_a_record_is_summed_up_by_what_people_call_its_quantity():
    cell = make_cell("quality")
    assert summarize(make_record(cell, psnr=Quantity(value=34.21, unit="dB"))) == "PSNR 34.21 dB"


def test_a_set_that_is_not_here_is_not_called_unsupported():
    reason = {"status": "unsupported", "reason": "there is no folder Set5"}
    assert summarize(make_record(make_cell("quality"), **reason)) == "not available"
    attention = make_cell("latency", backend="triton")
    assert summarize(make_record(attention, **reason)) == "unsupported"
