"""Verification: what was not changed passes, and every change is caught where it should be."""

import numpy as np
import pytest
from evidence import bundles

from mint_jax.evidence import bundle, conformal, operating
from mint_jax.evidence.bundle.document import ABOUT

CLAIMS = [
    "thresholds", "operating_points", "controls", "gate", "headline", "likelihood", "people",
    "h0_image",
]  # fmt: skip


def _failed(path, **options):
    return {check.name for check in bundle.verify(path, **options) if check.passed is False}


def _rewrite(path, document):
    document["digest"] = bundle.digest(document)
    bundle.write(path.parent, document)


def test_every_claim_of_an_examination_follows_from_the_scores(made):
    checks = bundle.verify(made[1], audited_sha256=bundles.SHA256)
    assert [check.name for check in checks] == [
        "digest", *CLAIMS, "parts", "images", "auditor", "manifest", "audited network", "code",
    ]  # fmt: skip
    assert all(check.passed for check in checks)
    assert made[0]["claims"]["gate"]["passed"]


def test_threshold_and_rates_by_hand(made):
    """The k-th largest of 1,000 at 1% is the tenth; rates are counts above it."""
    data, claims = made[0]["data"]["parts"], made[0]["claims"]
    bar = sorted(data["non_members"]["threshold"]["scores"])[-10]
    assert claims["thresholds"] == {
        "0.1": pytest.approx(sorted(data["non_members"]["threshold"]["scores"])[-100]),
        "0.01": pytest.approx(bar),
        "0.001": None,
        "0.0001": None,
    }
    found = np.mean(np.array(data["members"]["test"]["scores"]) > bar)
    assert claims["operating_points"]["0.01"]["tpr"] == found


def test_elsewhere_the_claims_still_follow_and_the_rest_is_noted(made, tmp_path):
    path = bundle.write(tmp_path / "elsewhere" / "deep", made[0])
    checks = {check.name: check.passed for check in bundle.verify(path)}
    noted = {name for name, passed in checks.items() if passed is None}
    assert noted == {"images", "auditor", "manifest", "audited network"}
    assert False not in checks.values()


def _score(document):
    """A non-member's score is raised over the threshold."""
    scores = document["data"]["parts"]["non_members"]["test"]["scores"]
    scores[scores.index(min(scores))] = 1.0


def _threshold_score(document):
    scores = document["data"]["parts"]["non_members"]["threshold"]["scores"]
    for place in np.argsort(scores)[-10:]:
        scores[place] = 0.0


def _threshold(document):
    document["claims"]["thresholds"]["0.01"] -= 0.01


def _point(document):
    document["claims"]["operating_points"]["0.01"]["fpr_upper95"] -= 0.001


def _missing_point(document):
    document["claims"]["operating_points"]["0.001"] = document["claims"]["operating_points"]["0.01"]


def _label(document):
    """The most suspicious non-member becomes a member."""
    parts = document["data"]["parts"]
    place = int(np.argmax(parts["non_members"]["test"]["scores"]))
    for column in ("scores", "keys", "identities"):
        taken = parts["non_members"]["test"][column].pop(place)
        parts["members"]["test"][column].append(taken)


def _control(document):
    document["claims"]["controls"][0]["advantage_lower95"] += 0.01


def _fewer_calls(document):
    """One replicate of the random networks finds nobody."""
    called = document["data"]["controls"][1]["called"]
    assert int(called["members"][0], 16)
    called["members"][0] = "0" * len(called["members"][0])


def _fewer_replicates(document):
    for rows in document["data"]["controls"][1]["called"].values():
        rows.pop()


def _shorter_calls(document):
    called = document["data"]["controls"][0]["called"]
    called["members"] = [row[:-2] for row in called["members"]]


def _control_interval(document):
    document["claims"]["controls"][1]["tpr_ci95"][1] -= 0.001


def _control_n(document):
    document["claims"]["controls"][1]["n_members"] *= 2


def _gate(document):
    document["claims"]["gate"]["smallest_advantage"] += 0.01


def _headline(document):
    document["claims"]["headline"] = document["claims"]["headline"].replace("finds", "found")


def _power(document):
    document["claims"]["people"]["power"]["0.05"]["rate"] = 0.5


def _power_given_calibration(document):
    document["claims"]["people"]["conditional"]["0.05"]["power"]["rate"] = 0.5


def _other_k(document):
    document["claims"]["people"]["k"] = 1


def _no_people(document):
    document["claims"]["people"] = None


def _image_power(document):
    document["claims"]["h0_image"]["false_alarms"]["0.05"]["rate_ci95"][1] = 0.01


def _likelihood(document):
    document["claims"]["likelihood"]["cllr"] *= 0.9


def _same_person(document):
    """A person of the threshold part is tested."""
    parts = document["data"]["parts"]["non_members"]
    parts["test"]["identities"][0] = parts["threshold"]["identities"][0]


def _other_image(document):
    document["data"]["parts"]["members"]["test"]["keys"][0] = "0" * 32


def _no_claim(document):
    del document["claims"]["gate"]


def _words(document):
    document["data"]["parts"]["members"]["test"]["scores"] = ["high"]


@pytest.mark.parametrize(
    ("change", "caught"),
    [
        (_score, {"operating_points"}),
        (_threshold_score, {"thresholds", "operating_points"}),
        (_threshold, {"thresholds", "parts"}),
        (_point, {"operating_points"}),
        (_missing_point, {"operating_points"}),
        (_label, {"operating_points", "images"}),
        (_control, {"controls"}),
        (_fewer_calls, {"controls"}),
        (_fewer_replicates, {"controls"}),
        (_shorter_calls, {"controls"}),
        (_control_interval, {"controls"}),
        (_control_n, {"controls"}),
        (_gate, {"gate"}),
        (_headline, {"headline"}),
        (_power, {"people"}),
        (_power_given_calibration, {"people"}),
        (_other_k, {"people"}),
        (_no_people, {"people"}),
        (_image_power, {"h0_image"}),
        (_likelihood, {"likelihood"}),
        (_same_person, {"parts"}),
        (_other_image, {"images"}),
        (_no_claim, {"gate"}),
        (_words, {"operating_points", "controls", "likelihood"}),
    ],
)
def test_what_was_changed_is_caught(made, change, caught):
    """Whoever changes a bundle can make a digest as well: it must not be the digest alone."""
    document, path = made
    change(document)
    _rewrite(path, document)
    found = _failed(path)
    assert found >= caught and "digest" not in found
    of_one_claim = (_point, _control, _control_interval, _control_n, _gate, _headline, _power)
    of_one_claim += (_power_given_calibration, _other_k, _no_people, _image_power, _likelihood)
    if change in of_one_claim:
        assert found == caught


def test_a_change_that_no_claim_rests_on_breaks_the_digest(made):
    document, path = made
    document["configuration"]["sizes"] = [61]
    bundle.write(path.parent, document)
    assert _failed(path) == {"digest"}


def test_files_that_are_others_now(made):
    document, path = made
    folder = path.parents[1]
    (folder / "auditors" / "vanilla" / "arrays").write_bytes(b"other weights")
    assert _failed(path) == {"auditor"}
    (folder / "auditors" / "vanilla" / "arrays").unlink()
    assert _failed(path) == {"auditor"}
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text() + " ")
    assert _failed(path) == {"auditor", "manifest", "images"}
    document["audited"]["sha256"] = "cd" * 32
    _rewrite(path, document)
    assert "audited network" in _failed(path)


def test_another_network(made):
    assert _failed(made[1], audited_sha256="cd" * 32) == {"audited network"}


def test_other_code_is_noted_and_is_no_failure(made):
    document, path = made
    document["code"]["sha256"] = "0" * 64
    _rewrite(path, document)
    (code,) = (check for check in bundle.verify(path) if check.name == "code")
    assert code.passed is None and "differ" in code.text


def test_an_audit_that_cannot_tell_claims_so(tmp_path):
    path = bundle.write(tmp_path / "evidence", bundles.make(tmp_path, matched=False))
    assert bundle.read(path)["claims"]["headline"] == operating.CANNOT
    assert not _failed(path)
    document = bundle.read(path)
    document["claims"] |= {"matched": True}
    _rewrite(path, document)
    assert _failed(path) == {"gate", "headline", "images"}


def _verdict(document, score):
    rng = np.random.default_rng(0)
    origin = {key: document[key] for key in ABOUT}
    people, images = {"same": rng.random(999), "other": rng.random(499)}, {"same": rng.random(499)}
    return bundle.verdict(
        score, people, images, 0.05, None, origin, image="ef" * 32, salt=b"a secret"
    )


@pytest.mark.parametrize(("score", "verdict"), [(2.0, "rejected"), (0.5, "not rejected")])
def test_a_verdict(made, score, verdict):
    path = bundle.write(made[1].parent, _verdict(made[0], score))
    claims = bundle.read(path)["claims"]
    assert claims["h0_person"]["verdict"] == verdict
    assert not _failed(path)
    assert "ef" * 32 not in path.read_text()


def _p_value(document):
    document["claims"]["h0_person"]["p"] /= 2


def _call(document):
    document["claims"]["h0_image"]["verdict"] = "not rejected"


def _calibration(document):
    document["data"]["people"]["other"] = [3.0] * 499


@pytest.mark.parametrize(
    ("change", "caught"),
    [(_p_value, {"h0_person"}), (_call, {"h0_image"}), (_calibration, {"h0_person", "h0_image"})],
)
def test_a_changed_verdict_is_caught(made, change, caught):
    document = _verdict(made[0], 2.0)
    assert document["claims"]["h0_person"]["p"] == conformal.resolution(499)
    change(document)
    _rewrite(made[1], document)
    assert _failed(made[1]) == caught
