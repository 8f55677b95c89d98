"""The examiner of the platform: stand-in auditors of noise, the rule of verdicts, real faces."""

import dataclasses
import functools
import inspect
import re
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import cv2
import jax
import numpy as np
import pytest
from scipy.special import expit, logit

from data_pipelines import images, uploads
from data_pipelines.alignment import UNPLACED
from experiments import gallery, lab_models, serving, weighing
from experiments.verdicts import Judge
from mint_jax import aad, audited, auditors
from mint_jax.demonstrator import english, spanish
from mint_jax.demonstrator.examiner import (
    CANNOT_TELL,
    LIKELY_USED,
    NO_EVIDENCE,
    Controls,
    Face,
    PhotoError,
)
from mint_jax.errors import InputError
from mint_jax.evidence import conformal, examination, likelihood, operating, persons, support

SHAPE = "width=0.125,embedding_size=16,input_size=32"
SPECS = [f"iresnet18:random={seed},{SHAPE}" for seed in range(3)]
PEOPLE = 1200  # of each calibration population, two photos each: enough for .01 of two models
POINT = {"tpr": 0.21, "fpr": 0.01}
UNMATCHED = operating.gate(None, [], matched=False, fpr=0.01)["reasons"][0]


@pytest.fixture(scope="module", autouse=True)
def resamples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weighing, "_RESAMPLES", 40)
        yield


@pytest.fixture(scope="module", autouse=True)
def small():
    """Networks that are compiled at once: means of a colour that is their own."""
    load = audited.load

    def forward(variables, x, layers):
        colour = x @ variables["params"]["stem_conv"]["kernel"][0, 0, :, :1]
        cells = colour.reshape(len(x), 4, x.shape[1] // 4, 4, x.shape[2] // 4).mean((2, 4))
        return {layer: cells.reshape(len(x), -1) for layer in layers}

    @functools.cache
    def loaded(spec):
        found = load(spec)
        return dataclasses.replace(found, forward=forward) if spec in SPECS else found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audited, "load", loaded)
        yield


@pytest.fixture(scope="module")
def photos():
    """(12, 112, 112, 3) blurred noise."""
    coarse = np.random.default_rng(1).integers(0, 256, (12, 14, 14, 3), np.uint8)
    return np.stack([cv2.resize(x, (112, 112), interpolation=cv2.INTER_CUBIC) for x in coarse])


@pytest.fixture(scope="module")
def networks():
    return [audited.load(spec) for spec in SPECS]


@functools.cache
def _noise(width):
    """A neighbour auditor of noise, for embeddings of `width` numbers."""
    rows, truth = np.random.default_rng(0).standard_normal((80, width)), np.arange(40) % 2
    config = auditors.NeighbourConfig(top=(3,))
    return auditors.fit_neighbours(
        rows[:40], truth, rows[40:60], rows[60:], np.ones((1, 40), bool), config
    )


def _fitted(model, width=16):
    return _noise(width).auditor(0, audited_sha256=model.sha256)


def _scored(model, auditor, photos):
    return auditor.score(aad.make_extractor(model, ("outcome",), "max", 8)(photos))


def _exported(auditor, scores):
    """As an audit exports it: of the photos (n,) two look used, and the others do not."""
    rng, ordered = np.random.default_rng(2), np.sort(logit(scores))
    spread = (ordered[-2] - ordered[0]) / 12
    middles = {"members": ordered[-1], "unused": ordered[1], "non_members": ordered[0] - spread}
    calibration = {}
    for name, middle in middles.items():
        kind = {"members": "", "unused": "image_"}.get(name, "person_")
        own = rng.normal(middle, spread, PEOPLE) + rng.normal(0, spread / 9, (2, PEOPLE))
        calibration[kind + name] = expit(own.T.ravel()).astype(np.float32)
        calibration[f"people_{name}"] = np.repeat(np.arange(PEOPLE), 2)
    calibration["non_members"] = calibration["person_non_members"]
    gate = support.Gate({"sharpness": (-10.0, 5.0), "compression": (-9.0, 9.0)}, 0.99, 1000)
    evidence = {
        "gate": {"passed": True, "reasons": [], "smallest_advantage": 0.043, "against": "pixels"},
        "headline": "Found.",
        "target_fpr": 0.01,
        "operating_points": {"0.01": POINT},
    }
    preparation = {"align": "auto", "antialias": True, "detector": None, "quality": None}
    meta = {"evidence": evidence, "support": gate.to_json(), "preparation": preparation}
    return dataclasses.replace(auditor, calibration=calibration, meta=meta)


@pytest.fixture(scope="module")
def scores(networks, photos):
    """{model: scores (12,)} of the photos."""
    return {m.name: _scored(m, _fitted(m), photos) for m in networks}


@pytest.fixture(scope="module")
def exported(networks, scores):
    return [_exported(_fitted(model), scores[model.name]) for model in networks]


def _with(auditor, gate=None, **meta):
    """The same one out of another audit."""
    evidence = dict(auditor.meta["evidence"])
    if gate is not None:
        evidence |= {"gate": gate, "headline": "Membership cannot be determined."}
    return dataclasses.replace(auditor, meta={**auditor.meta, "evidence": evidence, **meta})


def _save(folder, *exported):
    for i, auditor in enumerate(exported):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            auditors.save(auditor, folder / str(i))
    return [str(folder / str(i)) for i in range(len(exported))]


@pytest.fixture(scope="module")
def folders(exported, tmp_path_factory):
    """Of two audits that may accuse, and of one that had no matched non-members."""
    gate = {"passed": False, "reasons": [UNMATCHED], "smallest_advantage": None, "against": None}
    return _save(tmp_path_factory.mktemp("audits"), *exported[:2], _with(exported[2], gate))


@pytest.fixture(scope="module")
def examiner(folders):
    return serving.open_examiner(SPECS, folders[::-1])


def _png(image):
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def _found(examiner, photos):
    return [face for photo in photos for face in examiner.find(_png(photo))]


def test_cards(examiner, networks, exported, folders):
    for card, model, auditor in zip(examiner.models, networks, exported):
        assert (card.name, card.sha256, card.layers) == (model.name, model.sha256, model.layers)
        assert (card.found, card.fpr) == (0.21, 0.01) and len(card.auditor) == 64
        assert (np.sort(auditor.calibration["members"]) == card.members).all()
        assert (np.diff(card.non_members) >= 0).all() and card.training == "none: random weights"
    first, second, third = examiner.models
    assert first.matched and second.matched and not third.matched
    assert first.controls == Controls(4.3, "pixels")
    assert third.controls.reasons == (UNMATCHED,)
    assert third.headline.endswith("cannot be determined.")
    assert len({first.auditor, second.auditor, third.auditor}) == 3


def test_faces_that_came_aligned(examiner, photos):
    (face,) = examiner.find(_png(photos[0]))
    assert face.box == (0, 0, 112, 112) and np.isnan(face.placement).all()
    assert (face.image == photos[0]).all()


def test_the_rule_of_verdicts(examiner, exported, scores, photos):
    found = examiner.judge(_found(examiner, photos))
    assert len(found) == len(photos)
    for row, findings in enumerate(found):
        able, p_values = findings[:2], {}
        for finding, auditor in zip(able, exported):
            assert finding.score == scores[finding.model][row]
            people, unused = auditor.calibration["person_non_members"], "image_unused"
            each = operating.one_each(auditor.calibration["people_unused"])
            nulls = {"h0_person": people[each], "h0_image": auditor.calibration[unused][each]}
            given = [
                conformal.conditional_p_values(null, np.array([finding.score]))[0]
                for null in nulls.values()
            ]
            p_values[finding.model] = max(given)
            members = auditor.calibration["members"][each]
            ratios = [likelihood.fit(members, null) for null in nulls.values()]
            expected = min(ratio.log10([finding.score])[0] for ratio in ratios)
            assert np.log10(finding.likelihood_ratio) == pytest.approx(expected)
            low, high = finding.likelihood_ratio_bounds
            assert low <= finding.likelihood_ratio <= high
        rejected = persons.holm(p_values, 0.01)
        for finding in able:
            strong = finding.likelihood_ratio_bounds[0] >= 10
            assert (finding.p_value <= 0.01) == rejected[finding.model]
            used = rejected[finding.model] and strong
            assert finding.verdict == (LIKELY_USED if used else NO_EVIDENCE)
            reasons = {True: "strong", False: "weak_ratio"}
            assert finding.reason == (reasons[strong] if rejected[finding.model] else "weak_p")
    said = {finding.verdict for findings in found for finding in findings}
    assert said == {LIKELY_USED, NO_EVIDENCE, CANNOT_TELL}


def test_a_ratio_that_is_not_shown_to_be_ten_is_no_evidence(examiner):
    reading = serving._Reading(0.9, 1, None)

    def verdict(p, low):
        return serving._verdict("m", reading, serving._Weight(p, (low, 50.0, 80.0), 0.3))

    found = verdict(0.001, 9.99)
    assert (found.verdict, found.reason) == (NO_EVIDENCE, "weak_ratio")
    assert found.details == {"photos": 1, "found": 0.3}
    assert verdict(0.01, 10.0).verdict == LIKELY_USED
    assert verdict(0.0101, 10.0).reason == "weak_p"


def test_models_without_matched_non_members_never_tell(examiner, photos, scores):
    for row, findings in enumerate(examiner.judge(_found(examiner, photos))):
        last = findings[2]
        assert (last.verdict, last.reason) == (CANNOT_TELL, "no_matched_non_members")
        assert last.score == scores[last.model][row]
        assert last.p_value is last.likelihood_ratio is last.likelihood_ratio_bounds is None


def test_a_face_out_of_support_is_not_judged(examiner, photos):
    flat = Face((0, 0, 112, 112), np.full_like(photos[0], 128), tuple(UNPLACED))
    cut_out = Face((9, 9, 99, 99), photos[0], (1.0, 40.0))
    for face, why in ((flat, "sharpness"), (cut_out, "came aligned")):
        mixed, findings = examiner.judge([*_found(examiner, photos[:1]), face])
        assert mixed == examiner.judge(_found(examiner, photos[:1]))[0]
        for finding in findings:
            assert (finding.verdict, finding.reason) == (CANNOT_TELL, "out_of_support")
            assert why in finding.details["why"] and finding.score is None


def test_findings_do_not_depend_on_the_batch(examiner, photos):
    faces = _found(examiner, photos[:4])
    for face, together in zip(faces, examiner.judge(faces)):
        for one, other in zip(*examiner.judge([face]), together):
            assert one.verdict == other.verdict
            assert one.score == pytest.approx(other.score, abs=1e-5)


def test_several_photos_of_one_person(examiner, photos, scores, exported):
    order = np.argsort(scores[examiner.models[0].name])
    for rows in (order[-2:], order[:2]):
        finding = examiner.combine(_found(examiner, photos[rows]))[0]
        own = scores[finding.model][rows]
        assert finding.score == pytest.approx(expit(logit(own.astype(float)).mean()))
        assert finding.details["photos"] == 2
        test = persons.rank_person(
            own,
            exported[0].calibration["person_non_members"],
            exported[0].calibration["people_non_members"],
        )
        assert test.people == PEOPLE and finding.p_value >= test.p
    assert finding.verdict == NO_EVIDENCE and finding.likelihood_ratio < 1


def test_copies_and_crops_count_once(examiner, photos):
    (face,) = _found(examiner, photos[:1])
    copy = examiner.find(images.encode_jpeg(photos[0], 90))
    mirrored = _found(examiner, photos[:1, :, ::-1])
    for once, alone in zip(examiner.combine([face, face, face]), *examiner.judge([face])):
        assert (once.verdict, once.reason) == (alone.verdict, alone.reason)
        assert once.score == pytest.approx(alone.score) and once.p_value == alone.p_value
    together = examiner.combine([face, *copy, *mirrored])
    assert all(finding.details["photos"] == 1 for finding in together[:2])


def test_more_photos_than_people_have(examiner, photos):
    for finding in examiner.combine(_found(examiner, photos[:3]))[:2]:
        assert (finding.verdict, finding.reason) == (CANNOT_TELL, "too_few_people")
        assert finding.details["photos"] == 3 and finding.p_value is None
        assert 0 < finding.score < 1
    flat = Face((0, 0, 112, 112), np.full_like(photos[0], 128), tuple(UNPLACED))
    assert {x.reason for x in examiner.combine([flat, flat])} == {"out_of_support"}
    assert all(
        x.details["photos"] == 1
        for x in examiner.combine([flat, *_found(examiner, photos[:1])])[:2]
    )


def _fewer(auditor, **people):
    """The same one with the first people of some populations."""
    found = dict(auditor.calibration)
    for name, count in people.items():
        own = {name, f"image_{name}", f"person_{name}", f"people_{name}"} & found.keys()
        found |= {key: found[key][: 2 * count] for key in own}
    return dataclasses.replace(auditor, calibration=found)


def test_nothing_is_compiled_for_a_visitor(networks, exported, photos, tmp_path, caplog):
    audit = serving.Audit(networks[0], Judge(tmp_path, exported[0], serving.ALPHA), "m", 8)

    def compiled(act):
        caplog.clear()
        with jax.log_compiles():
            act()
        return any("Compiling" in message for message in caplog.messages)

    assert compiled(lambda: audit.prepare(1))
    for count in (1, 2, 9 * jax.local_device_count()):
        faces = [Face((0, 0, 112, 112), photos[0], tuple(UNPLACED))] * count
        assert not compiled(lambda: audit.read(faces))  # noqa: B023


@pytest.mark.parametrize(
    "models, people, enough",
    [
        (1, {"unused": 598}, True),  # suffice for one model at .01
        (2, {"unused": 598}, False),  # and not for two
        (1, {"unused": 597}, False),
        (1, {"members": 100}, True),
        (1, {"members": 99}, False),
    ],
)
def test_too_few_people_cannot_accuse(networks, exported, photos, tmp_path, models, people, enough):
    judge = Judge(tmp_path, _fewer(exported[0], **people), serving.ALPHA)
    audit = serving.Audit(networks[0], judge, "m", 8)
    audit.prepare(models)
    (reading,) = audit.read([Face((0, 0, 112, 112), photos[0], tuple(UNPLACED))])
    assert 0 < reading.score < 1
    assert (reading.why and reading.why[0]) == (None if enough else "too_few_people")


def test_why_an_audit_never_tells(networks, exported, tmp_path):
    beaten = {
        "passed": False,
        "reasons": ["Not more than pixels."],
        "smallest_advantage": -0.01,
        "against": "pixels",
    }
    unused = {k: v for k, v in exported[0].calibration.items() if "unused" not in k}
    for auditor, why in (
        (exported[0], None),
        (_with(exported[0], beaten), "audit_cannot_tell"),
        (_with(exported[0], support=None), "no_gate"),
    ):
        audit = serving.Audit(networks[0], Judge(tmp_path, auditor, 0.01), "m", 8)
        assert (audit.why and audit.why[0]) == why
    judge = Judge(tmp_path, dataclasses.replace(exported[0], calibration=unused), 0.01)
    audit = serving.Audit(networks[0], judge, "m", 8)
    audit.prepare(1)
    assert audit._cannot(1)[0] == "too_few_people" and audit._cannot(2) is None


def test_what_does_not_belong_together(folders, exported, tmp_path):
    other = {**exported[1].meta["preparation"], "align": "always"}
    (apart,) = _save(tmp_path, _with(exported[1], preparation=other))
    for specs, given, message in (
        (SPECS[:1], folders[1:2], f"{folders[1]}: its audited model, .* is none of iresnet18:ran"),
        (SPECS[:2], folders[:1], "iresnet18:random=1.*: no auditor of it was given"),
        (SPECS[:1], folders[:1] * 2, f"{folders[0]}: a second auditor of iresnet18:random=0"),
        (SPECS[:2], [folders[0], apart], "0: its audit prepared photos otherwise"),
        (SPECS[:1], [str(tmp_path / "none")], "none: no exported auditor"),
    ):
        with pytest.raises(InputError, match=message) as refused:
            serving.open_examiner(specs, given)
        assert "\n" not in str(refused.value)


def test_bad_files_have_codes(examiner):
    for data, code in (
        (b"", "not_an_image"),
        (b"GIF89a", "unsupported"),
        (b"\xff\xd8\xff", "damaged"),
    ):
        with pytest.raises(PhotoError) as refused:
            examiner.find(data)
        assert refused.value.code == code


def test_threads_may_find_side_by_side(examiner, photos):
    barrier = threading.Barrier(4)

    def find(photo):
        barrier.wait()
        return examiner.find(_png(photo))[0].image

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(find, photos[:4]))
    assert (np.stack(found) == photos[:4]).all()


def test_examples_are_of_people_whom_the_audit_tested():
    truth = lab_models.ground_truth()
    members = set(truth.manifest["split"]["members"])
    found = gallery.examples()
    people = [int(example.name) for example in found]
    assert [example.member for example in found] == [person in members for person in people]
    assert sum(example.member for example in found) == len(found) / 2 == len(set(people)) / 2
    for example in found:
        shapes = [images.decode(photo).shape for photo in example.photos]
        assert len(set(example.photos)) == 3 and set(shapes) == {(112, 112, 3)}


def test_real_faces_are_out_of_the_support_of_the_embedded_model(test_data, exported, tmp_path):
    """Their alignment tells: the embedded model's own faces come aligned."""
    model = audited.load("embedded")
    of_noise = {"calibration": exported[0].calibration, "meta": exported[0].meta}
    auditor = dataclasses.replace(_fitted(model, 128), **of_noise)
    examiner = serving.open_examiner(["embedded"], _save(tmp_path, auditor))
    faces = [
        face
        for path in sorted((test_data / "faces" / "lfw10").glob("*/*.jpg"))[:4]
        for face in examiner.find(path.read_bytes())
    ]
    assert len(faces) >= 4
    for (finding,) in examiner.judge(faces):
        assert (finding.verdict, finding.reason) == (CANNOT_TELL, "out_of_support")
    photos = [example.photos[0] for example in gallery.examples()]
    drawn = [face for photo in photos for face in examiner.find(photo)]
    assert all(f.reason != "out_of_support" for (f,) in examiner.judge(drawn))


def test_every_refusal_of_a_photo_has_words_in_both_languages():
    codes = set(re.findall(r'UploadError\("(\w+)"', inspect.getsource(uploads)))
    assert len(codes) == 8
    assert codes <= english.ERRORS.keys() & spanish.ERRORS.keys()


def test_every_control_of_an_audit_has_words_in_both_languages():
    assert examination._TITLES.keys() == english.CONTROLS.keys() == spanish.CONTROLS.keys()
