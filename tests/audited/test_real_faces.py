"""Real photos through detection, alignment and real networks: figures measured before us."""

import jax
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from data_pipelines.sources import ImageFolder
from mint_jax import audited

FIGURES = {  # mean cosine of genuine and impostor pairs, AUC
    "sface_2021dec": (0.691, 0.113, 1.000),
    "mobilefacenet_ms1m_y1": (0.674, 0.020, 1.000),
    "mobilefacenet_casia": (0.603, 0.085, 0.997),
}


@pytest.fixture(scope="module")
def faces(test_data):
    """Aligned LFW photos, uint8 RGB (100, 112, 112, 3), and their identities."""
    detector = test_data / "models" / "yunet_2023mar.onnx"
    source = ImageFolder(test_data / "faces" / "lfw10", detector=detector)
    return np.stack([source[i]["image"] for i in range(len(source))]), source.identities


_SLOW = ("sface_2021dec", "mobilefacenet_ms1m_y1")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.full if n in _SLOW else ()) for n in FIGURES],
)
def test_genuine_and_impostor_cosines(test_data, faces, name):
    images, identities = faces
    model = audited.load(test_data / "models" / f"{name}.onnx")
    embed = jax.jit(lambda v, i: model.apply(v, i, ("outcome",))["outcome"])
    embeddings = np.concatenate([embed(model.variables, x) for x in np.split(images, 4)])
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    pairs = np.triu_indices(len(images), 1)
    cosines = (embeddings @ embeddings.T)[pairs]
    same = (identities[:, None] == identities)[pairs]
    assert (same.sum(), (~same).sum()) == (450, 4500)
    found = cosines[same].mean(), cosines[~same].mean(), roc_auc_score(same, cosines)
    np.testing.assert_allclose(found, FIGURES[name], atol=0.005)
