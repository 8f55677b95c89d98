"""The comparison of auditors from its configuration to its table."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from experiments import comparison, comparison_report, lab_auditors, lab_pairs
from experiments.configs import compare_auditors as defaults
from mint_jax.errors import InputError

TINY = "identities=40,pairs=3,models=3,epochs=1,batch_size=8"
NETWORK = "iresnet18:random=1,width=0.0625,embedding_size=8,input_size=16"
QUICK = ("neighbour", "fusion", "prototypes_estimated")


def tiny():
    config = defaults.get_config(f"{TINY},labs=people")
    small = {"width": 0.0625, "embedding_size": 8, "input_size": 16}
    config.labs.people.training.architecture.update(small)
    config.labs.people.strangers = 0.2  # leaves folds of one size: less is compiled
    for name in set(config.auditors) - set(QUICK):
        del config.auditors[name]
    config.coverages, config.references = (0.5, 0.75), (1, 2, 4)
    config.labs.people.networks = (NETWORK,)
    return config


def test_a_run_leaves_figures_tables_and_plots_and_is_not_repeated(
    trainings, monkeypatch, tmp_path
):
    found = comparison.run(tiny(), tmp_path)
    assert json.loads((tmp_path / "compare.json").read_text()) == json.loads(json.dumps(found))
    assert ET.fromstring((tmp_path / "people.svg").read_text()).tag.endswith("svg")
    people = found["labs"]["people"]
    assert people["models"] == [2, 3, 4, 5] and people["validation"] == [0, 1]
    assert len(trainings) == 6 and people["training_loss"] == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    rows = {row["name"]: row for row in people["rows"]}
    attacks = {f"{a}:{s}" for a in ("lira_online", "rmia") for s in ("fusion", "flip")}
    assert set(QUICK) | attacks | {"quantile", "own_margin", "foreign_centre"} < set(rows)
    n = people["photos"]
    for row in rows.values():
        assert (row["models"], row["n_test"]) == (4, 4 * n)
        assert 0 <= row["auc_ci95"][0] <= row["auc"] <= row["auc_ci95"][1] <= 1
        assert 0 <= row["validation_auc"] <= 1 and "image_given_person" in row
    headless = [rows[name] for name in QUICK]
    best = max(row["validation_auc"] for row in headless)
    assert rows[people["chosen"]]["validation_auc"] == best
    assert (people["null"]["models"], people["null"]["n_test"]) == (4, 4 * n)
    at_half, beyond = people["coverage"]
    assert at_half["auc"] == rows[people["chosen"]]["auc"] and beyond["n_test"] < n * 1.2
    assert [row["references"] for row in people["zoo"]] == [0, 1, 2]
    assert people["zoo"][0]["auc"] == rows["fusion"]["auc"]
    assert [row["names"] for row in people["public"]] == [[], [NETWORK]]
    assert people["public"][0]["auc"] == rows["fusion"]["auc"]
    given, (alone,) = people["public"][1], people["public_alone"]
    assert given["r2_ci95"][0] <= given["r2"] <= given["r2_ci95"][1]
    assert (given["n_test"], alone["name"], alone["n_test"]) == (4 * n, NETWORK, 4 * n)
    assert len(list((tmp_path / "people").glob("*.npz"))) == 2  # of the pixels, and of the network
    assert people["prototypes"]["auc"] == rows["prototypes_estimated"]["auc"]

    text = "\n".join(comparison_report.table(people))
    for row in rows.values():
        assert row["title"] in text and row["access"] in text
    assert "fusion given 2 reference models" in text and "75% of the people known" in text
    assert f"fusion given {NETWORK} (R2" in text and f"{NETWORK} alone" in text

    monkeypatch.setattr(lab_auditors, "fit", None)
    again = comparison.run(tiny(), tmp_path)
    assert again["labs"] == json.loads(json.dumps(found["labs"]))
    monkeypatch.setattr(lab_pairs.Models, "_read", None)
    other = tiny()
    other.coverages = (0.5,)
    with pytest.raises(TypeError):  # figures are asked anew, of readings that are kept
        comparison.run(other, tmp_path)


def test_labs_are_of_the_recipes_that_they_are_said_to_be():
    labs = defaults.get_config("faces=DIR").labs
    assert not labs.plain.references and labs.plain.screen
    assert defaults.get_config("faces=DIR,references=1").labs.plain.references
    assert list(labs) == ["people", "persons", "augmented", "plain", "underfit", "attributes"]
    assert labs.people.references and labs.people.strangers and labs.people.pairs == 9
    training = {name: lab.training for name, lab in labs.items()}
    assert (training["augmented"].flip, training["augmented"].shift) == (True, 1)
    assert (training["plain"].flip, training["plain"].shift) == (False, 0)
    assert training["underfit"].epochs == 3 and training["attributes"].head == "softmax"
    assert [lab.screen for lab in labs.values()] == [False, False, True, True, True, True]
    assert not any("networks" in lab for lab in labs.values())  # else finished ones were not so
    given = defaults.get_config("faces=DIR,labs=people;plain,networks=A.onnx;B.onnx").labs
    assert given.plain.networks == ("A.onnx", "B.onnx") and given.people == labs.people
    with pytest.raises(InputError, match="networks are references of labs of photos; none is"):
        defaults.get_config("labs=people,networks=A.onnx")
    assert list(defaults.get_config("labs=persons").labs) == ["persons"]
    with pytest.raises(InputError, match="lab 'plain' is none of people, persons"):
        defaults.get_config("labs=plain")


@pytest.mark.full
@pytest.mark.parametrize("name", ["people", "persons"])
def test_the_command(name, tmp_path):
    words = [sys.executable, "-m", "experiments.compare_auditors", f"--workdir={tmp_path}"]
    words.append(f"--config=experiments/configs/compare_auditors.py:{TINY},labs={name}")
    words += [f"--config.labs.{name}.training.architecture.width=0.0625"]
    words += ["--config.coverages=(0.5, 0.8)"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    models = {"people": 4, "persons": 2}[name]
    assert f"over {models} lab models" in done.stdout
    assert ("own class" in done.stdout) == (name == "people")
    found = json.loads((tmp_path / "compare.json").read_text())["labs"][name]
    assert len(found["training_loss"]) == {"people": 6, "persons": 3}[name]
    assert np.isfinite([row["auc"] for row in found["rows"]]).all()
    again = subprocess.run(words, capture_output=True, text=True)
    assert again.stdout == done.stdout and "epoch" not in again.stderr
