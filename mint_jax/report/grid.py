"""The paper's tables out of `tables.json`: rows of layers, columns of sizes, controls beside."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mint_jax.report import words

_ORDER = ("conv1", "conv2", "conv3", "conv4", "outcome", "all_conv")
BANKS = ("neighbour", "fusion")  # auditors with banks of known images, the stronger last
CONTROLS = ("random_network", "shuffled_labels")


@dataclass(frozen=True)
class Key:
    """Where a cell stands: protocol, control ("" = the audited model itself), kind, layer."""

    protocol: str
    kind: str
    layer: str = ""
    control: str = ""

    def at(self, size: str) -> str:
        """The key of its scores: `cross_database/random_network/table1/conv1/1000`."""
        parts = (self.protocol, self.control, self.kind, self.layer, size)
        return "/".join(part for part in parts if part)


@dataclass(frozen=True)
class Row:
    """One row: `cells` along `Grid.sizes`, `beside` along `Grid.columns`; None = not measured."""

    name: str
    key: Key
    cells: tuple[dict | None, ...]
    beside: tuple[dict | str | None, ...]


@dataclass(frozen=True)
class Grid:
    """A table as it is printed.

    Attributes:
      title: "Table 1, matched protocol: ...".
      figure: which figure of the cells is printed: "accuracy" or "auc".
      sizes: numbers of training samples, rising.
      columns: what stands beside, measured at the largest size.
      rows: the layers, then the auditors with banks and the pixels.
    """

    title: str
    figure: str
    sizes: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def cells(self) -> list[dict]:
        """The cells of the rows that read a network, without what stands beside them."""
        rows = [row for row in self.rows if row.key.kind != "pixels"]
        return [cell for row in rows for cell in row.cells if cell]


def cells(tables: Mapping, key: Key) -> Mapping[str, dict]:
    """{N: CELL} at `key`; empty where nothing was measured."""
    found = tables["protocols"].get(key.protocol) or {}
    if key.control or key.kind == "pixels":
        found = found.get("controls") or {}
    if key.control:
        found = found.get(key.control) or {}
    found = found.get(key.kind) or {}
    return found.get(key.layer) or {} if key.layer else found


def evidence(tables: Mapping, protocol: str) -> Mapping:
    """The block of `mint_jax.evidence.examination` of a protocol; empty where there is none."""
    return (tables["protocols"].get(protocol) or {}).get("evidence") or {}


def largest(found: Mapping[str, dict]) -> dict | None:
    """The cell of the largest number of training samples."""
    return found[max(found, key=int)] if found else None


def layers(tables: Mapping, protocol: str, kind: str) -> list[str]:
    """The layers of a table in the paper's order, then those that the paper does not know."""
    found = (tables["protocols"].get(protocol) or {}).get(kind) or {}
    return [n for n in _ORDER if n in found] + [n for n in found if n not in _ORDER]


def keys(tables: Mapping, protocol: str, control: str = "") -> Iterator[Key]:
    """Every key of a protocol (of one of its controls) that may hold cells."""
    for kind in ("table1", "table2"):
        for layer in layers(tables, protocol, kind):
            yield Key(protocol, kind, layer, control)
    for kind in BANKS:
        yield Key(protocol, kind, "", control)
    if not control:
        yield Key(protocol, "pixels")


def rates(tables: Mapping, key: Key) -> Mapping[str, dict | float]:
    """{N: false member rate} at `key`: of a plain share, or with n and interval."""
    found = (tables["protocols"].get(key.protocol) or {}).get("false_member_rate") or {}
    found = found.get(key.kind) or {}
    return found.get(key.layer) or {} if key.layer else found


def grid(tables: Mapping, protocol: str, kind: str) -> Grid | None:
    """Table 1 (`kind="table1"`) or 2 of a protocol; None where it was not measured.

    A figure of the cross-database protocol has the matched one beside it, or the words that none
    is known, and the blind controls.
    """
    names = layers(tables, protocol, kind)
    if not names:
        return None
    keys_ = [Key(protocol, kind, name) for name in names]
    if kind == "table1":
        keys_ += [Key(protocol, name) for name in BANKS]
    keys_ = [key for key in (*keys_, Key(protocol, "pixels")) if cells(tables, key)]
    sizes = sorted({size for key in keys_ for size in cells(tables, key)}, key=int)
    number = {"table1": 1, "table2": 2}[kind]
    columns = _columns(tables, protocol)
    if not any(rates(tables, key) for key in keys_):
        columns = tuple(name for name in columns if name != "false_member_rate")
    return Grid(
        f"Table {number}, {words.PROTOCOLS[protocol].lower()} protocol: "
        f"accuracy of the {words.AUDITORS[kind]} auditor",
        "accuracy",
        tuple(sizes),
        columns,
        tuple(_row(tables, key, sizes, columns) for key in keys_),
    )


def bank_grid(tables: Mapping) -> Grid | None:
    """AUC of the auditors with banks, a row for each and protocol; None where none was measured."""
    every = (Key(protocol, kind) for protocol in words.PROTOCOLS for kind in BANKS)
    found = [key for key in every if cells(tables, key)]
    if not found:
        return None
    sizes = sorted({size for key in found for size in cells(tables, key)}, key=int)
    above = {"false_member_rate"}
    if all(cells(tables, Key("matched", key.kind)) for key in found):
        above.add("matched")
    columns = tuple(c for c in _columns(tables, found[-1].protocol) if c not in above)
    names = list(dict.fromkeys(words.AUDITORS[key.kind] for key in found))
    title = f"{' and '.join(names).capitalize()} auditor{'s' * (len(names) > 1)}"
    return Grid(
        f"{title}: AUC under each protocol",
        "auc",
        tuple(sizes),
        columns,
        tuple(_row(tables, key, sizes, columns, _under(key)) for key in found),
    )


def _under(key: Key) -> str:
    """`Fusion, matched`."""
    return f"{words.AUDITORS[key.kind]}, {words.PROTOCOLS[key.protocol].lower()}"


def _columns(tables: Mapping, protocol: str) -> tuple[str, ...]:
    controls = tables["protocols"][protocol].get("controls") or {}
    wanted = (*CONTROLS, "pixels")
    columns = [name for name in wanted if controls.get(name)]
    if protocol == "cross_database":
        missing = [name for name in ("random_network", "pixels") if name not in columns]
        columns = ["matched", *(name for name in wanted if name in (*columns, *missing))]
        if tables["protocols"][protocol].get("false_member_rate"):
            columns.append("false_member_rate")
    return tuple(columns)


def _row(
    tables: Mapping, key: Key, sizes: list[str], columns: tuple[str, ...], name: str = ""
) -> Row:
    found = cells(tables, key)
    name = name or (words.layer(key.layer) if key.layer else words.AUDITORS[key.kind])
    beside = tuple(beside_of(tables, key, column) for column in columns)
    return Row(name, key, tuple(found.get(size) for size in sizes), beside)


def beside_of(tables: Mapping, key: Key, column: str) -> dict | float | str | None:
    """What stands beside the cells of `key` in a column, at the largest size; None = nothing."""
    if column == "matched":
        if not tables["protocols"].get("matched"):
            return "none known"
        return largest(cells(tables, Key("matched", key.kind, key.layer)))
    if column == "pixels":
        return None if key.kind == "pixels" else largest(cells(tables, Key(key.protocol, "pixels")))
    if column == "false_member_rate":
        return largest(rates(tables, key))
    return largest(cells(tables, Key(key.protocol, key.kind, key.layer, column)))
