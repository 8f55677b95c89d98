"""Rows, columns and what stands beside them."""

import pytest

from mint_jax.report import grid
from mint_jax.report.grid import Key

BLIND = {"random_network", "pixels"}
AUDITORS = ("Neighbour", "Fusion")  # with banks


@pytest.mark.parametrize(("kind", "rows"), [("table1", 9), ("table2", 6)])
def test_rows_are_the_papers_then_ours(tables, kind, rows):
    found = grid.grid(tables, "matched", kind)
    names = [row.name for row in found.rows]
    assert len(names) == rows
    assert names[:4] == [f"Conv #{i}" for i in range(1, 5)]
    own = ["Model outcome", "All conv layers", "Neighbour", "Fusion"]
    assert names[4:-1] == (own if kind == "table1" else ["All conv layers"])
    assert names[-1] == "Pixels only"
    assert found.sizes == ("250", "500", "1000")
    assert found.rows[0].cells[1] is tables["protocols"]["matched"][kind]["conv1"]["500"]


@pytest.mark.parametrize("kind", ["table1", "table2"])
@pytest.mark.parametrize("known", [True, False])
def test_cross_database_figures_never_stand_alone(tables, kind, known):
    """The same auditor's matched figure, or that none is known, and both blind controls."""
    if not known:
        tables["protocols"]["matched"] = None
    found = grid.grid(tables, "cross_database", kind)
    assert found.columns[0] == "matched" and BLIND < set(found.columns)
    for row in found.rows:
        beside = dict(zip(found.columns, row.beside, strict=True))
        expected = grid.largest(grid.cells(tables, Key("matched", row.key.kind, row.key.layer)))
        assert beside["matched"] == (expected or "none known")
        if row.key.kind != "pixels":
            controls = tables["protocols"]["cross_database"]["controls"]
            assert beside["pixels"] is controls["pixels"]["1000"]
            assert beside["random_network"]["auc"] > 0.9


def test_blind_columns_stay_where_a_control_is_missing(tables):
    """An empty column says that the control was not run; leaving it out would hide that."""
    tables["protocols"]["cross_database"]["controls"] = {}
    found = grid.grid(tables, "cross_database", "table1")
    assert BLIND < set(found.columns)
    assert "shuffled_labels" not in found.columns


def test_absent_cells_are_left_out(tables):
    matched = tables["protocols"]["matched"]
    matched["table1"] = {"conv1": matched["table1"]["conv1"], "block_7": {"250": {"auc": 1}}}
    matched["table2"] = {}
    del matched["neighbour"], matched["fusion"], matched["controls"]
    found = grid.grid(tables, "matched", "table1")
    assert [row.name for row in found.rows] == ["Conv #1", "block_7"]
    assert found.rows[1].cells == ({"auc": 1}, None, None)
    assert found.columns == ()
    assert grid.grid(tables, "matched", "table2") is None
    banks = grid.bank_grid(tables)
    assert [row.name for row in banks.rows] == [f"{k}, cross-database" for k in AUDITORS]
    assert banks.columns[0] == "matched" and [row.beside[0] for row in banks.rows] == [None, None]


def test_auditors_with_banks_stand_together_with_their_controls(tables):
    found = grid.bank_grid(tables)
    assert found.title == "Neighbour and fusion auditors: AUC under each protocol"
    assert found.figure == "auc" and found.columns == (*grid.CONTROLS, "pixels")
    expected = [(p, kind) for p in ("matched", "cross_database") for kind in grid.BANKS]
    assert [(row.key.protocol, row.key.kind) for row in found.rows] == expected
    assert [row.name for row in found.rows[:2]] == [f"{name}, matched" for name in AUDITORS]
    for (protocol, kind), row in zip(expected, found.rows, strict=True):
        measured = tables["protocols"][protocol]
        assert list(row.cells) == list(measured[kind].values())
        controls = [measured["controls"][name][kind]["1000"] for name in grid.CONTROLS]
        assert list(row.beside) == [*controls, measured["controls"]["pixels"]["1000"]]


def test_a_matched_figure_that_an_auditor_lacks_is_a_gap_beside_it(tables):
    del tables["protocols"]["matched"]["fusion"]
    found = grid.bank_grid(tables)
    *_, fused = found.rows
    assert found.columns[0] == "matched"
    assert [row.beside[0] is None for row in found.rows] == [row is fused for row in found.rows]
    tables["protocols"]["matched"] = None
    assert [row.beside[0] for row in grid.bank_grid(tables).rows] == ["none known"] * 2


def test_before_fusion_the_neighbours_stand_alone(before_fusion):
    found = grid.bank_grid(before_fusion)
    assert found.title == "Neighbour auditor: AUC under each protocol"
    assert [row.name for row in found.rows] == ["Neighbour, matched", "Neighbour, cross-database"]
    rows = grid.grid(before_fusion, "cross_database", "table1").rows
    assert [row.name for row in rows[-2:]] == ["Neighbour", "Pixels only"]
    for protocol in before_fusion["protocols"].values():
        del protocol["neighbour"]
    assert grid.bank_grid(before_fusion) is None


def test_what_cells_share_is_of_every_auditor_of_a_table(tables):
    tables["protocols"]["matched"]["fusion"]["1000"]["seeds"] = 3
    for found in (grid.grid(tables, "matched", "table1"), grid.bank_grid(tables)):
        assert {cell["seeds"] for cell in found.cells} == {3, 5}


def test_false_members_stand_beside_where_they_were_counted(tables):
    cross = tables["protocols"]["cross_database"]
    found = grid.grid(tables, "cross_database", "table1")
    beside = dict(zip(found.columns, found.rows[0].beside, strict=True))
    assert beside["false_member_rate"] is cross["false_member_rate"]["table1"]["conv1"]["1000"]
    beside = dict(zip(found.columns, found.rows[-2].beside, strict=True))
    assert beside["false_member_rate"] is cross["false_member_rate"]["fusion"]["1000"]
    assert "false_member_rate" not in grid.grid(tables, "cross_database", "table2").columns


def test_score_keys():
    key = Key("cross_database", "table1", "conv1", "random_network")
    assert key.at("1000") == "cross_database/random_network/table1/conv1/1000"
    assert Key("matched", "fusion").at("250") == "matched/fusion/250"
