"""Nets from ONNX files, node by node as loops."""
