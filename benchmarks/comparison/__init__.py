"""The workloads on which graphc is compared with others, for graphc and for every peer; `benchmarks/peers.py` runs them."""
