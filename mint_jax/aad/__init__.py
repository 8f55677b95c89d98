"""N: extraction of Auxiliary Auditable Data (AAD) from an audited model."""

from mint_jax.aad.extractor import ALL_CONV as ALL_CONV
from mint_jax.aad.extractor import Extractor as Extractor
from mint_jax.aad.extractor import extract as extract
from mint_jax.aad.extractor import make_extractor as make_extractor
