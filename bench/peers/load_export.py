"""Reads what `inspect_run export` writes: load(module, "generator.safetensors").

Any class with the names of the papers' PyTorch code will do: theirs, or those of paper_networks.py. A network with spectral
norm takes tensors of either form: weight_orig, weight_u, weight_v, or weight alone (--spectral-norm folded).
"""
import json
import struct

import torch
from torch.nn.utils import remove_spectral_norm


def read(path):
    """name -> tensor, and the metadata."""
    raw = open(path, "rb").read()
    size = struct.unpack("<Q", raw[:8])[0]
    header, data = json.loads(raw[8:8 + size]), memoryview(raw)[8 + size:]
    metadata = header.pop("__metadata__", {})
    return {name: torch.frombuffer(bytearray(data[slice(*t["data_offsets"])]), dtype=torch.float32).reshape(t["shape"])
            for name, t in header.items()}, metadata


def load(module, path):
    tensors, _ = read(path)
    for name, layer in module.named_modules():
        if hasattr(layer, "weight_orig") and f"{name}.weight" in tensors:
            remove_spectral_norm(layer)
            layer._load_state_dict_pre_hooks.clear()  # newer versions of PyTorch do not remove them
    module.load_state_dict(tensors, strict=True)
    return module.eval()
