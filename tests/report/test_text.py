"""The tables as text."""

from mint_jax import report


def _line(text: str, title: str, name: str) -> str:
    block = text[text.index(title) :].split("\n\n")[0]
    return next(line for line in block.splitlines() if line.startswith(name))


def test_cells_are_printed_with_intervals_and_controls(tables):
    text = report.console(tables)
    matched = tables["protocols"]["matched"]["table1"]["conv1"]
    line = _line(text, "Table 1, cross-database", "Conv #1")
    left, right = line.split("|")
    assert len(left.split("[")) == 1 + 3  # sizes
    assert len(right.split("[")) == 1 + 4  # matched, random network, shuffled labels, pixels
    low, high = (f"{x:.2f}"[1:] for x in matched["1000"]["accuracy_ci95"])
    assert right.split("[")[1].startswith(f"{low}, {high}]")
    assert "n = 2,000 test images, 5 auditors a cell" in text
    assert "n = 2,000 test images, 2 auditors a cell" in text


def test_columns_line_up_and_fit_a_wide_terminal(tables):
    blocks = report.console(tables).split("\n\n")
    grids = [block.splitlines()[2:] for block in blocks if block.startswith("Table")]
    assert len(grids) == 4
    for lines in grids:
        assert len({line.index("|") for line in lines if "|" in line}) == 1
        assert max(map(len, lines)) <= 140


def test_unknown_matched_split(tables):
    tables["protocols"]["matched"] = None
    text = report.console(tables)
    assert text.startswith("Matched protocol: nobody here knows")
    assert _line(text, "Table 1, cross-database", "Conv #1").count("none known") == 1
    assert "Table 1, matched" not in text


def test_nothing_but_one_cell(tables):
    cell = tables["protocols"]["matched"]["table1"]["conv1"]["250"]
    tables["protocols"] = {"matched": {"table1": {"conv1": {"250": cell}}}, "cross_database": None}
    text = report.console(tables)
    assert "Cross-database protocol: it was not run" in text
    assert "Conv #1" in text and "|" not in text
