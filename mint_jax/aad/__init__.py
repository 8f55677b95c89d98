"""N: extraction of Auxiliary Auditable Data (AAD) from an audited model."""

from mint_jax.aad.extractor import ALL_CONV as ALL_CONV
from mint_jax.aad.extractor import Extractor as Extractor
from mint_jax.aad.extractor import dtype_of as dtype_of
from mint_jax.aad.extractor import extract as extract
from mint_jax.aad.extractor import make_extractor as make_extractor
from mint_jax.aad.extractor import map_of as map_of
from mint_jax.aad.extractor import shapes as shapes
from mint_jax.aad.store import Store as Store
from mint_jax.aad.store import Writer as Writer
from mint_jax.aad.store import create_or_open_store as create_or_open_store
from mint_jax.aad.store import open_store as open_store
from mint_jax.aad.views import training_views as training_views
from mint_jax.aad.views import with_views as with_views
