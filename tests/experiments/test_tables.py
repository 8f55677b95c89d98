"""The whole audit on the embedded ground truth, at small sizes: files, contract, controls."""

import json

import numpy as np
import pytest

from experiments import audit, audit_sets
from experiments.configs import embedded, your_model
from mint_jax import audited, auditors
from mint_jax.errors import InputError

CELL = {"accuracy", "accuracy_ci95", "auc", "auc_ci95", "tpr_at_fpr", "n_test", "seeds"}


def _config(**changes):
    config = embedded.get_config("sizes=40;80")
    config.update(seeds=2, cnn_seeds=1, test_images=120, bank_images=200)
    config.update(calibration_images=40, calibration_members=20)
    config.update(validation_images=20, threshold_images=100, random_networks=2, shuffles=3)
    config.update(per_device_batch=32, workers=0)
    config.vanilla.fit = {"epochs": 5}
    config.cnn.fit = {"epochs": 2}
    config.update(changes)
    return config


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("audit")
    audit.run(_config(), workdir)
    return workdir, json.loads((workdir / "tables.json").read_text())


def test_tables_have_the_form_of_the_contract(ran):
    _, tables = ran
    assert set(tables["protocols"]) == {"matched", "cross_database"}
    for found in tables["protocols"].values():
        layers = {"conv1", "conv2", "conv3", "conv4", "outcome", "all_conv"}
        assert set(found["table1"]) == layers
        assert set(found["table2"]) == layers - {"outcome"}
        known = found["neighbour"], found["fusion"]
        for rows in (*found["table1"].values(), *found["table2"].values(), *known):
            assert set(rows) == {"40", "80"}
            for cell in rows.values():
                assert CELL <= set(cell)
                assert cell["n_test"] == 240
                assert cell["tpr_at_fpr"]["0.001"] is None  # 120 non-members cannot support it
        random = found["controls"]["random_network"]
        assert set(random) >= {"table1", "table2", "neighbour", "fusion"}
        assert set(random["table1"]["conv1"]) == {"80"}
        assert set(found["controls"]["shuffled_labels"]) >= {"table1", "neighbour", "fusion"}
        assert "table2" not in found["controls"]["shuffled_labels"]
        assert set(found["controls"]["pixels"]) == {"40", "80"}
    rate = tables["protocols"]["cross_database"]["false_member_rate"]["table1"]["conv1"]["80"]
    assert 0 <= rate["rate"] <= 1 and rate["n_test"] == 120


def test_every_protocol_comes_with_its_evidence(ran):
    _, tables = ran
    for found in tables["protocols"].values():
        evidence = found["evidence"]
        assert evidence["auditor"]["validation_auc"].keys() == {
            *(f"vanilla/{layer}" for layer in found["table1"]),
            *(f"cnn/{layer}" for layer in found["table2"]),
            *("neighbour/outcome", "fusion/outcome"),
        }
        replicates = {c["name"]: c["replicates"] for c in evidence["controls"]}
        assert replicates == {
            "pixels": 1,
            "random_network": 2,
            "other_network": 1,
            "shuffled_labels": 3,
        }
        assert evidence["operating_points"]["0.1"] is not None
        assert evidence["operating_points"]["0.01"] is None  # 120 non-members do not support it
        assert evidence["headline"] == "Membership cannot be determined."
        baselines = {b["name"]: b["auc"] for b in evidence["baselines"]}
        assert set(baselines) == {
            *("norm", "flip", "jitter", "bn_distance", "quantile", "nearest_centre"),
        }
        assert baselines["nearest_centre"] > 0.99  # the head names its people
        assert len(evidence["robustness"]) == 5
        assert evidence["h0_image"]["n_calibration"] == 7
        assert len(evidence["support"]) == 5 + 4  # populations and databases, and changes
        assert all(0 <= row["share"] <= 1 and row["n"] >= 15 for row in evidence["support"])
    left_out = tables["protocols"]["cross_database"]["evidence"]["left_out"]
    assert {row["database"] for row in left_out} == {"webcam", "archive"}
    reasons = tables["protocols"]["cross_database"]["evidence"]["gate"]["reasons"]
    assert "own collection" in reasons[0]


def test_nobody_is_in_two_parts_nor_on_both_sides(tmp_path):
    config = embedded.get_config()
    parts = audit.draw(audit_sets.embedded(config, tmp_path), config)
    seen = set()
    assert audit_sets.wanted_images(config, "non_members")["threshold"] >= 1000  # supports 1% FPR
    for side in ("members", "non_members"):
        for name, part in parts[side].items():
            people = {key.rpartition("/")[0] for key in part.keys}
            assert len(part) == audit_sets.wanted_images(config, side)[name]
            assert not people & seen
            seen |= people


def test_report_is_one_page_without_requests(ran):
    page = (ran[0] / "report.html").read_text()
    assert "<html" in page and 'src="http' not in page
    assert "arXiv" in page


def test_exported_auditors_load_and_are_bound_to_the_model(ran):
    model = audited.load("embedded")
    auditor = auditors.load(ran[0] / "auditors" / "matched" / "vanilla_conv1", audited=model)
    scores = auditor.calibration["members"]
    assert len(scores) == 20 and np.isfinite(scores).all()
    other = audited.load("iresnet18:random=1,width=0.25,embedding_size=32,input_size=28")
    with pytest.raises(InputError, match="audited"):
        auditors.load(ran[0] / "auditors" / "matched" / "vanilla_conv1", audited=other)


def test_the_auditor_that_decides_holds_its_gate(ran):
    for name in ("matched", "cross_database"):
        chosen = auditors.load(ran[0] / "auditors" / name / "chosen")
        gate, bank = chosen.meta["support"], chosen.calibration["support_bank"]
        assert set(gate["ranges"]) == {"sharpness", "compression", "density", "reconstruction"}
        assert gate["network"]["sha256"] == audited.load("embedded_other").sha256
        assert len(bank) == 2 * 200 and bank.dtype == np.float16


def test_the_same_configuration_gives_the_same_tables(ran, tmp_path):
    config = _config(controls=(), cnn_seeds=0, robustness=False, other_network="", views=())
    tables = audit.run(config, tmp_path)
    assert tables["protocols"]["matched"]["table1"] == ran[1]["protocols"]["matched"]["table1"]


def test_a_stopped_run_goes_on_behind_its_last_protocol(tmp_path, monkeypatch):
    fast = {"robustness": False, "other_network": "", "views": ()}
    config = _config(controls=(), cnn_seeds=0, sizes=(40,), **fast)
    real, ran = audit._protocol, []

    def protocol(name, *args):
        ran.append(name)
        if len(ran) == 2:
            raise KeyboardInterrupt
        return real(name, *args)

    monkeypatch.setattr(audit, "_protocol", protocol)
    with pytest.raises(KeyboardInterrupt):
        audit.run(config, tmp_path)
    assert not (tmp_path / "tables.json").exists()
    found = audit.run(config, tmp_path)
    assert ran == ["matched", "cross_database", "cross_database"]
    whole = audit.run(config, tmp_path)  # a finished run begins anew
    assert ran[3:] == ["matched", "cross_database"]
    assert found["protocols"] == whole["protocols"]
    assert not (tmp_path / "unfinished").exists()


def test_the_manifest_holds_every_image_once(ran):
    content = json.loads((ran[0] / "manifest.json").read_text())
    rows = [tuple(r[:2]) for s in content["sides"].values() for p in s.values() for r in p["rows"]]
    sides = 3 * (200 + 40 + 20 + 120) + 2 * (100 + 40) + 20  # members: no threshold
    unused = sum(p["images"] for p in content["sides"]["unused"].values())
    assert len(rows) == len(set(rows)) == sides + unused
    assert [s["database"] for s in content["sources"]] == ["studio", "webcam", "archive", "studio"]


@pytest.mark.parametrize("kind", [pytest.param("neighbour", marks=pytest.mark.full), "fusion"])
def test_one_chosen_auditor_is_exported(kind, tmp_path):
    config = _config(auditor=kind, layer="outcome", protocol="matched")
    cell = audit.train_one(config, tmp_path)
    assert cell["n_test"] == 240
    assert auditors.load(tmp_path / "auditor").kind == kind


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"auditor": "cnn", "layer": "outcome"}, "cnn"),
        ({"auditor": "svm"}, "svm"),
        ({"protocol": "paper"}, "paper"),
    ],
)
def test_unknown_choices_are_refused_before_work_begins(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        audit.train_one(_config(**change), tmp_path)


@pytest.mark.parametrize("arg", ["", "onnx=a.onnx", "onnx=a,members=b,externals=c,sizes=x"])
def test_a_configuration_that_lacks_something_says_what(arg):
    with pytest.raises(InputError):
        your_model.get_config(arg)
