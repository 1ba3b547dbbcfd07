import csv
import io

import pytest

from benchmarks.cli.escaping import escape_csv, escape_latex, escape_markdown, render_table


def test_text_in_a_table_stays_one_cell_and_makes_no_tag_or_link():
    text = "a|b\nc <script>x</script> [y](javascript:z)"
    table = render_table(["h"], [[escape_markdown(text)]])
    assert len(table.splitlines()) == 3
    row = table.splitlines()[2]
    assert row.replace("\\|", "").count("|") == 2
    assert "<" not in row
    assert "](" not in row


def test_text_in_latex_is_no_command():
    assert escape_latex("50 %\n\\input{x} ^~_&#$") == (
        r"50 \% \textbackslash{}input\{x\} \textasciicircum{}\textasciitilde{}\_\&\#\$"
    )


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+x", "-1+x", "@SUM(A1)", "\t=1", "\r=1"])
def test_text_in_csv_is_no_formula(text):
    stream = io.StringIO()
    csv.writer(stream).writerow(map(escape_csv, [text, "-", 1.5, -2, None]))
    (row,) = csv.reader(io.StringIO(stream.getvalue(), newline=""))
    assert row == [f"'{text}", "-", "1.5", "-2", ""]
