"""Tables of what `experiments.scaling` found, in Markdown."""

from collections.abc import Iterator, Mapping
from typing import Any


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Times, bytes and arithmetic of a `scaling.json`."""
    yield from _times(found)
    yield ""
    yield from _bytes(found["sent"])
    yield ""
    yield from _arithmetic(found)


def _times(found: Mapping[str, Any]) -> Iterator[str]:
    share, cores, each = found["share"], found["cores"], found["rows"][0]["turns"]
    yield f"{share} of {cores} cores to each process; medians and ranges of {each} turns."
    crowded = [row["processes"] for row in found["rows"] if row["processes"] * share > cores]
    if crowded:
        yield (
            f"From {min(crowded)} processes on they share cores, and can gain nothing over "
            f"{cores // share}."
        )
    yield ""
    yield "| work | scaling | processes | seconds | over one process | if nothing were lost |"
    yield "|---|---|---|---|---|---|"
    for row in found["rows"]:
        low, high = row["seconds_range"]
        least, most = row["ratio_range"]
        yield (
            f"| {row['work']} | {row['scaling']} | {row['processes']} "
            f"| {row['seconds']:.3g} ({low:.3g} to {high:.3g}) "
            f"| {row['ratio']:.2f} ({least:.2f} to {most:.2f}) | {row['possible']:.2f} |"
        )


def _bytes(sent: Mapping[str, Any]) -> Iterator[str]:
    calls = sum(tally["calls"] for tally in sent["extraction"].values())
    yield f"Collectives in a step of extraction, compiled for {sent['devices']} devices: {calls}."
    yield ""
    yield "| a step of training | all-reduces | their MB | network | head | statistics | others |"
    yield "|---|---|---|---|---|---|---|"
    for name, row in sent["training"].items():
        tally = row["collectives"]["all-reduce"]
        others = sum(t["calls"] for kind, t in row["collectives"].items() if kind != "all-reduce")
        held = " | ".join(f"{row[part] / 1e6:,.2f}" for part in ("network", "head", "batch_stats"))
        yield f"| {name} | {tally['calls']} | {tally['bytes'] / 1e6:,.2f} | {held} | {others} |"


def _arithmetic(found: Mapping[str, Any]) -> Iterator[str]:
    batch = found["sent"]["per_device_batch"]
    yield (
        f"Arithmetic, not measured: {batch} images a device, a ring, nothing computed while it "
        "sends; without the delay of a hop, of which so many follow each other."
    )
    yield ""
    yield (
        "| training | images/s, alone | devices | link | GB/s | MB a step | KB an image | seconds "
        "| share of a step | head in parts: MB | seconds | share | hops |"
    )
    yield "|" + "---|" * 13
    for row in found["arithmetic"]:
        whole, parts = row["replicated"], row["partitioned"]
        yield (
            f"| {row['training']} | {row['images_per_second']:,.0f} | {row['devices']} "
            f"| {row['link']} | {row['gb_per_second']:g} | {whole['bytes'] / 1e6:,.1f} "
            f"| {whole['bytes_per_image'] / 1e3:,.1f} | {_sent(whole)} "
            f"| {parts['bytes'] / 1e6:,.1f} | {_sent(parts)} | {row['hops']:,} |"
        )


def _sent(figures: Mapping[str, float]) -> str:
    return f"{figures['seconds']:.2g} | {figures['share']:.0%}"
