"""Which races there are, by the names of their rows."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from experiments.benchmarks import accelerator, commands, decoding, forward, populations, products
from experiments.benchmarks.races import Race
from mint_jax.auditors import CNN

SUITES: Mapping[str, Mapping[str, Callable[[Path], Race]]] = {
    "cpu": {
        "extract_r100_cpu_b1": lambda folder: forward.extract(1, turns=9, goal=1.0),
        "extract_r100_cpu": lambda folder: forward.extract(16, turns=5, goal=1.2),
        "extract_r100_cpu_b64": lambda folder: forward.extract(64, turns=3, goal=1.2),
        "one_face": lambda folder: forward.one_face(),
        "truncation_conv1": lambda folder: forward.truncation("conv1"),
        "truncation_conv2": lambda folder: forward.truncation("conv2"),
        "truncation_conv3": lambda folder: forward.truncation("conv3"),
        "truncation_conv4": lambda folder: forward.truncation("conv4"),
        "population_table1": lambda folder: populations.population(goal=10.0),
        "population_table2": lambda folder: populations.population(CNN, populations.MAPS, seeds=2),
        "input_decode": decoding.input_decode,
        "memory_flat": commands.memory_flat,
        "start": commands.start,
        "search": lambda folder: products.search(),
        "small_maps": lambda folder: products.small_maps(),
        "winograd_112": lambda folder: products.tiles(112, 64, tile=4, batch=1),
        "winograd_56": lambda folder: products.tiles(56, 64, tile=4),
        "winograd_28": lambda folder: products.tiles(28, 128, tile=4),
        "winograd_14": lambda folder: products.tiles(14, 256, tile=2),
        "winograd_7": lambda folder: products.tiles(7, 512, tile=2),
        "winograd_14_alone": lambda folder: products.alone(14, 256, tile=2),
        "product_7": lambda folder: products.product(7, 512),
        "product_14": lambda folder: products.product(14, 512, stride=2),
    },
    "gpu": {
        "extract_r100_gpu": lambda folder: accelerator.extract(256),
        "extract_r100_gpu_b32": lambda folder: accelerator.extract(32),
        "extract_r100_gpu_b1024": lambda folder: accelerator.extract(1024),
        "extract_r100_gpu_ceiling": lambda folder: accelerator.ceiling(),
        "tables_gpu": commands.tables,
    },
}
# With --full, in place of those of the same names.
FULL = {
    "memory_flat": partial(commands.memory_flat, count=100_000),
}
