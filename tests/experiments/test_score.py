"""Scores of a folder of photos: the lines, bad files, interruptions, the command itself."""

import hashlib
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from data_pipelines.errors import InputError
from data_pipelines.sources import ImageFolder
from experiments import scoring
from mint_jax import aad, audited, auditors

MODEL = "iresnet18:random=0,width=0.125,embedding_size=16,input_size=32"


@pytest.fixture(scope="module")
def model():
    return audited.load(MODEL)


@pytest.fixture(scope="module")
def extractor(model):
    return aad.make_extractor(model, ("conv1",), "max", per_device_batch=4)


@pytest.fixture(scope="module")
def auditor(model, extractor):
    rng = np.random.default_rng(0)
    maxima = extractor(rng.integers(0, 256, (40, 112, 112, 3)).astype(np.uint8))["conv1"]
    held = (np.arange(40) % 5 == 0)[None]
    fitted = auditors.fit_population(
        auditors.Vanilla("conv1"),
        maxima,
        np.arange(40) % 2,
        ~held,
        held,
        [0],
        auditors.FitConfig(epochs=2),
    )
    return fitted.auditor(0, audited_sha256=model.sha256)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(11):
        image = rng.integers(0, 256, (112, 112, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i:02d}.png"), image)
    (folder / "03.png").write_bytes(b"broken")
    return folder


@pytest.fixture
def score(extractor, auditor, photos, tmp_path):
    """Scores the photos into a file; returns what was counted and the file's lines."""
    output = tmp_path / "out" / "scores.jsonl"

    def run():
        tally = scoring.score_source(extractor, auditor, ImageFolder(photos), output)
        return tally, [json.loads(line) for line in output.read_text().splitlines()]

    run.output = output
    return run


def test_one_line_an_image(score, extractor, auditor, photos):
    tally, lines = score()
    assert (tally.scored, tally.bad, tally.kept) == (10, 1, 0)
    assert [line["image"] for line in lines] == [f"{i:02d}.png" for i in range(11)]
    for line in lines:
        assert sorted(line) == ["error", "image", "score", "sha256"]
        data = (photos / line["image"]).read_bytes()
        assert line["sha256"] == hashlib.sha256(data).hexdigest()
    bad = lines.pop(3)
    assert bad["score"] is None and "03.png: not an image" in bad["error"]
    images = [cv2.imread(str(photos / line["image"]))[..., ::-1] for line in lines]
    expected = auditor.score(extractor(np.stack(images)))
    assert [line["error"] for line in lines] == [None] * 10
    assert [line["score"] for line in lines] == expected.tolist()


def test_a_second_run_scores_only_what_is_new(score, photos):
    _, lines = score()
    before = score.output.read_text()
    assert score()[0].kept == 11 and score.output.read_text() == before
    (photos / "05b.png").write_bytes((photos / "05.png").read_bytes())
    tally, after = score()
    assert (tally.scored, tally.kept) == (1, 11) and after[:11] == lines
    assert after[11] == after[5] | {"image": "05b.png"}


def test_an_interrupted_run_is_continued(score):
    _, lines = score()
    text = score.output.read_bytes()
    for kept, cut in ((6, 1), (6, 40), (0, 30), (10, 3)):
        whole = b"".join(text.splitlines(keepends=True)[:kept])
        score.output.write_bytes(whole + text[len(whole) :][:cut])
        tally, again = score()
        assert tally.kept == kept and again == lines


def test_another_file_is_not_overwritten(score):
    score.output.parent.mkdir()
    score.output.write_text('{"image": "a.png"}\nmy notes\n')
    with pytest.raises(InputError, match="scores.jsonl: line 2 is not the score of an image"):
        score()
    assert "my notes" in score.output.read_text()
    score.output.unlink()
    score.output.mkdir()
    with pytest.raises(InputError, match="scores.jsonl: Is a directory"):
        score()


def _command(**flags):
    words = [f"--{name}={value}" for name, value in flags.items()]
    return subprocess.run(
        [sys.executable, "-m", "experiments.score", *words], capture_output=True, text=True
    )


def test_the_command(photos, auditor, tmp_path):
    auditors.save(auditor, tmp_path / "auditor")
    output = tmp_path / "scores.jsonl"
    flags = {"auditor": tmp_path / "auditor", "images": photos, "output": output}
    done = _command(audited=MODEL, **flags)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].endswith("10 images scored, 1 bad ones skipped")
    assert len(output.read_text().splitlines()) == 11

    refused = _command(audited=MODEL.replace("=0,", "=1,"), **flags)
    assert refused.returncode == 1
    assert "trained on the audited model" in refused.stderr.splitlines()[-1]
    absent = _command(audited=MODEL, **flags | {"images": tmp_path / "absent"})
    assert absent.returncode == 1
    assert "absent: not a source of images" in absent.stderr.splitlines()[-1]
    for failed in (refused, absent):
        assert "Traceback" not in failed.stderr
