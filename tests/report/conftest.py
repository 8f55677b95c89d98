"""Results of an audit made up from simulated scores, of the form of `tables.json`."""

import copy

import numpy as np
import pytest
from scipy.special import expit

from mint_jax.baselines import BASELINES
from mint_jax.evidence import fairness, likelihood, metrics, operating
from mint_jax.evidence.claims import Claims, Control, Scored
from mint_jax.evidence.examination import Scores

VANILLA = ("conv1", "conv2", "conv3", "conv4", "outcome", "all_conv")
CNN = (*VANILLA[:4], "all_conv")
SIZES = ("250", "500", "1000")
N = 2000
LABELS = np.repeat([1, 0], N // 2)
IDENTITIES = np.arange(N) // 4

_OTHER_CONTROLS = {
    "random_network": ("networks with random weights", 20),
    "other_network": ("a network that did not train on the members", 1),
    "shuffled_labels": ("labels at random", 50),
}
_NEVER = {"power": None, "false_alarms": None}
_SIDES = {"n_members": N // 2, "n_non_members": N // 2}
_LINT = [
    {"code": "shared_images", "severity": "warning", "text": "Two parts share a twin."},
    {
        "code": "label_polarity",
        "severity": "error",
        "text": "Externals have the label 1; 1 is a member, 0 is none.",
    },
]


class _Simulation:
    """Fills cells and scores; `distance` = between the classes, in standard deviations."""

    def __init__(self):
        self.rng, self.scores = np.random.default_rng(0), {}

    def cell(self, key: str, distance: float, seeds: int = 5) -> dict:
        noise = self.rng.normal(size=(seeds, N)) * 0.8 + self.rng.normal(size=N) * 0.6
        scores = 1 / (1 + np.exp(-1.5 * (noise + distance * (LABELS - 0.5))))
        self.scores[key] = {"labels": LABELS, "scores": scores[0].astype(np.float32)}
        return metrics.evaluate(LABELS, scores, IDENTITIES, resamples=100)

    def cells(self, prefix, distance, seeds=5, sizes=SIZES) -> dict:
        return {
            size: self.cell(f"{prefix}/{size}", distance * (0.8 + 0.1 * i), seeds)
            for i, size in enumerate(sizes)
        }

    def called(self, mean: float) -> dict:
        """How many strangers are called members whose scores have this mean."""
        scores = np.clip(self.rng.normal(mean, 0.2, size=(5, N // 2)), 0, 1)
        return metrics.false_member_rate(scores, IDENTITIES[: N // 2], resamples=100)

    def protocol(self, name, vanilla, cnn, neighbour, fusion, random, pixels) -> dict:
        def table(prefix, kind, layers, distance, seeds=5, sizes=SIZES):
            return {
                layer: self.cells(
                    f"{prefix}/{kind}/{layer}", distance * (1 - 0.08 * i), seeds, sizes
                )
                for i, layer in enumerate(layers)
            }

        control, last = f"{name}/random_network", SIZES[-1:]
        shuffled = f"{name}/shuffled_labels"
        return {
            "table1": table(name, "table1", VANILLA, vanilla),
            "table2": table(name, "table2", CNN, cnn, 2),
            "neighbour": self.cells(f"{name}/neighbour", neighbour),
            "fusion": self.cells(f"{name}/fusion", fusion),
            "neighbour_bank": {"members": 2000, "non_members": 2000},
            "controls": {
                "random_network": {
                    "table1": table(control, "table1", VANILLA, random, 5, last),
                    "table2": table(control, "table2", CNN, random, 2, last),
                    "neighbour": self.cells(f"{control}/neighbour", random, 5, last),
                    "fusion": self.cells(f"{control}/fusion", random, 5, last),
                },
                "shuffled_labels": {
                    "table1": table(shuffled, "table1", VANILLA, 0.0, 5, last),
                    "neighbour": self.cells(f"{shuffled}/neighbour", 0.0, 5, last),
                    "fusion": self.cells(f"{shuffled}/fusion", 0.0, 5, last),
                },
                "pixels": self.cells(f"{name}/pixels", pixels),
            },
        }

    def _draw(self, distance: float, replicates: int = 1) -> Scores:
        """Probabilities of a threshold part and of the two sides of a test part."""

        def draw(n, moved):
            return expit(2 * (self.rng.normal(size=(replicates, n)) + moved) - 2)

        return Scores(draw(N, 0.0), draw(N // 2, distance), draw(N // 2, 0.0))

    def _area(self, scores: Scores) -> dict:
        both = np.concatenate([scores.members, scores.others], axis=1)
        return metrics.over_replicates(LABELS, both, IDENTITIES, resamples=20)

    def _cell(self, scores: Scores) -> dict:
        both = np.concatenate([scores.members, scores.others], axis=1)
        return metrics.evaluate(LABELS, both, IDENTITIES, frozen=scores.threshold, resamples=100)

    def _at_target(self, distance: float) -> dict:
        scores = self._draw(distance)
        cell, both = self._cell(scores), np.concatenate([scores.members[0], scores.others[0]])
        point = operating.measure(LABELS, both, IDENTITIES, scores.threshold[0], 0.01)
        found = {name: point[name] for name in ("tpr", "tpr_ci95", "fpr", "fpr_ci95")}
        return found | {name: cell[name] for name in ("auc", "auc_ci95", "n_test")} | _SIDES

    def _control(self, name, title, replicates, distance) -> tuple[Control, Scores]:
        scores = self._draw(distance, replicates)
        return Control(name, title, replicates, scores.called(0.01)), scores

    def _claims(self, own: Scores, rivals: list[Control], matched: bool) -> Claims:
        sides = np.split(IDENTITIES, 2)
        test = [Scored(*pair) for pair in zip(sides, (own.members[0], own.others[0]))]
        parts = {
            "members": {"test": test[0]},
            "non_members": {"threshold": Scored(IDENTITIES, own.threshold[0]), "test": test[1]},
        }
        return Claims(parts, rivals, matched, 0)

    def evidence(self, name: str, distance: float, pixels: float) -> dict:
        """A block whose auditor moves members by `distance`, the pixels by `pixels`."""
        matched, own = name == "matched", self._draw(distance)
        rivals = [("pixels", "pixels alone, no network", 1, pixels)]
        rivals += [(key, *about, 0.0) for key, about in _OTHER_CONTROLS.items()]
        drawn = {rival[0]: self._control(*rival) for rival in rivals}
        for key, scores in {"chosen": own, **{k: s for k, (_, s) in drawn.items()}}.items():
            values = np.concatenate([scores.members[0], scores.others[0]])
            self.scores[f"{name}/evidence/{key}"] = {"labels": LABELS, "scores": values}
        claims = self._claims(own, [control for control, _ in drawn.values()], matched)
        areas = {key: self._area(scores) for key, (_, scores) in drawn.items()}
        people = {
            "power": {"0.05": _often(77, 250), "0.01": _often(31, 250)},
            "false_alarms": {"0.05": _often(12, 250), "0.01": _often(2, 250)},
            "conditional": {
                "0.05": {"power": _often(55, 250), "false_alarms": _often(6, 250)},
                "0.01": _NEVER,
            },
        }
        image = {
            "power": {"0.05": _often(31, 250), "0.01": None},
            "false_alarms": {"0.05": _often(10, 250), "0.01": None},
            "conditional": {"0.05": _NEVER, "0.01": _NEVER},
        }
        groups = np.arange(N // 2) // 4 % 50
        attributes = {"age": np.where(groups > 20, "30 to 60", "below 30")}
        attributes["age"][groups == 49] = "above 60"
        grouped = own.called(0.01)[1][0], IDENTITIES[: N // 2], attributes
        kept = ("auc", "auc_ci95", "tpr_at_fpr", "tpr_at_fpr_ci95")
        baselines = (("norm", 0.05), ("flip", 0.3), ("bn_distance", 0.0), ("nearest_centre", 3.5))
        return {
            "auditor": {
                "kind": "fusion",
                "layer": "outcome",
                "size": 1000,
                "validation_auc": {
                    "vanilla/conv1": 0.503,
                    "cnn/conv1": 0.511,
                    "neighbour/outcome": 0.671,
                    "fusion/outcome": 0.742,
                },
            },
            "target_fpr": 0.01,
            "operating_points": claims.operating_points,
            "controls": [row | areas[row["name"]] for row in claims.controls],
            "gate": claims.gate,
            "headline": claims.headline,
            "baselines": [
                {"name": key, "title": BASELINES[key].title, "access": BASELINES[key].access}
                | {k: v for k, v in self._cell(self._draw(moved)).items() if k in kept}
                | _SIDES
                for key, moved in baselines
            ],
            "splits": {"identity": self._cell(own), "image": self._cell(self._draw(distance + 1))},
            "left_out": []
            if matched
            else [
                {"database": database} | self._at_target(moved)
                for database, moved in (("webcam", 0.4), ("archive", 2.0))
            ],
            "robustness": [
                {"change": words} | self._at_target(distance * left)
                for words, left in (("compressed again", 0.9), ("turned by 3 degrees", 0.5))
            ],
            "support": [_inside("photos of the test", 990), _inside("turned by 3 degrees", 871)],
            "fairness": fairness.by_group(*grouped),
            "fairness_tests": fairness.compare(*grouped, permutations=99),
            "likelihood": likelihood.describe(
                own.members[0],
                own.others[0],
                likelihood.fit(self._draw(distance).members[0], own.threshold[0]),
            ),
            "people": {"k": 4, "persons_calibration": 250, "persons_test": 250}
            | {"resolution": 1 / 251}
            | people,
            "h0_image": {"n_calibration": 60, "resolution": 1 / 61} | image if matched else None,
            "lint": _LINT[:1] if matched else _LINT,
        }


def _often(hits: int, trials: int) -> dict:
    interval = operating.clopper_pearson(hits, trials)
    return {"rate": hits / trials, "rate_ci95": interval, "n": trials}


def _inside(photos: str, hits: int) -> dict:
    interval = operating.clopper_pearson(hits, 1000)
    return {"photos": photos, "n": 1000, "share": hits / 1000, "share_ci95": interval}


@pytest.fixture(scope="session")
def _made_up():
    simulation = _Simulation()
    matched = simulation.protocol("matched", 0.03, 0.03, 0.7, 1.0, 0.0, 0.02)
    cross = simulation.protocol("cross_database", 4.0, 4.4, 1.4, 2.0, 4.3, 3.4)
    rate, less = (simulation.called(share) for share in (0.8, 0.6))
    cross["false_member_rate"] = {
        "table1": {k: {"1000": rate} for k in VANILLA},
        "fusion": {"1000": less},
    }
    matched["evidence"] = simulation.evidence("matched", 0.6, 0.02)
    cross["evidence"] = simulation.evidence("cross_database", 2.4, 2.5)
    part = {"images": 1000, "people": 250}
    tables = {
        "audited": {
            "name": "embedded",
            "sha256": "ab" * 32,
            "layers": [*VANILLA[:5]],
            "input_size": 48,
            "info": {"architecture": {"name": "iresnet18", "width": 0.25}, "epochs": 30},
        },
        "protocols": {"matched": matched, "cross_database": cross},
        "sizes": [250, 500, 1000],
        "sets": {
            side: dict.fromkeys(("bank", "train", "threshold", "calibration", "test"), part)
            for side in ("members", "non_members", "externals")
        },
        "notes": ["The synthetic databases stand in for the paper's external ones."],
        "versions": {"python": "3.11.2", "jax": "0.10.2"},
        "date": "2026-11-23T21:00:00+00:00",
        "device": "1 x cpu (x86_64)",
    }
    return tables, simulation.scores


@pytest.fixture
def made_up(_made_up):
    """`tables` (a copy, to be changed at will) and `scores`."""
    tables, scores = _made_up
    return copy.deepcopy(tables), dict(scores)


@pytest.fixture
def tables(made_up):
    return made_up[0]


@pytest.fixture
def before_fusion(tables):
    """`tables` as audits left them that had no fused auditor; there the neighbours decide."""
    for protocol in tables["protocols"].values():
        controls = protocol["controls"]
        blocks = (protocol, protocol.get("false_member_rate", {}))
        for block in (*blocks, controls["random_network"], controls["shuffled_labels"]):
            block.pop("fusion", None)
        auditor = protocol["evidence"]["auditor"]
        auditor["kind"] = "neighbour"
        del auditor["validation_auc"]["fusion/outcome"]
    return tables
