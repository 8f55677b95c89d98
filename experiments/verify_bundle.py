"""Checks an evidence bundle: computes every claim in it again out of the scores in it.

    python -m experiments.verify_bundle --bundle=runs/embedded/evidence/matched/bundle.json

prints one line a check. The exit status is 0 if none failed; what cannot be checked here, such as
hashes of files that are elsewhere, is noted and is no failure.
"""

import sys
from collections.abc import Sequence

from absl import flags

from experiments import cli
from mint_jax import audited
from mint_jax.evidence import bundle

_BUNDLE = flags.DEFINE_string("bundle", None, "bundle.json", required=True)
_AUDITED = flags.DEFINE_string("audited", None, "audited model, to compare its hash as well")
_WORDS = {True: "passed", False: "FAILED", None: "noted"}


def main(argv: Sequence[str]) -> None:
    """Prints the checks of `--bundle`; exits with 1 where one failed."""
    del argv
    model = audited.load(_AUDITED.value) if _AUDITED.value else None
    checks = bundle.verify(_BUNDLE.value, model and model.sha256)
    for check in checks:
        print(f"{_WORDS[check.passed]}  {check.name}: {check.text}")
    failed = [check.name for check in checks if check.passed is False]
    if failed:
        print(f"error: {_BUNDLE.value}: failed: {', '.join(failed)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    cli.run(main)
