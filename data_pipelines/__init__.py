"""Images in: sources, alignment, audit sets and the Grain loader. Knows nothing of JAX."""
