"""The web platform: photos in, evidence of membership and a report out."""

from mint_jax.demonstrator.app import Example as Example
from mint_jax.demonstrator.app import create_app as create_app
from mint_jax.demonstrator.limits import Limits as Limits
