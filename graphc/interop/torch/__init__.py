"""Programs as operators of PyTorch; every module here imports it."""
