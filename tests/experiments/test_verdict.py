"""Verdicts by a stand-in auditor: of images, people and siblings; the gate; the command."""

import dataclasses
import hashlib
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from scipy.special import expit, logit

from data_pipelines.sources import ImageFolder, open_source
from experiments import verdicts
from mint_jax import aad, audited, auditors
from mint_jax.errors import InputError
from mint_jax.evidence import bundle, support

MODEL = "iresnet18:random=0,width=0.125,embedding_size=16,input_size=32"
HEADLINE = "Membership cannot be determined."
PERSON = "No image of this person was used for training."
IMAGE = "This image was not used for training."
PEOPLE = 300  # of each calibration population, two photos each


@pytest.fixture(scope="module")
def model():
    return audited.load(MODEL)


@pytest.fixture(scope="module")
def extractor(model):
    return aad.make_extractor(model, ("outcome",), "max", per_device_batch=4)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two photos of each of four people, a copy of one of them, a flat one and a broken file."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(1)
    for person in "abcd":
        (folder / person).mkdir()
        for i in range(2):
            coarse = rng.integers(0, 256, (14, 14, 3)).astype(np.uint8)
            image = cv2.resize(coarse, (112, 112), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / person / f"{i}.png"), image)
    copy = cv2.imread(str(folder / "a" / "0.png"))
    cv2.imwrite(str(folder / "a" / "2.jpg"), copy, [cv2.IMWRITE_JPEG_QUALITY, 95])
    cv2.imwrite(str(folder / "b" / "2.png"), np.full((112, 112, 3), 128, np.uint8))
    (folder / "c" / "2.png").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def fitted(model):
    """A neighbour auditor of noise, with neither calibration nor evidence."""
    rows, truth = np.random.default_rng(0).standard_normal((80, 16)), np.arange(40) % 2
    config = auditors.NeighbourConfig(top=(3,))
    found = auditors.fit_neighbours(
        rows[:40], truth, rows[40:60], rows[60:], np.ones((1, 40), bool), config
    )
    return found.auditor(0, audited_sha256=model.sha256)


@pytest.fixture(scope="module")
def scores(fitted, extractor, photos):
    """{key: score} of the photos that can be read, straight from the files."""
    keys = [key for key in ImageFolder(photos).keys if key != "c/2.png"]
    images = np.stack([cv2.imread(str(photos / key))[..., ::-1] for key in keys])
    return dict(zip(keys, fitted.score(extractor(images)).tolist()))


@pytest.fixture(scope="module")
def auditor(fitted, scores):
    """As an audit exports it, with calibration scores between those of the photos."""
    rng, calibration = np.random.default_rng(2), {}
    seen = [score for key, score in scores.items() if key != "b/2.png"]
    low, *_, high, top = np.sort(logit(seen))
    highest = {"members": top, "non_members": high, "externals": high, "unused": top}
    for name, end in highest.items():
        own = expit(rng.uniform(low, end, PEOPLE)).astype(np.float32)
        kind = {"members": "", "unused": "image_"}.get(name, "person_")
        calibration[kind + name] = np.repeat(own, 2)
        calibration[f"people_{name}"] = np.repeat(np.arange(PEOPLE), 2)
    calibration["non_members"] = calibration["person_non_members"]
    gate = support.Gate({"sharpness": (-10.0, 5.0), "compression": (-9.0, 9.0)}, 0.99, 1000)
    evidence = {"gate": {"passed": True}, "headline": "Found."}
    preparation = {"align": "auto", "antialias": True, "detector": None, "quality": None}
    meta = {"evidence": evidence, "support": gate.to_json(), "preparation": preparation}
    return dataclasses.replace(fitted, calibration=calibration, meta=meta)


def _withheld(auditor):
    """The same one out of an audit that could not determine membership."""
    evidence = {"gate": {"passed": False}, "headline": HEADLINE}
    return dataclasses.replace(auditor, meta={**auditor.meta, "evidence": evidence})


@pytest.fixture(scope="module")
def folder(auditor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit") / "auditors" / "matched" / "chosen"
    with pytest.warns(UserWarning, match="biometric"):
        auditors.save(auditor, folder)
    return folder


@pytest.fixture(scope="module")
def judge(auditor, folder):
    return verdicts.Judge(folder, auditor, 0.05)


@pytest.fixture(scope="module")
def seen(judge, extractor, photos):
    return verdicts.read(judge, extractor, ImageFolder(photos))


def _ranks(auditor, name, score):
    """p-value among the people of a population, whose two photos score alike."""
    return (1 + np.sum(auditor.calibration[name][::2] >= score)) / (PEOPLE + 1)


@pytest.fixture(scope="module")
def lines(judge, seen, model, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("verdicts")
    output = verdicts.prepare(workdir)
    verdicts.write(output, verdicts.by_image(judge, seen, model, workdir))
    return workdir, {line["image"]: line for line in map(json.loads, output.open())}


def test_images(lines, auditor, scores, photos):
    _, lines = lines
    assert list(lines) == list(ImageFolder(photos).keys) and len(lines) == 11
    found = []
    for key, line in lines.items():
        assert line["h0_person"]["hypothesis"] == PERSON
        assert line["h0_image"]["hypothesis"] == IMAGE
        assert line["sha256"] == hashlib.sha256((photos / key).read_bytes()).hexdigest()
        if key in ("b/2.png", "c/2.png"):
            continue
        assert line["score"] == scores[key] and line["support"] == "inside"
        person, image = line["h0_person"], line["h0_image"]
        names = ("person_non_members", "person_externals")
        assert person["p"] == max(_ranks(auditor, name, scores[key]) for name in names)
        assert person["conditional_p"] >= person["p"] and person["n"] == PEOPLE
        rejected = person["conditional_p"] <= 0.05
        assert person["verdict"] == ("rejected" if rejected else "not rejected")
        if rejected:
            assert image["p"] == _ranks(auditor, "image_unused", scores[key])
        found.append((person["verdict"], image["verdict"]))
        low, high = line["log10_lr_bounds"]
        assert low <= line["log10_lr"] <= high and line["error"] is None
    assert set(found) == {
        ("not rejected", "not tested"),
        ("rejected", "not rejected"),
        ("rejected", "rejected"),
    }


def test_no_verdict_outside_of_support_or_of_a_bad_file(lines):
    _, lines = lines
    flat, broken = lines["b/2.png"], lines["c/2.png"]
    assert "sharpness" in flat["support"] and flat["error"] is None and 0 < flat["score"] < 1
    assert flat["h0_person"]["reason"] == flat["support"]
    assert "not an image" in broken["error"] and broken["score"] is None
    assert broken["support"] is None and broken["bundle"] is None
    for line in (flat, broken):
        for test in (line["h0_person"], line["h0_image"]):
            assert test["verdict"] == "no verdict" and test["p"] is None
        assert line["log10_lr"] is None


def test_bundles_say_the_same_and_can_be_verified(lines, model):
    workdir, lines = lines
    bundled = [line for line in lines.values() if line["bundle"]]
    assert len(bundled) == 10 == len(list(workdir.glob("bundles/*/bundle.html")))
    for line in bundled[:3]:
        path = workdir / line["bundle"]
        checks = {c.name: c.passed for c in bundle.verify(path, model.sha256)}
        assert checks.pop("manifest") is None and all(checks.values()), checks
        document, text = bundle.read(path), path.read_text()
        assert document["claims"] == {key: line[key] for key in ("h0_person", "h0_image")}
        salted = bundle.salted(bytes.fromhex(line["salt"]), line["sha256"])
        assert document["data"]["image"] == salted
        assert line["image"] not in text and line["sha256"] not in text
        assert document["configuration"]["evidence"]["headline"] == "Found."


def test_an_audit_that_cannot_tell_gives_no_verdict(auditor, seen, judge, folder, model, tmp_path):
    cannot = verdicts.Judge(folder, _withheld(auditor), 0.05)
    pairs = zip(
        verdicts.by_image(cannot, seen, model, tmp_path / "cannot"),
        verdicts.by_image(judge, seen, model, tmp_path / "can"),
    )
    for line, other in pairs:
        for name in ("h0_person", "h0_image"):
            assert line[name] == other[name] | {"verdict": "no verdict", "reason": HEADLINE}
        assert (line["score"], line["log10_lr"]) == (other["score"], other["log10_lr"])
    path = tmp_path / "cannot" / "bundles" / "0" / "bundle.json"
    assert all(check.passed is not False for check in bundle.verify(path))
    assert {test["reason"] for test in bundle.read(path)["claims"].values()} == {HEADLINE}
    for line in verdicts.by_person(cannot, seen):
        assert line["h0_person"]["verdict"] == line["h0_image"]["verdict"] == "no verdict"
        assert line["h0_person"]["p"] is not None
    line = verdicts.by_siblings(cannot, seen, "a/0.png")
    assert line["h0_image"]["reason"] == HEADLINE and line["h0_image"]["p"] > 0


def test_people(judge, seen, auditor, scores):
    found = dict(zip("abcd", verdicts.by_person(judge, seen), strict=True))
    assert [line["photos"] for line in found.values()] == [2, 2, 2, 2]
    assert found["a"]["images"] == ["a/0.png", "a/1.png", "a/2.jpg"]
    assert list(found["b"]["left_out"]) == ["b/2.png"] and list(found["c"]["left_out"]) == [
        "c/2.png"
    ]
    for name, line in found.items():
        logits = [logit(scores[f"{name}/{i}.png"]) for i in range(2)]
        if name == "a":
            logits[0] = (logits[0] + logit(scores["a/2.jpg"])) / 2
        assert line["score"] == pytest.approx(np.mean(logits), abs=1e-9)
        names, score = ("person_non_members", "person_externals"), expit(np.mean(logits))
        test = line["h0_person"]
        assert test["p"] == max(_ranks(auditor, name, score) for name in names)
        assert test["verdict"] == ("rejected" if test["p"] <= 0.05 else "not rejected")
        assert test["n"] == PEOPLE and test["resolution"] == 1 / (PEOPLE + 1)
        assert line["e_value"] == pytest.approx(0.5 / np.sqrt(test["p"]))
        assert line["h0_image"]["hypothesis"] == IMAGE
        assert line["h0_image"]["verdict"] == "not tested"


def test_more_photos_than_any_calibration_person_has(judge, seen):
    one = dataclasses.replace(seen, identities=np.zeros_like(seen.identities))
    (line,) = verdicts.by_person(judge, one)
    assert line["photos"] == 8 and line["h0_person"]["n"] == 0
    assert line["h0_person"]["verdict"] == "no verdict" and line["h0_person"]["p"] == 1
    broken = dataclasses.replace(seen, outside=dict.fromkeys(range(11), "too far"))
    assert all(
        line["photos"] == 0 and line["score"] is None and line["e_value"] is None
        for line in verdicts.by_person(judge, broken)
    )


@pytest.mark.parametrize("alpha, verdict", [(0.05, "no verdict"), (0.2, None)])
def test_siblings(auditor, folder, seen, scores, alpha, verdict):
    judge = verdicts.Judge(folder, auditor, alpha)
    distinct = [key for key in scores if key != "a/2.jpg"]
    for key in distinct:
        line = verdicts.by_siblings(judge, seen, key)
        others = [scores[other] for other in distinct if other != key]
        p = (1 + sum(other >= scores[key] for other in others)) / (len(others) + 1)
        test = line["h0_image"]
        assert (test["p"], test["n"], test["hypothesis"]) == (p, 8, IMAGE)
        assert test["verdict"] == (verdict or ("rejected" if p <= 0.2 else "not rejected"))
        assert len(line["siblings"]) == 8 and set(line["left_out"]) == {"a/2.jpg", "c/2.png"}
        assert line["h0_person"]["verdict"] == "not tested"


def test_a_copy_that_was_published(judge, seen):
    line = verdicts.by_siblings(judge, seen, "a/2.jpg")
    assert line["left_out"]["a/0.png"] == "repeats a/2.jpg" and len(line["siblings"]) == 8
    with pytest.raises(InputError, match="c/2.png: not an image"):
        verdicts.by_siblings(judge, seen, "c/2.png")


def test_an_audit_that_fixed_no_gate(auditor, folder, extractor, photos):
    blind = dataclasses.replace(auditor, meta={**auditor.meta, "support": None})
    judge = verdicts.Judge(folder, blind, 0.05)
    assert len(verdicts.read(judge, extractor, ImageFolder(photos)).outside) == 10
    with pytest.raises(InputError, match="chosen: no audit stands behind this auditor"):
        verdicts.Judge(folder, dataclasses.replace(auditor, meta={}), 0.05)


def _command(**flags):
    words = [f"--{name}={value}" for name, value in flags.items()]
    return subprocess.run(
        [sys.executable, "-m", "experiments.verdict", *words], capture_output=True, text=True
    )


def test_the_command(photos, folder, tmp_path, lines):
    flags = {"audited": MODEL, "auditor": folder, "images": photos, "workdir": tmp_path / "out"}
    done = _command(**flags, batch=4)
    assert done.returncode == 0, done.stderr
    made = [json.loads(line) for line in (tmp_path / "out" / "verdicts.jsonl").open()]
    assert [x | {"salt": None} for x in made] == [x | {"salt": None} for x in lines[1].values()]
    last = done.stderr.splitlines()[-1]
    assert "person: 2 no verdict, " in last and "; image: 2 no verdict, " in last
    with pytest.raises(InputError, match="verdicts.jsonl: is there already"):
        verdicts.prepare(tmp_path / "out")


@pytest.mark.full
def test_photos_are_prepared_as_those_of_the_audit(auditor, extractor, photos, tmp_path):
    preparation = {**auditor.meta["preparation"], "quality": 30}
    meta = {**auditor.meta, "preparation": preparation}
    with pytest.warns(UserWarning, match="biometric"):
        auditors.save(dataclasses.replace(auditor, meta=meta), tmp_path / "chosen")
    found = _command(
        audited=MODEL, auditor=tmp_path / "chosen", images=photos, workdir=tmp_path / "out", batch=4
    )
    assert found.returncode == 0, found.stderr
    lines = map(json.loads, (tmp_path / "out" / "verdicts.jsonl").open())
    source = open_source(photos, **preparation)
    good = [row for row, key in enumerate(source.keys) if key != "c/2.png"]
    expected = auditor.score(extractor(np.stack([source[row]["image"] for row in good])))
    assert [line["score"] for line in lines if line["score"] is not None] == expected.tolist()


@pytest.mark.full
def test_a_command_that_asks_for_nothing(photos, folder, tmp_path):
    flags = {"audited": MODEL, "auditor": folder, "images": photos, "workdir": tmp_path / "out"}
    siblings = {**flags, "by": "siblings"}
    for asked, message in (
        (siblings, "--by=siblings needs --published=KEY"),
        ({**flags, "published": "a/0.png"}, "and nothing else takes it"),
        ({**siblings, "published": "e/0.png"}, f"{photos}: no image e/0.png in it"),
    ):
        refused = _command(**asked)
        assert refused.returncode == 1 and message in refused.stderr.splitlines()[-1]
        assert len(refused.stderr.splitlines()) == 1
