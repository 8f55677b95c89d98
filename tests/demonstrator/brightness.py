"""A small examiner that decodes real files and scores by brightness."""

import threading

import cv2
import numpy as np

from mint_jax.demonstrator.examiner import Controls, Face, Finding, Model, PhotoError

SIDE = 112


def picture(brightness: int = 128, faces: int = 1, kind: str = ".png") -> bytes:
    """A photo of squares side by side, each of which is a face to `Brightness`."""
    image = np.full((SIDE, max(1, SIDE * faces), 3), brightness, np.uint8)
    return cv2.imencode(kind, image)[1].tobytes()


def group(*brightness: int) -> bytes:
    """A photo of several faces, of which the first is the largest."""
    images = [np.full((SIDE, SIDE, 3), own, np.uint8) for own in brightness]
    return cv2.imencode(".png", np.hstack(images))[1].tobytes()


def models() -> list[Model]:
    draws = np.random.default_rng(0)
    members, others = (np.sort(draws.beta(a, 5 - a, 500)) for a in (3.0, 2.0))
    about = dict(layers=("outcome",), training="Known <halves> of a database.", fpr=0.01)
    about |= dict(members=members, non_members=others)
    passed, failed = Controls(4.3, "pixels"), Controls(-0.5, "pixels", ("It <fails>.",))
    one = dict(matched=True, found=0.21, headline="Yes.", controls=passed)
    two = dict(matched=False, found=None, headline="No.", controls=failed)
    return [
        Model("net & one", "a" * 64, "b" * 64, **one, **about),
        Model("net two", "c" * 64, "d" * 64, **two, **about),
    ]


class Brightness:
    """Deterministic: the brighter a face, the likelier used; the second model cannot tell."""

    def __init__(self):
        self.models = models()
        self.batches, self.threads = [], set()
        self.open = threading.Event()
        self.open.set()

    def find(self, data: bytes) -> list[Face]:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        if image is None:
            raise PhotoError("not_an_image")
        if image.shape[0] < SIDE:
            raise PhotoError("face_too_small", least=SIDE)
        cuts = range(0, image.shape[1] - SIDE + 1, SIDE)
        if not cuts:
            raise PhotoError("no_face")
        return [
            Face((x, 0, x + SIDE, SIDE), image[:SIDE, x : x + SIDE, ::-1], (0.0, 0.0)) for x in cuts
        ]

    def judge(self, faces):
        self.threads.add(threading.get_ident())
        self.open.wait(20)
        self.batches.append(len(faces))
        return [self._findings(face.image.mean() / 255) for face in faces]

    def combine(self, faces):
        self.threads.add(threading.get_ident())
        different = {face.image.tobytes(): face.image.mean() / 255 for face in faces}
        return self._findings(float(np.mean(list(different.values()))), len(different))

    def _findings(self, score: float, photos: int = 1) -> list[Finding]:
        first, second = (model.name for model in self.models)
        outside = Finding(second, "cannot_tell", "out_of_support", {"why": "It is <dark>."})
        if score > 0.9:
            used = Finding(first, "likely_used", "strong", {}, score, 0.0021, 34.0, (12.0, 80.0))
            return [used, outside]
        said = "no_evidence", "weak_p", {"photos": photos, "found": 0.21}
        figures = score, float(1 - score), float("inf"), (0.5, 2.0)
        return [Finding(first, *said, *figures), outside]


def photos(*files: bytes, name: str = "photo.png") -> list:
    """The multipart field of files."""
    return [("photos", (name, data, "image/png")) for data in files]
