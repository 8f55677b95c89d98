"""Results of an audit made up from simulated scores, of the form of `tables.json`."""

import copy

import numpy as np
import pytest

from mint_jax.evidence import metrics

VANILLA = ("conv1", "conv2", "conv3", "conv4", "outcome", "all_conv")
CNN = VANILLA[:4]
SIZES = ("250", "500", "1000")
N = 2000
LABELS = np.repeat([1, 0], N // 2)
IDENTITIES = np.arange(N) // 4


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

    def protocol(self, name, vanilla, cnn, neighbour, random, pixels) -> dict:
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
            "neighbour_bank": {"members": 2000, "non_members": 2000},
            "controls": {
                "random_network": {
                    "table1": table(control, "table1", VANILLA, random, 5, last),
                    "table2": table(control, "table2", CNN, random, 2, last),
                    "neighbour": self.cells(f"{control}/neighbour", random, 5, last),
                },
                "shuffled_labels": {
                    "table1": table(shuffled, "table1", VANILLA, 0.0, 5, last),
                    "neighbour": self.cells(f"{shuffled}/neighbour", 0.0, 5, last),
                },
                "pixels": self.cells(f"{name}/pixels", pixels),
            },
        }


@pytest.fixture(scope="session")
def _made_up():
    simulation = _Simulation()
    matched = simulation.protocol("matched", 0.03, 0.03, 0.7, 0.0, 0.02)
    cross = simulation.protocol("cross_database", 4.0, 4.4, 1.4, 4.3, 3.4)
    strangers = np.clip(simulation.rng.normal(0.8, 0.2, size=(5, N // 2)), 0, 1)
    rate = metrics.false_member_rate(strangers, IDENTITIES[: N // 2], resamples=100)
    cross["false_member_rate"] = {"table1": {k: {"1000": rate} for k in VANILLA}}
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
            side: dict.fromkeys(("bank", "train", "calibration", "test"), part)
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
