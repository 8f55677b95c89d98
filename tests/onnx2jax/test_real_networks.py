"""Published networks on real faces, against onnxruntime and their published figures."""

import cv2
import jax
import numpy as np
import onnx
import pytest
from sklearn.metrics import roc_auc_score

from mint_jax import onnx2jax

TEMPLATE = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)
# File: mean and scale of its input; genuine and impostor cosine and AUC of data/README.md.
NETWORKS = {
    "sface_2021dec.onnx": (0.0, 1.0, 0.691, 0.113, 1.000),
    "mobilefacenet_ms1m_y1.onnx": (0.0, 1.0, 0.674, 0.020, 1.000),
    "mobilefacenet_casia.onnx": (127.5, 1 / 127.5, 0.603, 0.085, 0.997),
}


def nchw(images, name):
    mean, scale = NETWORKS[name][:2]
    return ((images.astype(np.float32) - mean) * scale).transpose(0, 3, 1, 2).copy()


@pytest.fixture(scope="module")
def images(test_data):
    """Noise and four aligned 112x112 crops that InsightFace ships."""
    files = sorted((test_data / "insightface" / "ms1m_v2_10").glob("*.jpg"))[:4]
    noise = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    return np.stack([*(cv2.imread(str(f))[..., ::-1] for f in files), noise])


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("name", NETWORKS)
def test_agrees_with_onnxruntime(name, batch, images, test_data, agree):
    model = onnx.load(test_data / "models" / name)
    inputs = {model.graph.input[0].name: nchw(images[:batch], name)}
    agree(model, inputs, every=7 if batch == 1 else 1)


@pytest.mark.full
def test_detector_follows_the_batch(test_data, agree):
    """YuNet fixes the batch in its input and in twelve Reshapes."""
    model = onnx.load(test_data / "models" / "yunet_2023mar.onnx")
    images = np.random.default_rng(0).uniform(0, 255, (2, 3, 640, 640))
    agree(model, {"input": images.astype(np.float32)}, every=11)


def similarity(points):
    """The least-squares similarity transform of five points to the template."""
    x, y = points.T
    one, zero = np.ones(5), np.zeros(5)
    rows = np.r_[np.c_[x, -y, one, zero], np.c_[y, x, zero, one]]
    a, b, c, d = np.linalg.lstsq(rows, TEMPLATE.T.ravel(), rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d]])


@pytest.fixture(scope="module")
def aligned(test_data):
    """LFW10 aligned with YuNet's landmarks, and its identities."""
    detector = cv2.FaceDetectorYN.create(
        str(test_data / "models" / "yunet_2023mar.onnx"), "", (250, 250), 0.7
    )
    images, identities = [], []
    for file in sorted((test_data / "faces" / "lfw10").glob("*/*.jpg")):
        image = cv2.imread(str(file))
        faces = detector.detect(image)[1]
        centre = np.abs(faces[:, :2] + faces[:, 2:4] / 2 - 125).sum(1)
        points = faces[centre.argmin(), 4:14].reshape(5, 2)
        crop = cv2.warpAffine(image, similarity(points), (112, 112))
        images.append(crop[..., ::-1])
        identities.append(file.parent.name)
    return np.stack(images), np.array(identities)


@pytest.mark.full
@pytest.mark.parametrize("name", NETWORKS)
def test_verification_figures(name, aligned, test_data):
    images, identities = aligned
    module = onnx2jax.load(test_data / "models" / name)
    (source,), (output,) = module.inputs, module.outputs
    embed = jax.jit(lambda p, x: module.apply(p, {source: x})[output])
    inputs = nchw(images, name)
    e = np.concatenate([embed(module.params, inputs[i : i + 20]) for i in range(0, 100, 20)])
    e = e.reshape(100, -1)
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    pairs = np.triu_indices(100, 1)
    cosines = (e @ e.T)[pairs]
    genuine = (identities[:, None] == identities)[pairs]
    assert (genuine.sum(), (~genuine).sum()) == (450, 4500)
    same, other, auc = NETWORKS[name][2:]
    assert cosines[genuine].mean() == pytest.approx(same, abs=0.005)
    assert cosines[~genuine].mean() == pytest.approx(other, abs=0.005)
    assert roc_auc_score(genuine, cosines) == pytest.approx(auc, abs=0.0015)
