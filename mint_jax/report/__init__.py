"""Tables, plots and the page that say what an audit found, and what does not follow from it."""

from mint_jax.report.page import write_html as write_html
from mint_jax.report.text import console as console
