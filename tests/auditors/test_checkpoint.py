"""Export and reload of auditors."""

import dataclasses
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


@pytest.fixture(params=["vanilla", "cnn", "neighbour", "fusion"])
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
    aad = features if isinstance(features, dict) else {auditor.layers[0]: features}
    return auditor, aad, tmp_path / "auditor"


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
    few, none = ({k: v[rows] for k, v in aad.items()} for rows in (slice(290, 293), slice(0)))
    np.testing.assert_array_equal(auditor.score(few), auditor.score(aad)[290:293])
    assert auditor.score(none).shape == (0,)


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
    assert {"jax", "orbax-checkpoint"} <= set(record["versions"])
    assert bool(record["warnings"]) == (auditor.kind in ("neighbour", "fusion"))


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
        auditor.score(aad | {layer: aad[layer][..., :-1]})


@pytest.mark.parametrize("kind", ["neighbour", "fusion"])
def test_banks_are_announced_as_biometric_templates(kind, request, tmp_path):
    fitted = request.getfixturevalue(f"{kind}_toy")[0]
    with pytest.warns(UserWarning, match="biometric templates"):
        auditors.save(fitted.auditor(0, audited_sha256=_SHA), tmp_path)


def test_an_auditor_without_banks_is_no_template(fusion_toy, tmp_path):
    _, features = fusion_toy
    config = auditors.FusionConfig((auditors.Consistency("outcome", ("flip",)),))
    labels = np.arange(300) % 2
    auditor = auditors.fit_fusion(features, labels, np.arange(300), config, audited_sha256=_SHA)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        auditors.save(auditor, tmp_path)
    np.testing.assert_array_equal(auditors.load(tmp_path).score(features), auditor.score(features))
    gated = dataclasses.replace(auditor, calibration={"support_bank": np.eye(4)})
    with pytest.warns(UserWarning, match="biometric templates"):
        auditors.save(gated, tmp_path)


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
