"""Evidence bundles: the document, and its verification by whoever has it."""

from mint_jax.evidence.bundle.document import FILE as FILE
from mint_jax.evidence.bundle.document import Observed as Observed
from mint_jax.evidence.bundle.document import about as about
from mint_jax.evidence.bundle.document import audit as audit
from mint_jax.evidence.bundle.document import code as code
from mint_jax.evidence.bundle.document import digest as digest
from mint_jax.evidence.bundle.document import read as read
from mint_jax.evidence.bundle.document import salt_of as salt_of
from mint_jax.evidence.bundle.document import salted as salted
from mint_jax.evidence.bundle.document import verdict as verdict
from mint_jax.evidence.bundle.document import write as write
from mint_jax.evidence.bundle.verification import Check as Check
from mint_jax.evidence.bundle.verification import verify as verify
