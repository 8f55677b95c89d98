"""The gate of an audit: what it is fixed on, what it keeps, and that verdicts measure alike."""

import dataclasses
import warnings

import cv2
import numpy as np
import pytest
from ml_collections import ConfigDict

from data_pipelines.alignment import TEMPLATE
from data_pipelines.databases.image_folder import ImageFolder
from data_pipelines.faces import Faces
from data_pipelines.perturbations import CHANGES
from data_pipelines.sources import Subset, placements
from experiments import examining, photos, supporting, verdicts
from experiments.reading import Reader, View
from mint_jax import audited, auditors
from mint_jax.baselines import pixel_features
from mint_jax.errors import InputError
from mint_jax.evidence import support
from mint_jax.evidence.population import Part, Readings

OTHER = "iresnet18:random=1,width=0.125,embedding_size=16,input_size=32"
PREPARATION = {"align": "auto", "antialias": True, "detector": "", "quality": 0}
CONFIG = ConfigDict({"other_network": OTHER, "robustness": True, **PREPARATION})
STATISTICS = {"pixels": pixel_features, "thumbnails": support.thumbnails}
PEOPLE, EACH = 40, 2
CUTS = {"bank": 10, "threshold": 20, "calibration": 30, "test": 40}  # people before each border


def detector(image):
    """A face whose landmarks lie somewhere else in every photo."""
    shift = np.random.default_rng(image[0, 0]).normal(0, 2, (5, 2))
    marks = np.float32(TEMPLATE + shift)[None]
    return Faces(np.float32([[0, 0, 100, 100]]), marks, np.ones(1, np.float32))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """{population: {part: source}} of blurred noise, aligned into a cache."""
    root, rng, found = tmp_path_factory.mktemp("faces"), np.random.default_rng(0), {}
    for side in ("members", "non_members", "externals"):
        for person in range(PEOPLE):
            (root / side / f"{person:02d}").mkdir(parents=True)
            for i in range(EACH):
                image = rng.integers(0, 256, (120, 112, 3)).astype(np.uint8)
                image = cv2.GaussianBlur(image, (0, 0), rng.uniform(1, 2))
                cv2.imwrite(str(root / side / f"{person:02d}" / f"{i}.png"), image)
        source = ImageFolder(root / side, detector=detector)
        faces, notes = photos.aligned(source, root / "cache", 0)
        assert not notes
        rows = np.split(np.arange(len(faces)), EACH * np.array(list(CUTS.values()))[:-1])
        found[side] = {part: Subset(faces, own) for part, own in zip(CUTS, rows)}
    del found["members"]["threshold"]
    return found


@pytest.fixture(scope="module")
def populations(sources):
    views = {supporting.NETWORK: View(audited.load(OTHER), parts=tuple(CUTS))}
    reader = Reader(views, statistics=STATISTICS, batch=16, workers=0)
    return reader.populations(sources, 1 << 32)


@pytest.fixture(scope="module")
def gate(populations, sources):
    return supporting.AuditGate("non_members", populations, sources, CONFIG)


def _features(populations, sources, side, part, bank):
    """By their definitions."""
    bank = np.float32(bank)
    source = sources[side][part]
    images = np.stack([source[row]["image"] for row in range(len(source))])
    residual, eyes = placements(source, np.arange(len(source))).T
    x = _unit(populations[side][part].readings["other_network"].maxima["outcome"])
    near = np.sort(x @ _unit(bank).T, axis=1)[:, -support.NEIGHBOURS]
    known = [sources[s]["bank"] for s in ("members", "non_members")]
    known = np.stack([photos[row]["image"] for photos in known for row in range(len(photos))])
    drawn = support.Components.fit(support.thumbnails(known))
    placed = {"residual": residual, "eyes": eyes, "density": near}
    placed["reconstruction"] = drawn.reconstruction(support.thumbnails(images))
    return placed | support.from_pixels(images)


def _bank(populations, sides):
    rows = [populations[s]["bank"].readings["other_network"].maxima["outcome"] for s in sides]
    return _unit(np.concatenate(rows)).astype(np.float16)


def _unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_all_that_is_measured_of_the_threshold_part_is_looked_at(gate, populations, sources):
    bank = _bank(populations, ("members", "non_members"))
    reference = _features(populations, sources, "non_members", "threshold", bank)
    expected = support.Gate.fit(reference)
    assert gate.gauge.gate.ranges.keys() == support.FEATURES.keys() == expected.ranges.keys()
    for name, (low, high) in gate.gauge.gate.ranges.items():
        bounds = expected.ranges[name]
        assert low == pytest.approx(bounds[0], abs=1e-5)
        assert high == (bounds[1] if high is None else pytest.approx(bounds[1], abs=1e-5))


@pytest.fixture(scope="module")
def exported(gate, populations):
    """An auditor that scores nothing, whose calibration scores are numbers of photos."""
    kinds = ("members", "non_members", "person_non_members", "person_externals")
    scores = np.arange(EACH * 10, dtype=np.float32)
    calibration = {kind: scores / len(scores) for kind in kinds}
    for name in ("non_members", "externals"):
        calibration[f"people_{name}"] = populations[name]["calibration"].identities
    evidence = {"gate": {"passed": True}, "headline": "Found."}
    auditor = auditors.TrainedAuditor(
        auditors.NeighbourConfig(),
        {"bank": np.zeros((1, 16))},
        (16,),
        "abc",
        calibration=calibration,
        meta={"evidence": evidence},
    )
    return auditor, gate.export(auditor, examining.calibrated("non_members", populations))


class Reads:
    """An extractor of an audited model, whose readings are not asked about here."""

    chunk = 8

    def suited(self, count):
        return self

    def __call__(self, images):
        return images


def test_verdicts_keep_the_photos_that_the_audit_keeps(
    exported, populations, sources, tmp_path, monkeypatch
):
    """The verdict cuts, measures and embeds each photo anew, out of the folder it came from."""
    with warnings.catch_warnings(action="ignore"):
        auditors.save(exported[1], tmp_path / "chosen")
    loaded = auditors.load(tmp_path / "chosen")
    monkeypatch.setattr(auditors.TrainedAuditor, "score", lambda self, aad: np.zeros(len(aad)))
    judge = verdicts.Judge(tmp_path / "chosen", loaded, 0.05)
    names = {
        "members": ["members"],
        "non_members": ["non_members", "person_non_members"],
        "externals": ["person_externals"],
    }
    some = []
    for side, kinds in names.items():
        part = sources[side]["calibration"]
        photo = Subset(part.source.source, part.rows)  # behind the cache
        seen = verdicts.read(judge, Reads(), photo)
        inside = np.array([row not in seen.outside for row in range(len(photo))])
        for kind in kinds:
            kept = exported[0].calibration[kind][inside]
            np.testing.assert_array_equal(loaded.calibration.get(kind, []), kept)
        people = populations[side]["calibration"].identities[inside]
        np.testing.assert_array_equal(loaded.calibration.get(f"people_{side}", []), people)
        some.append(inside)
    assert 10 < np.sum(some) < np.size(some)


def test_the_bank_and_its_network_stay_with_the_auditor(exported, populations):
    _, chosen = exported
    bank = chosen.calibration[supporting.BANK]
    np.testing.assert_array_equal(bank, _bank(populations, ("members", "non_members")))
    assert bank.dtype == np.float16 and bank.nbytes == 2 * 16 * len(bank) == 2 * 16 * 40
    network = {"spec": OTHER, "sha256": audited.load(OTHER).sha256}
    assert chosen.meta["support"]["network"] == network


@pytest.mark.parametrize(
    "spec, message",
    [
        ("nowhere.onnx", "chosen: its gate needs another network; .*nowhere.onnx"),
        ("embedded", "chosen: its gate was fixed by the network .*, and embedded is "),
    ],
)
def test_a_network_that_is_gone_or_another_one(exported, tmp_path, spec, message):
    about = exported[1].meta["support"]
    meta = exported[1].meta | {"support": about | {"network": about["network"] | {"spec": spec}}}
    changed = dataclasses.replace(exported[1], meta=meta)
    with pytest.raises(InputError, match=message) as error:
        verdicts.Judge(tmp_path / "chosen", changed, 0.05)
    assert "\n" not in str(error.value)


def test_shares_are_those_of_one_photo_a_person(gate, populations, sources):
    found = {row["photos"]: row for row in gate.shares(seed=0)}
    plain = {
        "photos that were used": "members",
        "photos of people who were held out": "non_members",
        "photos of the database externals": "externals",
    }
    changed = [f"photos of people who were held out, {c.words}" for c in CHANGES.values()]
    assert list(found) == [*plain, *changed]
    bank = _bank(populations, ("members", "non_members"))
    for words, side in plain.items():
        features = _features(populations, sources, side, "test", bank)
        inside = gate.gauge.gate.inside(features)[0].reshape(-1, EACH)
        row = found[words]
        assert row["n"] == len(inside) and 0 <= row["share_ci95"][0] <= row["share"]
        assert inside.all(1).mean() <= row["share"] <= inside.any(1).mean()
    half = f"photos of people who were held out, {CHANGES['resized'].words}"
    assert found[half]["share"] <= found["photos of people who were held out"]["share"]
    assert found[half]["n"] == PEOPLE - CUTS["calibration"]


def _plain(n, first, pixels=None, embeddings=None):
    readings = {} if embeddings is None else {supporting.NETWORK: Readings({"outcome": embeddings})}
    none = np.zeros((n, 0), np.float32)
    return Part(first + np.arange(n), readings, none if pixels is None else pixels)


class Faces40:
    """40 faces, of which one came aligned, and the eyes of all are known."""

    def __len__(self):
        return 40

    def placements(self, rows):
        return np.where(rows[:, None] == [7, 40], np.nan, 30.0 + rows[:, None])


def test_only_features_that_are_known_of_every_photo_are_looked_at():
    pixels = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float32)
    names = ("bank", "threshold", "calibration", "test")
    side = {name: _plain(40, 100 * i, pixels) for i, name in enumerate(names)}
    alone = ConfigDict({"other_network": "", "robustness": False, **PREPARATION})
    parts = {name: dict.fromkeys(names, Faces40()) for name in ("members", "non_members")}
    both = {"members": side, "non_members": side}
    gate = supporting.AuditGate("non_members", both, parts, alone)
    eyes = {"eyes": 30.0 + np.arange(40)}
    assert gate.gauge.gate == support.Gate.fit(eyes | support.from_features(pixels))

    blind = {name: _plain(40, 100 * i) for i, name in enumerate(names)}
    both = {"members": blind, "non_members": blind}
    gate = supporting.AuditGate("non_members", both, parts, alone)
    assert gate.gauge.gate.ranges == {"eyes": (30.0, 69.0)}
    parts = {name: dict.fromkeys(names, range(40)) for name in parts}  # a source of no photos
    gate = supporting.AuditGate("non_members", both, parts, alone)
    assert gate.gauge is None and gate.shares(0) == []
    auditor = auditors.TrainedAuditor(None, {}, (16,), "abc", calibration={"members": eyes["eyes"]})
    found = gate.export(auditor, {"members": "members"})
    nothing = dict.fromkeys(("detector", "quality"))
    assert found.meta == {"support": None, "preparation": PREPARATION | nothing}
    np.testing.assert_array_equal(found.calibration["members"], eyes["eyes"])


def test_nobody_of_the_bank_is_asked_about():
    """Where a split by image has them in several parts."""
    rng = np.random.default_rng(0)
    sides = {}
    for i, side in enumerate(("members", "non_members")):
        bank = rng.standard_normal((20, 4)) * 1e6  # float16 ends at 65504
        sides[side] = {
            "bank": _plain(20, 100 * i, embeddings=bank),
            "test": _plain(5, 100 * i + 12),
            "train": _plain(5, 100 * i),
        }
    strangers = supporting._strangers(sides, "non_members")
    found = supporting._embedded(strangers)
    kept = [x["bank"].readings["other_network"].maxima["outcome"] for x in sides.values()]
    kept = np.concatenate([np.delete(x, np.arange(12, 17), axis=0) for x in kept])
    np.testing.assert_allclose(found, _unit(kept), atol=1e-3)
    for side in sides.values():
        side["test"] = _plain(40, int(side["bank"].identities[4]))
    assert supporting._strangers(sides, "non_members") == []
