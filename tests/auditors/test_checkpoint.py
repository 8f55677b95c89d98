"""Export and reload of auditors."""

import json
import shutil
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from mint_jax import auditors
from mint_jax.errors import InputError

_SHA = "ab" * 32
_AUDITED = SimpleNamespace(name="toy", sha256=_SHA)


@pytest.fixture(params=["vanilla", "cnn", "neighbour"])
def exported(request, tmp_path):
    """(auditor, its AAD, folder) of each kind."""
    fitted, features, *_ = request.getfixturevalue(f"{request.param}_toy")
    calibration = {"members": np.float32([0.7, 0.9]), "non_members": np.float32([0.1])}
    auditor = fitted.auditor(
        0, audited_sha256=_SHA, calibration=calibration, tpr_at_fpr={"0.01": 0.2}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        auditors.save(auditor, tmp_path / "auditor")
    return auditor, {auditor.layers[0]: features}, tmp_path / "auditor"


def test_reload_scores_the_same_bits(exported):
    auditor, aad, folder = exported
    loaded = auditors.load(folder, audited=_AUDITED)
    np.testing.assert_array_equal(loaded.score(aad), auditor.score(aad))
    assert loaded.model == auditor.model
    assert loaded.meta == {"tpr_at_fpr": {"0.01": 0.2}}
    for side, scores in auditor.calibration.items():
        np.testing.assert_array_equal(loaded.calibration[side], scores)


def test_a_score_depends_on_its_row_alone(exported):
    auditor, aad, _ = exported
    layer, features = next(iter(aad.items()))
    expected = auditor.score(aad)[290:293]
    np.testing.assert_array_equal(auditor.score({layer: features[290:293]}), expected)
    assert auditor.score({layer: features[:0]}).shape == (0,)


def test_another_audited_model_is_refused(exported):
    _, _, folder = exported
    other = SimpleNamespace(name="other", sha256="cd" * 32)
    with pytest.raises(InputError, match="trained on the audited model abab.*other is cdcd"):
        auditors.load(folder, audited=other)


def test_the_record_names_what_a_verdict_needs(exported):
    auditor, _, folder = exported
    record = json.loads((folder / "auditor.json").read_text())
    assert record["kind"] == auditor.kind and record["layers"] == list(auditor.layers)
    assert record["reduce"] == auditor.reduce and record["audited_sha256"] == _SHA
    assert record["config"]["layer"] == auditor.layers[0]
    assert {"jax", "orbax-checkpoint"} <= set(record["versions"])
    assert bool(record["warnings"]) == (auditor.kind == "neighbour")


def test_saving_again_replaces(exported):
    auditor, aad, folder = exported
    (folder / "arrays" / "mark").touch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        auditors.save(auditor, folder)
    assert not (folder / "arrays" / "mark").exists()
    np.testing.assert_array_equal(auditors.load(folder).score(aad), auditor.score(aad))


def test_wrong_aad(exported):
    auditor, aad, _ = exported
    layer = auditor.layers[0]
    with pytest.raises(InputError, match=f"reads {layer}; the AAD has conv9"):
        auditor.score({"conv9": aad[layer]})
    with pytest.raises(InputError, match=f"reads {layer} as"):
        auditor.score({layer: aad[layer][..., :-1]})


def test_banks_are_announced_as_biometric_templates(neighbour_toy, tmp_path):
    auditor = neighbour_toy[0].auditor(0, audited_sha256=_SHA)
    with pytest.warns(UserWarning, match="biometric templates"):
        auditors.save(auditor, tmp_path)


def test_folders_that_hold_no_auditor(vanilla_toy, tmp_path):
    with pytest.raises(InputError, match="no exported auditor"):
        auditors.load(tmp_path / "absent")
    (tmp_path / "auditor.json").write_text('{"format": 1, "kind": "oracle"}')
    with pytest.raises(InputError, match="unknown kind"):
        auditors.load(tmp_path)
    auditors.save(vanilla_toy[0].auditor(0, audited_sha256=_SHA), tmp_path)
    shutil.rmtree(tmp_path / "arrays")
    with pytest.raises(InputError, match="cannot be read"):
        auditors.load(tmp_path)
