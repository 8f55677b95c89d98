"""Auditors beside the published scores on the models of one lab, grouped by what they are given.

Some models choose the auditor, and the figures are those of the others. Intervals are over the
tested models, and over the people of each; the models share photos and, where there are any,
references, which the intervals do not know.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from scipy import stats
from tqdm import tqdm

from experiments import comparison_report, lab_attacks, lab_auditors, lab_zoo, versions
from experiments.lab_pairs import Models
from mint_jax import parallel
from mint_jax.audited import AuditedModel, load
from mint_jax.baselines import BASELINES, Baseline
from mint_jax.evidence import metrics

_FPR = 0.01
_TITLES = BASELINES | {
    "foreign_centre": Baseline(
        "foreign_centre", "distance to the nearest centre of another class", "head"
    ),
    "own_margin": Baseline("own_margin", "margin of the own class's centre", "head"),
}
_ORDER = (
    "embedding",
    "weights",
    "known members",
    "head",
    "head and known members",
    *dict.fromkeys(lab_attacks.ACCESS.values()),
)


@dataclass(frozen=True)
class Bench:
    """The truth about the audited models of a lab, by which scores are measured.

    Attributes:
      by: what halves were drawn of, "image" or "identity".
      identities: (n,) people of the photos.
      members: (models, n) bool.
      chooses: (models,) bool; of the models that choose the auditor.
    """

    by: str
    identities: np.ndarray
    members: np.ndarray
    chooses: np.ndarray

    @property
    def tested(self) -> np.ndarray:
        """Places of the models whose figures are reported."""
        return np.flatnonzero(~self.chooses)

    def measure(self, scores: np.ndarray) -> dict:
        """Figures of scores (models, n), higher is rather a member.

        Returns:
          what `metrics.over_models` says of the tested models, "validation_auc", the mean over the
          others, and where people have several photos one more: "person" of their mean scores,
          where halves are of people; "image_given_person" of what a score is above the mean of its
          person's photos, where they are of photos.
        """
        chosen = zip(self.members[self.chooses], scores[self.chooses])
        found = self._over(scores, self.members, self.identities)
        found["validation_auc"] = float(np.mean([metrics.auc(s[m], s[~m]) for m, s in chosen]))
        people, first, person, counts = np.unique(
            self.identities, return_index=True, return_inverse=True, return_counts=True
        )
        if counts.max() > 1:
            means = np.stack([np.bincount(person, row) for row in scores]) / counts
            if self.by == "identity":
                found["person"] = self._over(means, self.members[:, first], people)
            else:
                found["image_given_person"] = self._over(
                    scores - means[:, person], self.members, self.identities
                )
        return found

    def _over(self, scores: np.ndarray, members: np.ndarray, identities: np.ndarray) -> dict:
        tests = [(members[i].astype(int), scores[i], identities) for i in self.tested]
        return metrics.over_models(tests, fpr=_FPR)


def run(config: ConfigDict, workdir: Path) -> dict:
    """Compares on all labs, and writes `workdir/compare.json` and a plot a lab.

    Args:
      config: see `experiments/configs/compare_auditors.py`.
      workdir: gets a folder of each lab, in which are its models, `00/`, `02/` and so on.

    Returns:
      The content of the file: {"labs": {name: {"title", "by", "input_size", "photos", "people",
      "models" and "validation": which are tested and which choose, "training_loss": [of each
      model's last epoch], "chosen": auditor, "rows": [{"name", "title", "access", and what
      `Bench.measure` says}], "coverage": [{"coverage", and what `metrics.over_models`
      says of the chosen one}], "null": the same of the chosen one, told another model's members, of
      whom the audited model knows nothing, "zoo": [{"references", "r2", "r2_ci95", and what
      `measure` says of the fused score given theirs}], "prototypes": {"cosine", "cosine_ci95",
      "auc", "auc_ci95", "models"} or None, "notes", and where there are networks what `_public`
      says}}, "config", "date", "device", "versions"}.

    Raises:
      InputError: what `Models`, `audited.load` and `lab_zoo.read` raise.
    """
    labs = {name: _compared(name, config, workdir) for name in config.labs}
    found = {"labs": labs, "config": config.to_dict(), **versions.describe()}
    if not parallel.process_index():
        (workdir / "compare.json").write_text(json.dumps(found, indent=1) + "\n")
        for name, lab in labs.items():
            (workdir / f"{name}.svg").write_text(comparison_report.picture(lab))
    return found


def _compared(name: str, config: ConfigDict, workdir: Path) -> dict:
    """An entry of "labs", out of the lab's folder where it was finished with this configuration."""
    lab, folder = config.labs[name], workdir / name
    asked = config.to_dict() | {"labs": {name: lab.to_dict()}}
    asked = json.loads(json.dumps(asked))
    path = folder / "compare.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    if parallel.agree(kept.get("config") == asked):
        return kept["found"]
    models = Models(lab, folder, workdir / "photos", config.workers)
    found = compare(models, lab, config)
    if not parallel.process_index():
        path.write_text(json.dumps({"config": asked, "found": found}) + "\n")
    return found


def compare(models: Models, lab: ConfigDict, config: ConfigDict) -> dict:
    """Trains and reads what is missing, and measures all auditors on the models of a lab.

    Args:
      models: of the lab.
      lab: its configuration.
      config: the auditors, and what else is asked; see `experiments/configs/compare_auditors.py`.

    Returns:
      An entry of "labs" of compare.json, see `run`.
    """
    networks = {file: load(file) for file in lab.get("networks", ())}
    specs = lab_auditors.resolve(config.auditors, models.views, lab.labels == "identity")
    found = _scores(models, lab, specs, config.seed)
    n, audited = len(models.identities), models.audited
    bench = Bench(lab.by, models.identities, models.in_mask[audited], audited // 2 < lab.validation)
    scores = {name: values[:, :n] for name, values in found.items()}
    known = {name: (x.title, x.access) for name, x in _TITLES.items() if name in scores}
    known |= {name: (spec["title"], lab_auditors.access(spec)) for name, spec in specs.items()}
    zoo, public = [], {}
    if networks:
        public = _public(models, bench, specs["fusion"], scores["fusion"], networks, config.seed)
    if lab.references:
        strangers = {name: x[:, n:] for name, x in found.items() if x.shape[1] > n}
        study = lab_attacks.Study(models.in_mask, scores, strangers)
        attacked = _attacks(study, config.gamma)
        zoo = _zoo(models, bench, specs["fusion"], scores["fusion"], config)
        scores = scores | {f"{attack}:{scalar}": x for (attack, scalar), x in attacked.items()}
        known |= {
            f"{attack}:{scalar}": (
                f"{BASELINES[attack].title}: {known[scalar][0]}",
                lab_attacks.ACCESS[scalar],
            )
            for attack, scalar in attacked
        }
    rows = [
        {"name": name, "title": known[name][0], "access": known[name][1], **bench.measure(x)}
        for name, x in tqdm(scores.items(), "resampling")
    ]
    chosen = _choose(rows, specs)
    return {
        "title": lab.title,
        "by": lab.by,
        "input_size": lab.training.architecture.input_size,
        "photos": n,
        "people": len(np.unique(models.identities)),
        "models": audited[bench.tested].tolist(),
        "validation": audited[bench.chooses].tolist(),
        "training_loss": models.losses(),
        "chosen": chosen,
        "rows": sorted(rows, key=lambda row: _ORDER.index(row["access"])),
        "coverage": _coverage(models, bench, specs[chosen], scores[chosen], config),
        "null": _null(models, bench, specs[chosen], config.seed),
        "zoo": zoo,
        "prototypes": _prototypes(models, bench, rows, config.seed),
        "notes": models.notes,
        **public,
    }


def _choose(rows: list[dict], specs: Mapping[str, Mapping]) -> str:
    """The auditor without a head that is best on the models that choose."""
    headless = [row for row in rows if row["name"] in specs and row["access"] == "known members"]
    return max(headless, key=lambda row: row["validation_auc"])["name"]


def _scores(
    models: Models, lab: ConfigDict, specs: Mapping[str, Mapping], seed: int
) -> dict[str, np.ndarray]:
    """{auditor or baseline: (audited models, n + m)}; (.., n) where the own class is read."""
    found: dict[str, list] = {}
    own_known = lab.by == "image" or lab.labels == "attributes"
    for i in tqdm(models.audited, f"models of {lab.title}"):
        reading = models.reading(i)
        of_model = dict(reading.scalars)
        of_model["quantile"] = lab_auditors.cross_scores(
            functools.partial(lab_auditors.quantile, reading), reading, seed
        )
        for name, spec in specs.items():
            fit = functools.partial(lab_auditors.fit, spec, reading, seed=seed)
            of_model[name] = lab_auditors.cross_scores(fit, reading, seed)
        of_model |= lab_auditors.head_scores(reading, own_known)
        for name, values in of_model.items():
            found.setdefault(name, []).append(values)
    return {name: np.stack(values) for name, values in found.items()}


def _attacks(study: lab_attacks.Study, gamma: float) -> dict[tuple[str, str], np.ndarray]:
    """{(attack, scalar): (models, n)}."""
    each = [dict(lab_attacks.attacks(study, i, gamma)) for i in range(len(study.in_mask))]
    return {key: np.stack([found[key] for found in each]) for key in each[0]}


def _coverage(
    models: Models, bench: Bench, spec: Mapping, scores: np.ndarray, config: ConfigDict
) -> list[dict]:
    """Figures of an auditor that knows other shares of the people, on all the others."""
    tests = {share: [] for share in config.coverages}
    for i in bench.tested:
        reading = models.reading(models.audited[i])
        for share, found in tests.items():
            if share == lab_auditors.FOLDS:
                asked, asked_scores = np.arange(len(bench.identities)), scores[i]
            else:
                known, asked = lab_auditors.cut(reading, share, config.seed)
                asked_scores = lab_auditors.fit(spec, reading, known, config.seed)(asked)
            truth = bench.members[i, asked].astype(int)
            found.append((truth, asked_scores, bench.identities[asked]))
    return [
        {"coverage": share, **metrics.over_models(found, fpr=_FPR)}
        for share, found in tests.items()
    ]


def _null(models: Models, bench: Bench, spec: Mapping, seed: int) -> dict:
    """Figures of an auditor that is told, and asked about, members of a model of another pair."""
    tests = []
    for place, i in enumerate(bench.tested):
        model = models.audited[i]
        others = lab_attacks.without_pair(models.audited, model)
        members = models.in_mask[others[place % len(others)]]
        reading = dataclasses.replace(models.reading(model), members=members)
        fit = functools.partial(lab_auditors.fit, spec, reading, seed=seed)
        scores = lab_auditors.cross_scores(fit, reading, seed)[: len(members)]
        tests.append((members.astype(int), scores, bench.identities))
    return metrics.over_models(tests, fpr=_FPR)


def _zoo(
    models: Models, bench: Bench, spec: Mapping, scores: np.ndarray, config: ConfigDict
) -> list[dict]:
    """Figures of the fused score given the same of as many reference models, drawn at random."""
    counts = [count for count in config.references if count < len(scores) // 2]
    rng, everyone = np.random.default_rng(config.seed), np.arange(len(scores))
    found = {count: (scores.copy(), []) for count in counts}
    for i in everyone:
        reading = models.reading(models.audited[i])
        others = lab_attacks.without_pair(everyone, i)
        references = _unseen(scores[others], bench.members[others], counts[-1], rng)
        fit = functools.partial(lab_auditors.fit, spec, reading, seed=config.seed)
        given = lab_auditors.conditional_scores(
            fit, reading, scores[i], references, counts, config.seed
        )
        for count, (residuals, r2) in given.items():
            found[count][0][i] = residuals
            found[count][1].append(r2)
    return _conditional(bench, scores, found)


def _public(
    models: Models,
    bench: Bench,
    spec: Mapping,
    scores: np.ndarray,
    networks: Mapping[str, AuditedModel],
    seed: int,
) -> dict[str, list]:
    """Figures of the fused score given what published networks say, and of these alone.

    Returns:
      {"public": [{"references", "names" of the networks, "r2", "r2_ci95", and what `measure`
      says}], "public_alone": [{"name", "sha256", "training_database", and what `measure` says of
      the fused auditor on that network's AAD, a null}]}.
    """
    outside, names = lab_zoo.read(networks, models), [x.name for x in networks.values()]
    alone = np.empty((len(networks), *scores.shape))
    found = {count: (scores.copy(), []) for count in range(1, len(networks) + 1)}
    for i, model in enumerate(tqdm(models.audited, "published networks")):
        reading = models.reading(model)
        alone[:, i], given = lab_zoo.conditional_scores(spec, reading, outside, seed)
        for count, (residuals, r2) in given.items():
            found[count][0][i] = residuals
            found[count][1].append(r2)
    rows = _conditional(bench, scores, found)
    controls = [
        {
            "name": network.name,
            "sha256": network.sha256,
            "training_database": network.info.get("training_database", "unknown"),
            **bench.measure(values),
        }
        for network, values in zip(networks.values(), alone)
    ]
    rows = [{"names": names[: row["references"]], **row} for row in rows]
    return {"public": rows, "public_alone": controls}


def _conditional(
    bench: Bench, scores: np.ndarray, found: Mapping[int, tuple[np.ndarray, list[float]]]
) -> list[dict]:
    """Rows of scores without references, and of {references: (residuals, R^2 of each model)}."""
    rows = [{"references": 0, "r2": None, "r2_ci95": None, **bench.measure(scores)}]
    for count, (residuals, r2) in found.items():
        about = {"references": count, **_mean("r2", np.array(r2)[bench.tested])}
        rows.append(about | bench.measure(residuals))
    return rows


def _mean(name: str, values: Sequence[float]) -> dict[str, Any]:
    """The mean over models, and Student's interval of it."""
    mean, n = float(np.mean(values)), len(values)
    error = stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)
    return {name: mean, f"{name}_ci95": [float(mean - error), float(mean + error)]}


def _unseen(
    scores: np.ndarray, in_mask: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """(n, count): of each photo the scores under as many models that did not see it, at random."""
    order = np.argsort(rng.random(scores.shape) + in_mask, axis=0)[:count]
    return np.take_along_axis(scores, order, axis=0).T


def _prototypes(models: Models, bench: Bench, rows: list[dict], seed: int) -> dict | None:
    """How near estimated prototypes come to the true ones, and what AUC they buy."""
    row = next((row for row in rows if row["name"] == "prototypes_estimated"), None)
    if row is None:
        return None
    cosines = [
        float(lab_auditors.estimate_cosines(models.reading(models.audited[i]), seed).mean())
        for i in bench.tested
    ]
    return {
        **_mean("cosine", cosines),
        **{key: row[key] for key in ("auc", "auc_ci95", "models")},
    }
