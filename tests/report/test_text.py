"""The tables as text."""

from mint_jax import report
from mint_jax.report import words


def _line(text: str, title: str, name: str) -> str:
    block = text[text.index(title) :].split("\n\n")[0]
    return next(line for line in block.splitlines() if line.startswith(name))


def _auc(cell: dict) -> str:
    return f"{words.rate(cell['auc'], 2)} {words.interval(cell['auc_ci95'], 2)}"


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


def test_verdicts_and_controls_are_printed(tables):
    text = report.console(tables)
    block = text[text.index("Evidence at a false-alarm rate of 1%") :].split("\n\n")[0]
    lines = block.splitlines()
    assert len(lines) == 2 + 2 + 1 + 4  # title, head, the auditor, controls
    bars = [[i for i, letter in enumerate(line) if letter == "|"] for line in lines if "|" in line]
    assert len(bars) == 6 and all(b == bars[0] for b in bars) and max(map(len, lines)) <= 140
    (pixels,) = [line for line in lines if line.startswith("pixels")]
    row = tables["protocols"]["cross_database"]["evidence"]["controls"][0]
    assert pixels.split("|")[2].split()[0] == f"{row['tpr']:.3f}*"[1:]
    said = " ".join(text[text.index("\n\n- ") :].split())
    for protocol in tables["protocols"].values():
        assert protocol["evidence"]["headline"] in said
    assert said.index("Membership cannot be determined.") < said.index("Error in the audit")


def test_auditors_with_banks_are_printed_together(tables):
    text = report.console(tables)
    cell = tables["protocols"]["cross_database"]["fusion"]["1000"]
    blind = tables["protocols"]["cross_database"]["controls"]["random_network"]["fusion"]["1000"]
    left, right = _line(text, "Neighbour and fusion auditors", "Fusion, cross").split("|")
    assert left.split("  ")[-2].strip() == _auc(cell) and right.startswith(f" {_auc(blind)}")
    assert _line(text, "Table 1, matched", "Fusion").count("[") == 3 + 3
    assert _line(text, "Table 2, matched", "All conv layers").count("[") == 3 + 2


def test_before_fusion_nothing_is_said_of_it(before_fusion):
    text = report.console(before_fusion)
    assert "usion" not in text
    assert _line(text, "Neighbour auditor: AUC", "Neighbour, matched").count("[") == 3 + 3


def test_the_evidence_takes_few_lines(tables):
    with_evidence = len(report.console(tables).splitlines())
    for protocol in tables["protocols"].values():
        del protocol["evidence"]
    without = report.console(tables)
    assert "Evidence" not in without
    assert with_evidence - len(without.splitlines()) <= 25


def test_controls_of_one_protocol_alone(tables):
    tables["protocols"]["cross_database"] = None
    for row in tables["protocols"]["matched"]["evidence"]["controls"]:
        row |= {"tpr": None, "fpr": None, "advantage": None, "advantage_lower95": None}
    _, *lines = report.console(tables).split("Evidence at")[1].split("\n\n")[0].split("\n", 2)
    assert "matched: found" in lines[1] and "cross" not in lines[1]
    assert "*" not in lines[1]  # nobody finds most where nothing was counted


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
