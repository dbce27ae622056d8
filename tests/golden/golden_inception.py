"""Golden features of Inception-v3 with every width divided by 16, from PyTorch in float64.

Two images of 107x123 (bytes b that stand for (b - 128) / 128): no size on the way is square, and the reducing windows
leave edges unread. Weights are float32, in the names and the layout of real weights' files, so the test reads them as
it would those. The taps before the pool of Mixed_7c are the same whatever that is, and are stored once.
"""
import os
import sys

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench", "peers"))
from inception_pytorch import LAYERS, Inception  # noqa: E402

NARROWING, CLASSES, SEED = 16, 10, 2015


def inception():
    rng = np.random.default_rng(SEED)

    def draw(*shape, scale=1.0):
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    out = {}
    for layer, (c_in, c_out, (kh, kw), _, _) in LAYERS.items():
        c_in, c_out = max(c_in // NARROWING, 3 if c_in == 3 else 1), c_out // NARROWING
        out[f"{layer}.conv.weight"] = draw(c_out, c_in, kh, kw, scale=(2 / (c_in * kh * kw)) ** 0.5)
        out[f"{layer}.conv.bias"] = draw(c_out, scale=0.3)  # away from zero: a forgotten bias shows
    out["fc.weight"], out["fc.bias"] = draw(CLASSES, 2048 // NARROWING, scale=0.1), draw(CLASSES)
    images = rng.integers(0, 256, (2, 107, 123, 3), dtype=np.uint8)
    weights = {name: torch.from_numpy(a).double() for name, a in out.items()}
    x = (torch.from_numpy(images).permute(0, 3, 1, 2).double() - 128) / 128
    canonical, mean_pool = Inception(weights)(x), Inception(weights, max_pool_in_7c=False, logit_bias=True)(x)
    out["images"] = images
    out |= {tap: features.numpy() for tap, features in canonical.items()}
    out |= {f"mean_pool.{tap}": mean_pool[tap].numpy() for tap in ("pool2048", "logits")}
    return out
