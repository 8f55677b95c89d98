"""The page is well-formed, complete, self-contained and readable without its pictures."""

import re
import subprocess
import sys

import pytest
from markup import Markup

from mint_jax import report
from mint_jax.report import words


class _Page(Markup):
    """Elements and text, in which cells stand apart."""

    def __init__(self, source: str):
        self.words = []
        super().__init__(source)

    def handle_endtag(self, tag):
        super().handle_endtag(tag)
        self.words.append(" " * (tag in ("td", "th")))

    def handle_data(self, data):
        if not {"style", "svg"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def _write(path, tables, scores) -> str:
    report.write_html(path, tables, scores, {"workdir": "runs/<here>"})
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def source(_made_up, tmp_path_factory):
    return _write(tmp_path_factory.mktemp("page") / "report.html", *_made_up)


@pytest.fixture(scope="module")
def page(source):
    return _Page(source)


def _cells(node):
    if isinstance(node, dict):
        if "accuracy" in node or "rate" in node:
            yield node
        else:
            for child in node.values():
                yield from _cells(child)


def test_every_number_is_on_the_page_with_its_interval(page, _made_up):
    cells = list(_cells(_made_up[0]["protocols"]))
    assert len(cells) > 100
    for cell in cells:
        for name in {"accuracy", "auc", "rate"} & cell.keys():
            assert words.figure(cell, name) in page.text
        for fpr, value in cell.get("tpr_at_fpr", {}).items():
            expected = "n too small"
            if value is not None:
                bounds = words.interval(cell["tpr_at_fpr_ci95"][fpr])
                expected = f"{words.rate(value)} {bounds}"
            assert expected in page.text
    assert page.text.count("2,000") >= 100  # n stands in every row


def test_nothing_is_loaded_from_anywhere(source, page):
    loading = {"script", "link", "iframe", "img", "object", "embed", "video", "audio", "base"}
    assert not loading & {tag for tag, _ in page.elements}
    for _, attrs in page.elements:
        assert not any(name.startswith("on") for name in attrs)
        for name in {"src", "href", "xlink:href", "srcset", "action"} & attrs.keys():
            assert attrs[name].startswith("#")
    assert not re.search(r"@import|url\((?!#)|https?:", source)
    assert len(source) < 3_000_000


def test_plots_have_text_alternatives_and_no_clashing_ids(page):
    plots = page.all("svg")
    assert len(plots) == 2 + 2 + 4 + 12  # ROC, Tippett, sizes, histograms
    assert all(p["role"] == "img" and len(p["aria-label"]) > 60 for p in plots)
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    linked = {attrs["href"][1:] for attrs in page.all("use")}
    assert linked and linked <= set(ids)
    labelled = {attrs["aria-labelledby"] for attrs in page.all("section")}
    assert labelled <= set(ids)


def test_tables_have_captions_and_scopes(page):
    assert len(page.all("caption")) == len(page.all("table")) > 8
    assert all("scope" in attrs for attrs in page.all("th"))
    assert page.all("html")[0]["lang"] == "en"
    assert [tag for tag, _ in page.elements].count("h1") == 1


def test_the_papers_figures_are_marked_as_theirs(page):
    assert (
        page.text.count(
            "DeAlcala et al., arXiv 2503.08332; R100 on Glint360K, other data: not comparable"
        )
        == 2
    )
    assert "Theirs: CNN auditor." in page.text and "Conv #1 .88 .89 .89" in page.text


def test_text_is_escaped(source):
    assert "runs/&lt;here&gt;" in source and "runs/<here>" not in source


def test_the_page_is_the_same_every_time(source, _made_up, tmp_path):
    assert _write(tmp_path / "again.html", *_made_up) == source


def test_unknown_matched_split(made_up, tmp_path):
    tables, scores = made_up
    tables["protocols"]["matched"] = None
    tables["matched_reason"] = "the list of SFace's training images is not public."
    page = _Page(_write(tmp_path / "report.html", tables, scores))
    assert "The list of SFace's training images is not public." in page.text
    assert page.text.count("none known") >= 8 + 6 + 2 + 1  # beside every row, and in the captions
    assert "Table 1, matched" not in page.text


def test_controls_plots_and_one_protocol_may_be_absent(made_up, tmp_path):
    tables, _ = made_up
    tables["protocols"]["cross_database"] = None
    matched = tables["protocols"]["matched"]
    for name in ("controls", "neighbour", "fusion", "table2", "evidence"):
        del matched[name]
    matched["table1"] = {"conv2": {"250": matched["table1"]["conv2"]["250"]}}
    for name in ("versions", "date", "device", "sets", "notes", "sizes"):
        del tables[name]
    page = _Page(_write(tmp_path / "report.html", tables, {}))
    assert words.figure(matched["table1"]["conv2"]["250"]) in page.text
    assert "Table 2, matched" not in page.text and len(page.all("svg")) == 1
    assert "Evidence" not in page.text and "given this model" in page.text


def test_the_verdicts_come_first_and_errors_with_them(page, _made_up):
    blocks = [_made_up[0]["protocols"][p]["evidence"] for p in ("matched", "cross_database")]
    places = [page.text.index(block["headline"]) for block in blocks]
    assert places == sorted(places) and "finds" in blocks[0]["headline"]
    error = page.text.index("Error in the audit, cross-database protocol.")
    assert places[1] < error < page.text.index("The Vanilla auditor")
    assert page.text.count("Externals have the label 1") == 2  # and in its section
    for reason in blocks[1]["gate"]["reasons"]:
        assert reason in page.text


def test_the_evidence_is_all_there(page, _made_up):
    text = page.text
    for protocol in ("matched", "cross_database"):
        block = _made_up[0]["protocols"][protocol]["evidence"]
        for row in block["controls"]:
            assert row["title"][1:] in text and words.rate(row["advantage"]) in text
            assert all(words.figure(row, name) in text for name in ("tpr", "fpr", "auc"))
            assert words.at_least(row["advantage_lower95"]) in text
        for point in filter(None, block["operating_points"].values()):
            for rate in ("fpr", "tpr"):
                assert f"{words.rate(point[rate])} {words.interval(point[f'{rate}_ci95'])}" in text
        for row in (*block["baselines"], *block["left_out"], *block["robustness"]):
            assert words.figure(row, "auc") in text
        for row in (*block["left_out"], *block["robustness"]):
            assert f"{words.figure(row, 'tpr')} {words.figure(row, 'fpr')}" in text
        for row in block["support"]:
            assert f"{words.figure(row, 'share')} 1,000" in text
        for row in block["likelihood"]["posterior"]:
            assert f"{row['prior_odds']} {row['lowest']:.3g} {row['highest']:.3g}" in text
    assert "It takes 10,000 non-members in the threshold part and as many in the test" in text
    assert "there are 1,000 and 1,000." in text
    assert "Images at random: not to be trusted" in text
    assert "No image of this person was used for training." in text
    assert "This image was not used for training." in text
    assert "above 60 – 20 5" in text  # a group that is too small for a rate
    (test,) = _made_up[0]["protocols"]["matched"]["evidence"]["fairness_tests"]
    assert f"with probability {test['p']:.2g} (permutation test; 2 groups, 245 people" in text
    assert text.index("Webcam") < text.index("Archive")  # the worst first
    assert text.count("n = 1,000 members and 1,000 non-members") == 4  # controls and baselines


def test_power_of_verdicts_stands_beside_that_of_plain_ranks(page, _made_up):
    people = _made_up[0]["protocols"]["matched"]["evidence"]["people"]
    given = people["conditional"]["0.05"]["power"]
    row = f"{words.figure(people['false_alarms']['0.05'], 'rate')}, n = 250"
    assert f"{row} {words.figure(given, 'rate')}, n = 250" in page.text
    assert page.text.count("calibration people: 118 at 5% and 598 at 1%. Here there are 250.") == 2
    assert page.text.count("calibration images: 118 at 5% and 598 at 1%. Here there are 60.") == 1


def test_every_interval_of_the_evidence_says_what_it_is_given(source):
    for section in source.split('<section aria-labelledby="evidence-')[1:]:
        captions = re.findall(r"<caption>.*?</caption>", section.split("</section>")[0], re.DOTALL)
        assert len(captions) >= 7
        assert [c for c in captions if "interval" in c and "given this model" not in c] == []
        assert "<script" not in section


def test_any_part_of_the_evidence_may_be_absent(made_up, tmp_path):
    tables, _ = made_up
    whole = tables["protocols"]["matched"]["evidence"]
    without = [{k: v for k, v in whole.items() if k != name} for name in {*whole} - {"headline"}]
    for block in (*without, dict.fromkeys(whole) | {"headline": whole["headline"]}):
        block.pop("likelihood", None)  # drawing takes longer than all the rest
        tables["protocols"] = {"matched": {"evidence": block}, "cross_database": None}
        assert whole["headline"] in _Page(_write(tmp_path / "report.html", tables, {})).text
        assert whole["headline"] in " ".join(report.console(tables).split())


def test_auditors_with_banks_are_explained(page, source):
    assert "Fusion compares the mean embedding of several views" in page.text
    assert "Neighbour compares the embedding of an image" in page.text
    assert "is Fusion, model outcome, trained on 1,000 images beside its banks." in page.text
    others = re.findall(r'<tr class="other"><th scope="row">(.*?)</th>', source)
    assert others == 2 * ["Neighbour", "Fusion", "Pixels only", "Pixels only"]


def test_before_fusion_nothing_is_said_of_it(before_fusion, tmp_path):
    text = _Page(_write(tmp_path / "report.html", before_fusion, {})).text
    assert "usion" not in text and "Neighbour auditor: AUC under each protocol" in text
    assert "Neighbour compares the embedding of an image" in text


def test_facts_of_the_audited_model_are_printed_and_long_lists_counted(made_up, tmp_path):
    tables, _ = made_up
    tables["audited"]["info"] = {"a": {"b_c": [1, 2]}, "people": list(range(5000)), "no": None}
    text = _Page(_write(tmp_path / "report.html", tables, {})).text
    assert "A: b c1, 2" in text and "People5,000 entries" in text and "4999" not in text


def test_cells_without_tpr_intervals(made_up, tmp_path):
    """The contract's own cells, which have no interval of the TPR."""
    tables, _ = made_up
    for cell in _cells(tables["protocols"]):
        cell.pop("tpr_at_fpr_ci95", None)
    _Page(_write(tmp_path / "report.html", tables, {}))


def test_matplotlib_is_not_imported_before_it_is_needed():
    code = "import sys, mint_jax.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
