"""What is publicly known of face recognition networks: training database, preprocessing.

A file is identified by its SHA-256. The hashes of the InsightFace packs are those that
users of the packs publish independently of one another; the databases are those of
InsightFace's model zoo (github.com/deepinsight/insightface, model_zoo). Where the hash is
unknown, InsightFace's naming convention says what a file claims to be, and the entry says
that this is a claim.
"""

import dataclasses
import re
from pathlib import Path

from mint_jax.audited.model import Preprocessing

INSIGHTFACE = Preprocessing(127.5, 1 / 127.5, "rgb")
RAW = Preprocessing(0.0, 1.0, "rgb")


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is known of a network file.

    Attributes:
      name: of the network.
      training_database: as published, or what is not known about it.
      preprocessing: that the file's input expects; None: not known apart from the graph.
      source: who says so.
      identified_by: "sha256" or "file name".
    """

    name: str
    training_database: str
    preprocessing: Preprocessing | None
    source: str
    identified_by: str = "sha256"


_ZOO = "InsightFace model zoo"
BY_SHA256 = {
    "4ab1d6435d639628a6f3e5008dd4f929edf4c4124b1a7169e1048f9fef534cdf": Entry(
        "glintr100 (antelopev2, IResNet-100)", "Glint360K", INSIGHTFACE, _ZOO
    ),
    "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43": Entry(
        "w600k_r50 (buffalo_l, IResNet-50)", "WebFace600K", INSIGHTFACE, _ZOO
    ),
    "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f": Entry(
        "w600k_mbf (buffalo_s, MobileFaceNet)", "WebFace600K", INSIGHTFACE, _ZOO
    ),
    "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79": Entry(
        "SFace 2021dec",
        "not stated; its paper has CASIA-WebFace, VGGFace2 and MS-Celeb-1M",
        RAW,
        "OpenCV Zoo; Zhong et al., arXiv 2205.12010",
    ),
    "6027c528d9c6713a50ecd887d3a4eddeb9bb05b6e05fa76656c3946a5a756645": Entry(
        "MobileFaceNet y1", "not stated; probably MS1M", RAW, "its distributor"
    ),
    "17c66bb48e6eb3aa50acf5abe16b9c5b72c3982bc70f95b68f7cab21f5291315": Entry(
        "MobileFaceNet, ArcFace", "CASIA-WebFace", INSIGHTFACE, "its distributor"
    ),
}

_BY_NAME = {
    r"glint360k|glintr": "Glint360K",
    r"w600k|webface600k|wf600k": "WebFace600K",
    r"ms1mv3": "MS1MV3",
    r"ms1mv2": "MS1MV2",
}


def find(path: Path, sha256: str) -> Entry | None:
    """What is known of the file `path` with that hash; None where nothing is."""
    if sha256 in BY_SHA256:
        return BY_SHA256[sha256]
    for pattern, database in _BY_NAME.items():
        if re.search(pattern, path.stem, re.IGNORECASE):
            claim = f"{database}, as the file's name claims"
            return Entry(path.stem, claim, None, "InsightFace's naming", "file name")
    return None
