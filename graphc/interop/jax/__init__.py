"""Programs as operators of JAX; every module here imports it."""
