"""The null models of the embedded network, end to end on noise in place of rendered faces."""

import dataclasses
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from data_pipelines.databases.synthetic_faces import source
from data_pipelines.perturbations import CHANGES
from experiments import cli, null_models, null_photos, nulls
from experiments.configs import null_models as defaults
from experiments.lab_models import ground_truth
from mint_jax import audited
from mint_jax.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def noise(seed, person, image, database):
    rng = np.random.default_rng((seed, person, image, len(database)))
    small = rng.integers(0, 256, (28, 28, 3), dtype=np.uint8)
    return small.repeat(4, axis=0).repeat(4, axis=1)


def cells(variables, x, layers):
    """A network that is quickly compiled: means of 4x4 pixels of 28x28."""
    return {"outcome": x.reshape(-1, 7, 4, 7, 4, 3).mean(axis=(2, 4)).reshape(len(x), -1)}


def tiny():
    config = defaults.get_config("redraws=6,power_redraws=3")
    config.update(members=40, photos=2, fresh=60, elsewhere=12, workers=0)
    config.update(bank=8, train=6, calibration=19, test=10, unused_calibration=19, unused_test=5)
    config.update(power_banks=(4, 8), power_test=6)
    return config


def make_small(patch):
    """Noise for faces, means for embeddings, and no level that takes more people."""
    model = dataclasses.replace(audited.load("embedded"), forward=cells)
    patch.setattr(audited, "load", lambda spec: model)
    patch.setattr(source, "render", noise)
    patch.setattr(nulls, "LEVELS", (0.1, 0.05))


def main():
    """What each of several processes runs."""

    def run(argv):
        make_small(pytest.MonkeyPatch())
        null_models.run(tiny(), Path(flags.FLAGS["workdir"].value))

    cli.run(run, multihost=True)


@pytest.fixture(scope="module")
def patched():
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        yield patch


@pytest.fixture(scope="module")
def run(patched, tmp_path_factory):
    """Folder and content of the results."""
    workdir = tmp_path_factory.mktemp("null_models")
    return workdir, null_models.run(tiny(), workdir)


def test_a_tiny_run_leaves_figures_and_plots(run):
    workdir, found = run
    text = (workdir / "null_models.json").read_text()
    assert json.loads(text) == json.loads(json.dumps(found, allow_nan=False))
    for name in ("null_p_values.svg", "power.svg"):
        assert ET.fromstring((workdir / name).read_text()).tag.endswith("svg")
    assert found["power"][0]["share"] == pytest.approx(4 * 2 / 7200)
    lines = "\n".join(null_models.table(found)).splitlines()
    assert sum(line.startswith("| fresh people, an auditor of true labels") for line in lines) == 2
    widths = [line.count("|") for line in lines if line.startswith("|")]
    assert widths == [8] * 8 + [8] * 8 + [7] * 8


def test_two_processes_find_the_figures_of_one(run, tmp_path):
    """They share six redraws evenly, and three of each bank unevenly."""
    program = [sys.executable, "-c", "import test_null_models; test_null_models.main()"]
    path = os.pathsep.join(str(folder) for folder in (ROOT, Path(__file__).parent))
    several = subprocess.run(
        [sys.executable, "-m", "launch.local", "--processes=2", "--", *program]
        + [f"--workdir={tmp_path}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert several.returncode == 0, several.stderr
    found = json.loads((tmp_path / "null_models.json").read_text())
    _, expected = run
    for part in ("nulls", "all_tests", "shifts", "power"):
        assert found[part] == json.loads(json.dumps(expected[part]))
    assert json.loads((tmp_path / "run.json").read_text())["processes"] == 2


def test_photos_are_read_once(run, patched):
    workdir, found = run
    with patched.context() as patch:
        patch.setattr(source, "render", None)
        again = null_models.run(tiny(), workdir)
    assert again["nulls"] == found["nulls"] and again["power"] == found["power"]


def test_embeddings_are_of_the_people_that_they_are_said_to_be(run):
    photos = null_photos.read(tiny(), run[0] / "aad")
    split = ground_truth().manifest["split"]
    compressed = CHANGES["recompressed"].apply
    pairs = [
        (photos.members[3, 1], noise(0, split["members"][3], 1, "studio")),
        (photos.non_members[5, 0], noise(0, split["non_members"][5], 0, "studio")),
        (photos.fresh[7, 1], noise(0, 4807, 1, "studio")),
        (photos.unused[3], noise(0, split["members"][3], 3, "studio")),
        (photos.changed["recompressed"][7], compressed(noise(0, 4807, 0, "studio")[None])[0]),
        (photos.elsewhere["webcam"][9], noise(0, 9, 0, "webcam")),
    ]
    for found, image in pairs:
        means = image.reshape(7, 16, 7, 16, 3).mean(axis=(1, 3)).ravel()
        np.testing.assert_allclose(found, (means - 127.5) / 127.5, atol=1e-4)
    assert photos.fresh.shape == (60, 2, 147) and set(photos.changed) == set(CHANGES)


def test_what_cannot_be_is_refused(run, tmp_path):
    config = tiny()
    config.fresh = 61
    with pytest.raises(InputError, match="other images"):
        null_photos.read(config, run[0] / "aad")
    config.members = 2401
    with pytest.raises(InputError, match="2401 members with 2 photos each; the embedded model"):
        null_photos.read(config, tmp_path)
