"""The gate keeps what it says, looks at nothing else, and what is outside gets no verdict."""

import itertools
import json

import cv2
import numpy as np
import pytest
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from data_pipelines.databases.synthetic_faces import SyntheticFaces
from mint_jax.evidence import conformal
from mint_jax.evidence.support import (
    FEATURES,
    Components,
    Gate,
    density,
    from_pixels,
    thumbnails,
)


def _features(n, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "residual": rng.gamma(4, 0.5, n),
        "eyes": rng.lognormal(4, 0.5, n),
        "compression": rng.choice([75.0, 90.0, 95.0], n),  # whole numbers: ties
        "density": rng.normal(0.4, 0.1, n),
    }


def _within(gate, features):
    """The definition, feature by feature."""
    kept = np.ones(len(features["eyes"]), bool)
    for name, (low, high) in gate.ranges.items():
        kept &= features[name] >= low
        kept &= features[name] <= (np.inf if high is None else high)
    return kept


@pytest.mark.parametrize("share", [0.9, 0.99])
def test_the_stated_share_is_kept(share):
    reference, fresh = _features(5000), _features(20_000, seed=1)
    gate = Gate.fit(reference, share)
    kept = gate.inside(reference)[0]
    assert share <= kept.mean() < share + 0.003
    np.testing.assert_array_equal(kept, _within(gate, reference))
    deviation = np.sqrt(share * (1 - share) * (1 / 5000 + 1 / 20_000))
    assert gate.inside(fresh)[0].mean() == pytest.approx(share, abs=4 * deviation)
    assert (gate.n, gate.share) == (5000, share)


def test_one_feature_loses_as_much_on_either_side():
    gate = Gate.fit({"eyes": np.arange(1000.0)}, 0.98)
    assert gate.ranges == {"eyes": (10.0, 989.0)}
    assert Gate.fit({"density": np.arange(1000.0)}, 0.98).ranges == {"density": (20.0, None)}
    assert Gate.fit({"compression": np.full(1000, 95.0)}).ranges == {"compression": (95.0, 95.0)}


def test_the_order_of_the_reference_set_says_nothing():
    reference, order = _features(500), np.random.default_rng(1).permutation(500)
    assert Gate.fit(reference) == Gate.fit({k: x[order] for k, x in reference.items()})
    for rows in itertools.permutations(range(4)):
        few = {"eyes": np.array([3.0, 1.0, 4.0, 2.0])[list(rows)]}
        assert Gate.fit(few, 0.5).ranges == {"eyes": (2.0, 3.0)}


def test_every_reason_is_named():
    gate = Gate({"eyes": (14.0, 88.0), "density": (0.25, None)}, 0.99, 1000)
    features = {"eyes": np.array([9, 14, 88, 88.1, np.nan, 9]), "density": np.full(6, 0.25)}
    features["density"][5] = 0.2
    inside, reasons = gate.inside(features)
    np.testing.assert_array_equal(inside, [False, True, True, False, False, False])
    assert [reason is None for reason in reasons] == inside.tolist()
    assert reasons[0] == f"{FEATURES['eyes']}: 9, but verdicts are calibrated for 14 to 88"
    assert reasons[4] == f"{FEATURES['eyes']}: not known"
    assert FEATURES["eyes"] in reasons[5] and "0.2, but verdicts" in reasons[5]


def test_a_gate_goes_through_json():
    gate = Gate.fit(_features(300))
    assert Gate.from_json(json.loads(json.dumps(gate.to_json(), allow_nan=False))) == gate


@pytest.mark.parametrize(
    "reference",
    [
        {},
        {"eyes": np.array([])},
        {"colour": np.arange(9)},
        {"eyes": np.array([1.0, np.nan])},
        {"eyes": np.arange(9), "density": np.arange(8)},
    ],
)
def test_what_is_no_reference_set(reference):
    with pytest.raises(ValueError, match="feature"):
        Gate.fit(reference)


def test_all_features_of_the_gate_are_wanted():
    gate = Gate.fit(_features(50))
    with pytest.raises(ValueError, match="residual, eyes, compression, density"):
        gate.inside({"eyes": np.ones(3)})


def test_density_is_the_cosine_to_the_kth_neighbour():
    rng = np.random.default_rng(0)
    x, bank = rng.normal(size=(2100, 16)), rng.normal(size=(300, 16))
    near = NearestNeighbors(n_neighbors=7, metric="cosine").fit(bank)
    np.testing.assert_allclose(density(x, bank, 7), 1 - near.kneighbors(x)[0][:, -1], atol=1e-9)
    with pytest.raises(ValueError, match="301 neighbours"):
        density(x, bank, 301)


def test_thumbnails_are_the_means_of_blocks():
    faces = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    means = faces.reshape(3, 28, 4, 28, 4, 3).mean((2, 4)).reshape(3, -1)
    found = thumbnails(faces)
    assert found.dtype == np.uint8 and found.shape == (3, 2352)
    np.testing.assert_allclose(found, means, atol=0.51)


@pytest.mark.parametrize("bank, kept", [(200, 12), (9, 8)])
def test_reconstruction_is_that_of_principal_components(bank, kept):
    rng = np.random.default_rng(0)
    known, others = rng.integers(0, 256, (2, bank, 30), dtype=np.uint8)
    pca = PCA(kept).fit(known)
    lost = others - pca.inverse_transform(pca.transform(others))
    ratio = 20 * np.log10(255) - 10 * np.log10((lost**2).mean(axis=1))
    found = Components.fit(known, 12)
    assert found.basis.shape == (kept, 30)
    np.testing.assert_allclose(found.reconstruction(others), ratio, rtol=1e-4)
    drawn = found.reconstruction((found.mean + 90 * found.basis)[:3])
    assert (drawn > 90).all()  # what the components span is drawn in full


def test_faces_of_another_kind_are_not_drawn():
    faces = SyntheticFaces("studio", 0, 60, 1)
    images = np.stack([faces[i]["image"] for i in range(60)])
    components = Components.fit(thumbnails(images[:40]))
    turned = thumbnails(images[40:, ::-1])
    upright = components.reconstruction(thumbnails(images[40:]))
    assert (components.reconstruction(turned) < upright).mean() > 0.8


def test_features_of_pixels_are_those_of_their_definition():
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)
    luma = images @ np.array([0.299, 0.587, 0.114]) / 255
    found = from_pixels(images)
    for i, x in enumerate(luma):
        inner = cv2.Laplacian(x, cv2.CV_64F)[1:-1, 1:-1]
        assert found["sharpness"][i] == pytest.approx(np.log(np.mean(inner**2)), abs=1e-4)
        ratios = []
        for steps in (np.diff(x, axis=0) ** 2, np.diff(x.T, axis=0) ** 2):
            border = np.arange(len(steps)) % 8 == 7
            ratios.append(np.log(steps[border].mean()) - np.log(steps[~border].mean()))
        assert found["compression"][i] == pytest.approx(np.mean(ratios), abs=1e-4)


def test_compression_and_scaling_leave_their_traces():
    smooth = np.random.default_rng(0).normal(128, 60, (20, 28, 28, 3)).clip(0, 255)
    faces = np.stack([cv2.resize(x, (112, 112), interpolation=cv2.INTER_CUBIC) for x in smooth])
    faces = faces.clip(0, 255).astype(np.uint8)
    code = [cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, 10])[1] for x in faces]
    blocks = np.stack([cv2.imdecode(x, cv2.IMREAD_COLOR) for x in code])
    blurred = np.stack([cv2.GaussianBlur(x, (0, 0), 2) for x in faces])
    gate = Gate.fit(from_pixels(faces))
    assert gate.inside(from_pixels(faces))[0].all()
    assert all(FEATURES["compression"] in reason for reason in gate.inside(from_pixels(blocks))[1])
    assert all(FEATURES["sharpness"] in reason for reason in gate.inside(from_pixels(blurred))[1])


def test_out_of_support_there_is_no_verdict():
    """Whatever the score is, and however strong the evidence were."""
    gate, calibration = Gate.fit(_features(2000)), {"others": np.linspace(0, 1, 999)}
    small = {name: np.full(50, np.median(x)) for name, x in _features(2000).items()}
    inside, reasons = gate.inside(small | {"eyes": np.full(50, 2.0)})
    assert not inside.any()
    for score, reason in zip(np.linspace(-9, 9, 50), reasons):
        found = conformal.image_evidence(score, calibration, calibration, 0.01, reason)
        assert all(t.verdict == "no verdict" and t.p is None for t in found.values())
        assert found["h0_person"].reason == reason
    [reason] = gate.inside({name: x[:1] for name, x in small.items()})[1]
    found = conformal.image_evidence(2.0, calibration, calibration, 0.01, reason)
    assert found["h0_person"].verdict == "rejected"


def test_levels_hold_among_what_is_kept_if_calibration_passes_the_same_gate():
    """Small faces score higher. Of the queries that pass, p is uniform; calibrated on images that
    did not have to pass, it is not."""
    rng = np.random.default_rng(0)
    gate, same, other = Gate.fit({"eyes": rng.normal(size=1000)}, 0.5), [], []
    for seed in range(2000):
        eyes = rng.normal(size=51)
        scores = rng.normal(size=51) * 0.3 - eyes
        kept = gate.inside({"eyes": eyes})[0]
        if kept[0]:
            passed = scores[1:][kept[1:]]
            same += list(conformal.randomised_p_values(passed, scores[:1], seed))
            other += list(conformal.randomised_p_values(scores[1:], scores[:1], seed))
    assert stats.kstest(same, "uniform").pvalue > 0.01
    assert stats.kstest(other, "uniform").pvalue < 1e-6
