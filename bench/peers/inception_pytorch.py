"""Inception-v3 of FID and IS in PyTorch: the same network, weights and enlargement as models/inception.

tests/golden computes with it in float64 at reduced width; pytorch_inception.py times it beside ours.
"""
import torch
import torch.nn.functional as F
from torch import nn

# Layer -> (inputs, outputs, kernel, stride, padding), as published, in execution order.
LAYERS = {
    "Conv2d_1a_3x3": (3, 32, (3, 3), 2, (0, 0)),
    "Conv2d_2a_3x3": (32, 32, (3, 3), 1, (0, 0)),
    "Conv2d_2b_3x3": (32, 64, (3, 3), 1, (1, 1)),
    "Conv2d_3b_1x1": (64, 80, (1, 1), 1, (0, 0)),
    "Conv2d_4a_3x3": (80, 192, (3, 3), 1, (0, 0)),
}
for name, c_in, pool in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
    LAYERS |= {f"Mixed_{name}.{layer}": shape for layer, shape in {
        "branch1x1": (c_in, 64, (1, 1), 1, (0, 0)),
        "branch5x5_1": (c_in, 48, (1, 1), 1, (0, 0)),
        "branch5x5_2": (48, 64, (5, 5), 1, (2, 2)),
        "branch3x3dbl_1": (c_in, 64, (1, 1), 1, (0, 0)),
        "branch3x3dbl_2": (64, 96, (3, 3), 1, (1, 1)),
        "branch3x3dbl_3": (96, 96, (3, 3), 1, (1, 1)),
        "branch_pool": (c_in, pool, (1, 1), 1, (0, 0))}.items()}
LAYERS |= {
    "Mixed_6a.branch3x3": (288, 384, (3, 3), 2, (0, 0)),
    "Mixed_6a.branch3x3dbl_1": (288, 64, (1, 1), 1, (0, 0)),
    "Mixed_6a.branch3x3dbl_2": (64, 96, (3, 3), 1, (1, 1)),
    "Mixed_6a.branch3x3dbl_3": (96, 96, (3, 3), 2, (0, 0)),
}
for name, inner in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
    LAYERS |= {f"Mixed_{name}.{layer}": shape for layer, shape in {
        "branch1x1": (768, 192, (1, 1), 1, (0, 0)),
        "branch7x7_1": (768, inner, (1, 1), 1, (0, 0)),
        "branch7x7_2": (inner, inner, (1, 7), 1, (0, 3)),
        "branch7x7_3": (inner, 192, (7, 1), 1, (3, 0)),
        "branch7x7dbl_1": (768, inner, (1, 1), 1, (0, 0)),
        "branch7x7dbl_2": (inner, inner, (7, 1), 1, (3, 0)),
        "branch7x7dbl_3": (inner, inner, (1, 7), 1, (0, 3)),
        "branch7x7dbl_4": (inner, inner, (7, 1), 1, (3, 0)),
        "branch7x7dbl_5": (inner, 192, (1, 7), 1, (0, 3)),
        "branch_pool": (768, 192, (1, 1), 1, (0, 0))}.items()}
LAYERS |= {
    "Mixed_7a.branch3x3_1": (768, 192, (1, 1), 1, (0, 0)),
    "Mixed_7a.branch3x3_2": (192, 320, (3, 3), 2, (0, 0)),
    "Mixed_7a.branch7x7x3_1": (768, 192, (1, 1), 1, (0, 0)),
    "Mixed_7a.branch7x7x3_2": (192, 192, (1, 7), 1, (0, 3)),
    "Mixed_7a.branch7x7x3_3": (192, 192, (7, 1), 1, (3, 0)),
    "Mixed_7a.branch7x7x3_4": (192, 192, (3, 3), 2, (0, 0)),
}
for name, c_in in (("7b", 1280), ("7c", 2048)):
    LAYERS |= {f"Mixed_{name}.{layer}": shape for layer, shape in {
        "branch1x1": (c_in, 320, (1, 1), 1, (0, 0)),
        "branch3x3_1": (c_in, 384, (1, 1), 1, (0, 0)),
        "branch3x3_2a": (384, 384, (1, 3), 1, (0, 1)),
        "branch3x3_2b": (384, 384, (3, 1), 1, (1, 0)),
        "branch3x3dbl_1": (c_in, 448, (1, 1), 1, (0, 0)),
        "branch3x3dbl_2": (448, 384, (3, 3), 1, (1, 1)),
        "branch3x3dbl_3a": (384, 384, (1, 3), 1, (0, 1)),
        "branch3x3dbl_3b": (384, 384, (3, 1), 1, (1, 0)),
        "branch_pool": (c_in, 192, (1, 1), 1, (0, 0))}.items()}

CLASSES = 1008


def resize(images, side=299):
    """uint8 [N,3,H,W] -> float32 [N,3,side,side] in [-1, 1): TensorFlow 1's asymmetric bilinear, (x - 128) / 128."""
    def axis(size):
        at = torch.arange(side, dtype=torch.float32) * torch.tensor(size / side, dtype=torch.float32)
        low = at.long()
        return low, torch.clamp(low + 1, max=size - 1), at - low
    x = images.float()
    top, bottom, down = axis(x.shape[2])
    left, right, across = axis(x.shape[3])
    x = x[:, :, :, left] + (x[:, :, :, right] - x[:, :, :, left]) * across
    x = x[:, :, top] + (x[:, :, bottom] - x[:, :, top]) * down[:, None]
    return (x - 128) / 128


class Inception(nn.Module):
    """weights: "<layer>.conv.weight|bias", "fc.weight" and perhaps "fc.bias", batch norm folded.

    Without Mixed_7* in it the network ends with Mixed_6e. logit_bias: whether fc.bias is added.
    """

    def __init__(self, weights, max_pool_in_7c=True, logit_bias=False, memory_format=torch.contiguous_format):
        super().__init__()
        self.complete = "Mixed_7c.branch_pool.conv.weight" in weights
        self.max_pool_in_7c, self.logit_bias = max_pool_in_7c, logit_bias
        self.layers = {}
        for layer, (_, _, _, stride, padding) in LAYERS.items():
            if f"{layer}.conv.weight" in weights:
                weight = weights[f"{layer}.conv.weight"].contiguous(memory_format=memory_format)
                self.layers[layer] = weight, weights[f"{layer}.conv.bias"], stride, padding
        self.fc = weights.get("fc.weight"), weights.get("fc.bias")

    def conv(self, layer, x):
        weight, bias, stride, padding = self.layers[layer]
        return F.relu_(F.conv2d(x, weight, bias, stride, padding))

    def chain(self, block, names, x):
        for name in names:
            x = self.conv(f"{block}.{name}", x)
        return x

    def mean(self, x):
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

    def a(self, block, x):
        return torch.cat([self.chain(block, ["branch1x1"], x), self.chain(block, ["branch5x5_1", "branch5x5_2"], x),
                          self.chain(block, [f"branch3x3dbl_{i}" for i in (1, 2, 3)], x),
                          self.chain(block, ["branch_pool"], self.mean(x))], 1)

    def b(self, block, x):
        return torch.cat([self.chain(block, ["branch3x3"], x),
                          self.chain(block, [f"branch3x3dbl_{i}" for i in (1, 2, 3)], x), F.max_pool2d(x, 3, 2)], 1)

    def c(self, block, x):
        return torch.cat([self.chain(block, ["branch1x1"], x),
                          self.chain(block, [f"branch7x7_{i}" for i in (1, 2, 3)], x),
                          self.chain(block, [f"branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5)], x),
                          self.chain(block, ["branch_pool"], self.mean(x))], 1)

    def d(self, block, x):
        return torch.cat([self.chain(block, ["branch3x3_1", "branch3x3_2"], x),
                          self.chain(block, [f"branch7x7x3_{i}" for i in (1, 2, 3, 4)], x), F.max_pool2d(x, 3, 2)], 1)

    def e(self, block, x, max_pool):
        once = self.chain(block, ["branch3x3_1"], x)
        twice = self.chain(block, ["branch3x3dbl_1", "branch3x3dbl_2"], x)
        pooled = F.max_pool2d(x, 3, 1, 1) if max_pool else self.mean(x)
        return torch.cat([self.chain(block, ["branch1x1"], x),
                          self.chain(block, ["branch3x3_2a"], once), self.chain(block, ["branch3x3_2b"], once),
                          self.chain(block, ["branch3x3dbl_3a"], twice), self.chain(block, ["branch3x3dbl_3b"], twice),
                          self.chain(block, ["branch_pool"], pooled)], 1)

    def forward(self, x):
        """x [N,3,H,W] in [-1, 1) -> features by tap."""
        taps = {}
        for layer in ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"):
            x = self.conv(layer, x)
        x = F.max_pool2d(x, 3, 2)
        taps["pool64"] = x.mean((2, 3))
        x = F.max_pool2d(self.conv("Conv2d_4a_3x3", self.conv("Conv2d_3b_1x1", x)), 3, 2)
        taps["pool192"] = x.mean((2, 3))
        for block in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
            x = self.a(block, x)
        x = self.b("Mixed_6a", x)
        for block in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
            x = self.c(block, x)
        taps["pool768"] = x.mean((2, 3))
        if self.complete:
            x = self.e("Mixed_7b", self.d("Mixed_7a", x), False)
            x = self.e("Mixed_7c", x, self.max_pool_in_7c).mean((2, 3))
            taps["pool2048"] = x
            taps["logits"] = F.linear(x, self.fc[0], self.fc[1] if self.logit_bias else None)
        return taps
