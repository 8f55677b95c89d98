"""The paper's experiment on miniature copies of its databases, in their real formats."""

import json

import cv2
import numpy as np
import pytest
from miniatures import adience, fddb, gandiffface, ijbc, mxnet

from data_pipelines import errors
from experiments import audit, extraction
from experiments.benchmarks import iresnet_onnx
from experiments.configs import extract, paper
from mint_jax import audited
from mint_jax.audited.onnx_model import import_iresnet
from mint_jax.errors import InputError

MEMBERS, EXTERNALS = 160, 30  # photos of each database
MARKS = np.float32([[62, 75], [128, 75], [95, 115], [70, 150], [122, 150]])  # roughly, in 200x200


@pytest.fixture(scope="module")
def photos(test_data):
    """Real faces, 200x200 JPEG files, each of another person."""
    files = sorted((test_data / "faces" / "utkface_adults").glob("*.jpg"))[::20]
    return [file.read_bytes() for file in files[: MEMBERS + 4 * EXTERNALS]]


@pytest.fixture(scope="module")
def databases(photos, tmp_path_factory):
    """Folders of the five databases, no photo in two of them."""
    root, rest = tmp_path_factory.mktemp("databases"), iter(photos)

    def take(count):
        return [next(rest) for _ in range(count)]

    def small(data):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        image = cv2.resize(image, (112, 112), interpolation=cv2.INTER_AREA)
        return cv2.imencode(".jpg", image)[1].tobytes()

    (root / "glint360k").mkdir()
    pack = [(small(data), row // 2) for row, data in enumerate(take(MEMBERS))]
    mxnet.insightface(root / "glint360k" / "train", pack)
    rows = [(data, MARKS, row // 2, row) for row, data in enumerate(take(EXTERNALS))]
    ijbc.write(root / "ijbc", rows, [(0, 1, 1), (2, 3, 0)])
    ellipse = (95, 70, 1.5708, 98, 100)
    shots = [
        (f"2002/07/{row:02d}/big/img_{row}", data, [ellipse])
        for row, data in enumerate(take(EXTERNALS))
    ]
    fddb.write(root / "fddb", {1: shots[:10], 7: shots[10:]})
    people = {f"Group_{row % 3}/{row}": [data] for row, data in enumerate(take(EXTERNALS))}
    gandiffface.write(root / "gandiffface", people)
    crops = [
        (row % 5, f"{row // 4}@N0", f"{row}.jpg", row // 2, {"faces": data})
        for row, data in enumerate(take(EXTERNALS))
    ]
    adience.write(root / "adience", crops, crops=("faces",))
    return root


@pytest.fixture(
    scope="module", params=["iresnet18", pytest.param("iresnet100", marks=pytest.mark.full)]
)
def network(request, tmp_path_factory):
    """The folder of an imported network."""
    root = tmp_path_factory.mktemp("network")
    iresnet_onnx.write(root / "network.onnx", request.param, width=0.125)
    model = import_iresnet(root / "network.onnx")
    audited.save(
        root / "model",
        architecture=model.architecture,
        variables=model.variables,
        preprocessing=model.preprocessing,
        info=dict(model.info),
        source_sha256=model.sha256,
    )
    return root / "model"


def _config(network, databases, test_data, **changes):
    names = ",".join(f"{path.name}={path}" for path in sorted(databases.iterdir()))
    config = paper.get_config(f"audited={network},{names},sizes=16;32")
    config.update(seeds=2, cnn_seeds=1, test_images=20, bank_images=24)
    config.update(calibration_images=8, calibration_members=4)
    config.update(validation_images=4, threshold_images=8, random_networks=2, shuffles=2)
    config.update(per_device_batch=16, detector=str(test_data / "models" / "yunet_2023mar.onnx"))
    config.vanilla.fit = {"epochs": 3}
    config.cnn.fit = {"epochs": 2}
    config.update(changes)
    return config


def test_the_papers_experiment(network, databases, test_data, tmp_path, full):
    controls = ("random_network", "shuffled_labels", "pixels") if full else ("pixels",)
    config = _config(network, databases, test_data, controls=controls, cnn_seeds=int(full))
    tables = audit.run(config, tmp_path)
    assert tables["protocols"]["matched"] is None and "held out" in tables["matched_reason"]
    found = tables["protocols"]["cross_database"]
    assert set(found["table1"]) == {"conv1", "conv2", "conv3", "conv4", "outcome", "all_conv"}
    tables_of_it = ("table1", "table2") if full else ("table1",)
    for cells in (cells for table in tables_of_it for cells in found[table].values()):
        assert set(cells) == {"16", "32"}
    assert set(found["controls"]) == set(controls)
    content = json.loads((tmp_path / "manifest.json").read_text())
    used = [source["database"] for source in content["sources"]]
    assert sorted(used) == ["adience", "fddb", "gandiffface", "glint360k", "ijbc"]
    for part, entry in content["sides"]["externals"].items():
        from_each = np.bincount([row[0] for row in entry["rows"]], minlength=5)
        assert sorted(from_each)[0] == 0 and sorted(from_each)[1] > 0, part  # no members
    assert "glint360k" not in {
        used[row[0]] for row in content["sides"]["externals"]["test"]["rows"]
    }
    assert f"of the {MEMBERS} member images" in " ".join(tables["notes"])


def test_a_store_stands_in_for_the_network(network, databases, test_data, tmp_path, monkeypatch):
    """The audited network runs over each database once, for its store, and never again."""
    specs = [f"{name}:{databases / name}" for name in ("glint360k", "ijbc")]
    for spec, count in zip(specs, (MEMBERS, EXTERNALS)):
        config = extract.get_config(f"audited={network},images={spec},reduce=map")
        detector = str(test_data / "models" / "yunet_2023mar.onnx")
        config.update(antialias=False, per_device_batch=16, detector=detector)
        config.store = str(tmp_path / spec.partition(":")[0])
        tally = extraction.run(config, tmp_path)
        assert (tally.read, tally.bad) == (count, 0)
    fly = _config(network, databases, test_data, controls=("pixels",), externals=(specs[1],))
    fly.update(sizes=(8,), bank_images=8, test_images=8, validation_images=4)
    fly.update(calibration_images=4, calibration_members=2)
    fly.robustness = False  # a change of photos must be read anew
    subject = audit.audit_sets.sources(fly, tmp_path / "audit")
    parts = audit.draw(subject, fly)
    expected = audit.read(subject, parts, fly)
    fly.stores = tuple(str(tmp_path / name) for name in ("glint360k", "ijbc"))
    monkeypatch.setattr(audit.aad, "make_extractor", None)
    found = audit.read(subject, parts, fly)
    for side in parts:
        for part in parts[side]:
            ours, theirs = found[side][part], expected[side][part]
            np.testing.assert_array_equal(ours.pixels, theirs.pixels)
            for kind in ("maxima", "maps"):
                a, b = (getattr(x.readings["audited"], kind) for x in (ours, theirs))
                assert set(a) == set(b)
                for layer in a:
                    scale = 1e-5 * np.abs(b[layer]).max()
                    np.testing.assert_allclose(a[layer], b[layer], rtol=0, atol=scale)


def test_a_manifest_gives_the_same_images_whatever_the_seed(
    network, databases, test_data, tmp_path
):
    config = _config(network, databases, test_data)
    subject = audit.audit_sets.sources(config, tmp_path)
    parts = audit.draw(subject, config)
    path = tmp_path / "manifest.json"
    audit.manifest.write(path, parts)
    again = _config(network, databases, test_data, seed=7, manifest=str(path))
    rebuilt = audit.audit_sets.sources(again, tmp_path)
    found = audit.draw(rebuilt, again)
    assert rebuilt.member_images == subject.member_images == MEMBERS
    for side in parts:
        assert set(found[side]) == set(parts[side])
        for part, source in parts[side].items():
            assert found[side][part].keys == source.keys
            for row in (0, len(source) - 1):
                np.testing.assert_array_equal(found[side][part][row]["image"], source[row]["image"])
    again.quality = 90
    with pytest.raises(errors.InputError, match="manifest.json: drawn from .* prepared otherwise"):
        audit.audit_sets.sources(again, tmp_path)


def test_the_audited_network_does_not_screen_its_own_audit_set(
    network, databases, test_data, tmp_path
):
    config = _config(network, databases, test_data, screen_network=str(network))
    with pytest.raises(errors.InputError, match="must not choose its own audit set"):
        audit.audit_sets.sources(config, tmp_path)
    config.screen_network = "iresnet18:random=1,width=0.0625,embedding_size=8"
    subject = audit.audit_sets.sources(config, tmp_path)
    count = int(subject.notes[-1].partition(" ")[0])
    assert count == len(subject.dropped)
    assert count > 20  # to random weights many faces are alike; fingerprints find no pair here


def test_what_is_missing_is_said():
    for arg, message in (
        ("glint360k=a,ijbc=b", "needs audited"),
        ("audited=a,ijbc=b", "needs glint360k"),
        ("audited=a,glint360k=b", "one of ijbc, fddb, gandiffface, adience"),
    ):
        with pytest.raises(InputError, match=message):
            paper.get_config(arg)
