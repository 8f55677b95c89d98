"""From uploaded photos to findings: faces are found in a few threads, and judged by one."""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mint_jax.demonstrator.batching import Worker
from mint_jax.demonstrator.examiner import Examiner, Face, Finding, PhotoError
from mint_jax.demonstrator.limits import Limits
from mint_jax.demonstrator.refusals import Refused
from mint_jax.demonstrator.uploads import Upload

_LOG = logging.getLogger("mint_jax.demonstrator")


@dataclass(frozen=True)
class Photo:
    """What was found of one photo.

    Attributes:
      name, sha256: of the file.
      faces: the largest first; none where there is an error.
      findings: of each face, those of all models.
      error: why it cannot be examined.
    """

    name: str
    sha256: str
    faces: Sequence[Face] = ()
    findings: Sequence[Sequence[Finding]] = ()
    error: PhotoError | None = None


@dataclass(frozen=True)
class Examination:
    """What was found of the photos of one request.

    Attributes:
      photos: in the order of the request.
      together: of all models about the largest faces of all photos, where they are said to show
        one person; else empty.
    """

    photos: Sequence[Photo]
    together: Sequence[Finding] = ()


class Runner:
    """Runs an examiner for many requests at one time."""

    def __init__(self, examiner: Examiner, worker: Worker, limits: Limits):
        self._examiner, self._worker, self._limits = examiner, worker, limits
        self._pool = ThreadPoolExecutor(limits.finders, "faces")

    def close(self) -> None:
        """Returns when no photo is being read."""
        self._pool.shutdown()

    async def run(self, uploads: Sequence[Upload], one_person: bool = False) -> Examination:
        """Finds the faces of photos and what every model says of them.

        Raises:
          Refused: more faces than a request may have.
        """
        loop = asyncio.get_running_loop()
        reads = (loop.run_in_executor(self._pool, self._read, upload) for upload in uploads)
        photos = await asyncio.gather(*reads)
        faces = [face for photo in photos for face in photo.faces]
        if len(faces) > self._limits.faces:
            raise Refused(422, "too_many_faces", limit=self._limits.faces)
        found = iter(await self._worker.judge(faces) if faces else [])
        photos = [
            Photo(p.name, p.sha256, p.faces, [next(found) for _ in p.faces], p.error)
            for p in photos
        ]
        shown = [photo.faces[0] for photo in photos if photo.faces]
        several = one_person and len(shown) > 1
        return Examination(photos, await self._worker.combine(shown) if several else ())

    def _read(self, upload: Upload) -> Photo:
        sha256 = hashlib.sha256(upload.data).hexdigest()
        try:
            return Photo(upload.name, sha256, self._examiner.find(upload.data))
        except PhotoError as error:
            return Photo(upload.name, sha256, error=error)
        except Exception as error:
            # a decoder that fails in a way of its own on a hostile file is no failure of ours
            _LOG.warning('{"event": "unreadable", "error": "%s"}', type(error).__name__)
            return Photo(upload.name, sha256, error=PhotoError("unreadable"))
