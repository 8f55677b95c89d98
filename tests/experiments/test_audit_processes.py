"""An audit and an auditor's training by two processes, beside those of one."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import audit
from mint_jax import auditors, parallel

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
from experiments.configs import embedded


def get_config():
    config = embedded.get_config("sizes=40;80")
    config.update(seeds=1, cnn_seeds=1, test_images=60, bank_images=60, random_networks=1)
    config.update(calibration_images=30, calibration_members=20, shuffles=2)
    config.update(validation_images=20, threshold_images=40, per_device_batch=32, workers=0)
    config.update(robustness=False, other_network="", views=(), controls=("random_network",))
    config.vanilla.fit = {"epochs": 3}
    config.cnn.fit = {"epochs": 2}
    return config
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A small audit's configuration, and the file it is read from."""
    path = tmp_path_factory.mktemp("config") / "small.py"
    path.write_text(CONFIG)
    namespace = {}
    exec(CONFIG, namespace)
    return namespace["get_config"](), path


def by_two(command, workdir, path, *flags):
    """Runs a command by two processes; returns what they print."""
    program = [sys.executable, "-m", "launch.local", "--processes=2", "--", sys.executable, "-m"]
    arguments = [f"experiments.{command}", f"--config={path}", f"--workdir={workdir}", *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [*program, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.full
def test_two_processes_find_the_tables_of_one(config, tmp_path):
    config, path = config
    expected = audit.run(config, tmp_path / "one")
    printed = by_two("tables", tmp_path / "two", path)
    assert printed.count("Conv #1") == audit.report.console(expected).count("Conv #1")
    found = json.loads((tmp_path / "two" / "tables.json").read_text())
    assert not (tmp_path / "two" / "unfinished").exists()
    for name, protocol in expected["protocols"].items():
        for table in ("table1", "table2"):
            for layer, rows in protocol[table].items():
                for size, cell in rows.items():
                    auc = found["protocols"][name][table][layer][size]["auc"]
                    np.testing.assert_allclose(auc, cell["auc"], atol=1e-3)
        own, other = (
            auditors.load(tmp_path / who / "auditors" / name / "fusion").calibration
            for who in ("one", "two")
        )
        np.testing.assert_array_equal(own["members"], other["members"])  # the same AAD


def test_two_processes_train_the_auditor_of_one(config, tmp_path):
    config, path = config
    config = config.copy_and_resolve_references()
    config.update(auditor="vanilla", layer="conv4")
    cell = audit.train_one(config, tmp_path / "one")
    printed = by_two(
        "train_auditor", tmp_path, path, "--config.auditor=vanilla", "--config.layer=conv4"
    )
    assert [line for line in printed.splitlines() if "Gloo" not in line] == [
        f"[0] {audit_line(cell, tmp_path)}"
    ]
    own, other = (
        auditors.load(folder / "auditor").calibration for folder in (tmp_path / "one", tmp_path)
    )
    np.testing.assert_allclose(own["members"], other["members"], atol=1e-5)
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert [line["step"] for line in lines] == [1, 2, 3]


def test_maps_for_which_memory_has_no_room_stay_on_disk(config, tmp_path, monkeypatch, caplog):
    config, _ = config
    config = config.copy_and_resolve_references()
    config.update(auditor="cnn", layer="all_conv")
    expected = audit.train_one(config, tmp_path / "memory")
    caplog.set_level(logging.INFO, "mint_jax.auditors.fit")
    monkeypatch.setattr(parallel, "free_memory", lambda: (0, 0))
    found = audit.train_one(config, tmp_path / "disk")
    (line,) = caplog.messages
    assert "all_conv: activations stay on disk and are read a few steps at a time" in line
    np.testing.assert_allclose(found["auc"], expected["auc"], atol=1e-3)
    own, other = (
        auditors.load(tmp_path / place / "auditor").calibration for place in ("memory", "disk")
    )
    np.testing.assert_allclose(own["members"], other["members"], atol=1e-5)
    names = [{path.name for path in (tmp_path / place).iterdir()} for place in ("memory", "disk")]
    assert names[0] == names[1]


def audit_line(cell, workdir):
    low, high = cell["auc_ci95"]
    return f"AUC {cell['auc']:.3f} [{low:.3f}, {high:.3f}], n = {cell['n_test']}: {workdir}/auditor"
