"""Rows, columns and what stands beside them."""

import pytest

from mint_jax.report import grid
from mint_jax.report.grid import Key

BLIND = {"random_network", "pixels"}


@pytest.mark.parametrize(("kind", "rows"), [("table1", 8), ("table2", 5)])
def test_rows_are_the_papers_then_ours(tables, kind, rows):
    found = grid.grid(tables, "matched", kind)
    names = [row.name for row in found.rows]
    assert len(names) == rows
    assert names[:4] == [f"Conv #{i}" for i in range(1, 5)]
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
    del matched["neighbour"], matched["controls"]
    found = grid.grid(tables, "matched", "table1")
    assert [row.name for row in found.rows] == ["Conv #1", "block_7"]
    assert found.rows[1].cells == ({"auc": 1}, None, None)
    assert found.columns == ()
    assert grid.grid(tables, "matched", "table2") is None
    assert [row.name for row in grid.neighbour_grid(tables).rows] == ["Cross-database"]


def test_false_members_stand_beside_where_they_were_counted(tables):
    cross = tables["protocols"]["cross_database"]
    found = grid.grid(tables, "cross_database", "table1")
    beside = dict(zip(found.columns, found.rows[0].beside, strict=True))
    assert beside["false_member_rate"] is cross["false_member_rate"]["table1"]["conv1"]["1000"]
    assert "false_member_rate" not in grid.grid(tables, "cross_database", "table2").columns


def test_score_keys():
    key = Key("cross_database", "table1", "conv1", "random_network")
    assert key.at("1000") == "cross_database/random_network/table1/conv1/1000"
    assert Key("matched", "neighbour").at("250") == "matched/neighbour/250"
