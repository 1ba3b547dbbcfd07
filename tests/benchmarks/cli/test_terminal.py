from benchmarks.cli.terminal import print_table


def show(capsys, *arguments, **options):
    print_table(*arguments, **options)
    return capsys.readouterr().out


def cells(line):
    return [cell.strip() for cell in line.replace("┃", "│").split("│")[1:-1]]


def test_rows_stand_below_their_headings(capsys):
    lines = show(capsys, ("name", "value"), [("a", 1.23456), ("b", None), ("c", 12345)]).split("\n")
    shown = [cells(line) for line in lines if len(cells(line)) == 2]
    assert shown == [["name", "value"], ["a", "1.235"], ["b", "-"], ["c", "12345"]]


def test_numbers_are_aligned_at_the_right(capsys):
    rows = [("a", 1), ("a", 100)]
    assert "│ a │   1 │" in show(capsys, ("x", "y"), rows, numbers=["y"])
    assert "│ a │ 1   │" in show(capsys, ("x", "y"), rows)


def test_the_total_is_set_apart_and_the_caption_is_last(capsys):
    lines = show(capsys, "x", [("1",), ("2",)], total=("sum",), caption="where").splitlines()
    (at,) = (number for number, line in enumerate(lines) if cells(line) == ["sum"])
    assert not cells(lines[at - 1])
    assert cells(lines[at - 2]) == ["2"]
    assert lines[-1].strip() == "where"


def test_what_looks_like_markup_is_printed_and_nothing_is_cut(capsys):
    words = "x" * 200
    out = show(capsys, ("a", "b"), [("[red] [1, 2]", words)])
    assert "[red] [1, 2]" in out
    assert out.count("x") == 200
    assert max(map(len, out.splitlines())) <= 160


def test_a_file_gets_whole_rows_whatever_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    assert "y" * 100 in show(capsys, ("a",), [("y" * 100,)])
