"""From uploaded photos to findings: faces are found in a few threads, and judged by one."""

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

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
      faces: all that were found, the largest first; none where there is an error.
      findings: {place in `faces`: those of all models}, of the faces that were examined.
      error: why it cannot be examined.
    """

    name: str
    sha256: str
    faces: Sequence[Face] = ()
    findings: Mapping[int, Sequence[Finding]] = field(default_factory=dict)
    error: PhotoError | None = None


@dataclass(frozen=True)
class Examination:
    """What was found of the photos of one request.

    Attributes:
      photos: in the order of the request.
      together: of all models about the first examined face of every photo, where the photos are
        said to show one person; else empty.
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

    async def find(self, uploads: Sequence[Upload]) -> list[Photo]:
        """Finds the faces of photos.

        Raises:
          Refused: no photos, or more faces than a request may have.
        """
        if not uploads:
            raise Refused(422, "no_photo")
        loop = asyncio.get_running_loop()
        reads = (loop.run_in_executor(self._pool, self._read, upload) for upload in uploads)
        photos = await asyncio.gather(*reads)
        if sum(len(photo.faces) for photo in photos) > self._limits.faces:
            raise Refused(422, "too_many_faces", limit=self._limits.faces)
        return photos

    async def judge(
        self, photos: Sequence[Photo], chosen: Sequence[Sequence[int]], one_person: bool = False
    ) -> Examination:
        """What every model says of the chosen faces, which are places in `faces` of each photo."""
        faces = [photo.faces[i] for photo, places in zip(photos, chosen) for i in places]
        found = iter(await self._worker.judge(faces) if faces else [])
        photos = [
            replace(photo, findings={i: next(found) for i in places})
            for photo, places in zip(photos, chosen)
        ]
        shown = [photo.faces[places[0]] for photo, places in zip(photos, chosen) if places]
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
