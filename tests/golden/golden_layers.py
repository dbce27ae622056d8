"""Golden values of single layers, forward and backward, from PyTorch in float64, in Poise's layouts.

Every input is a float64 number that float32 holds exactly, so one file serves both precisions. A case named C has the
inputs C.x, C.weight, .., the output C.y, the gradient that arrives at it C.dy, and the gradient of each input,
C.dx, C.dweight, ..
"""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import spectral_norm

rng = np.random.default_rng(20230215)


def draw(*shape, scale=1.0):
    """Normal numbers that float32 holds exactly."""
    return torch.from_numpy((scale * rng.standard_normal(shape)).astype(np.float32).astype(np.float64))


def channels_last(t):
    """NCHW -> NHWC for activations, OIHW -> OHWI for weights: the same permutation."""
    return t.permute(0, 2, 3, 1) if t.dim() == 4 else t


def record(out, name, inputs, y, dy=None):
    """inputs: name -> leaf that requires a gradient. Stores everything about one case."""
    dy = draw(*y.shape) if dy is None else dy
    grads = torch.autograd.grad(y, list(inputs.values()), dy)
    for key, leaf in inputs.items():
        out[f"{name}.{key}"] = channels_last(leaf)
    out[f"{name}.y"], out[f"{name}.dy"] = channels_last(y), channels_last(dy)
    for key, grad in zip(inputs, grads):
        out[f"{name}.d{key}"] = channels_last(grad)


def leaves(**tensors):
    return {name: t.clone().requires_grad_() for name, t in tensors.items()}


def linear_and_convolution(out):
    p = leaves(x=draw(5, 7), weight=draw(6, 7), bias=draw(6))
    record(out, "linear", p, F.linear(p["x"], p["weight"], p["bias"]))
    p = leaves(x=draw(3, 8), weight=draw(1, 8))
    record(out, "linear_no_bias", p, F.linear(p["x"], p["weight"]))

    def conv(name, x, weight, bias=True, stride=1, padding=0, upsample=1):
        p = leaves(x=draw(*x), weight=draw(*weight))
        if bias:
            p |= leaves(bias=draw(weight[0]))
        x = F.interpolate(p["x"], scale_factor=2, mode="nearest") if upsample == 2 else p["x"]
        record(out, name, p, F.conv2d(x, p["weight"], p.get("bias"), stride, padding))

    conv("conv2d_3x3", (2, 3, 6, 5), (4, 3, 3, 3), padding=1)
    conv("conv2d_3x3_wide", (2, 16, 8, 8), (32, 16, 3, 3), padding=1)
    conv("conv2d_1x1", (2, 5, 4, 6), (3, 5, 1, 1))
    conv("conv2d_1x1_no_bias", (2, 16, 4, 4), (16, 16, 1, 1), bias=False)
    conv("conv2d_stride2", (2, 3, 8, 7), (4, 3, 3, 3), stride=2, padding=1)
    conv("conv2d_rectangle", (2, 3, 7, 9), (4, 3, 1, 5), stride=(1, 2), padding=(0, 2))
    conv("conv2d_upsampled", (2, 3, 5, 4), (4, 3, 3, 3), padding=1, upsample=2)
    conv("conv2d_upsampled_wide", (2, 16, 4, 4), (16, 16, 3, 3), padding=1, upsample=2)
    conv("conv2d_upsampled_1x1", (2, 3, 4, 4), (5, 3, 1, 1), upsample=2)


def batch_norm(out):
    for name, train, relu in [("batch_norm_train", True, False), ("batch_norm_eval", False, False),
                              ("batch_norm_relu_train", True, True), ("batch_norm_relu_eval", False, True)]:
        p = leaves(x=draw(3, 6, 4, 5, scale=2) + 1, gamma=draw(6), beta=draw(6))
        mean, var = draw(6), draw(6).square().float().double() + 0.5
        out[f"{name}.running_mean"], out[f"{name}.running_var"] = mean.clone(), var.clone()
        y = F.batch_norm(p["x"], mean, var, p["gamma"], p["beta"], train, 0.1, 1e-5)
        record(out, name, p, F.relu(y) if relu else y)
        out[f"{name}.new_running_mean"], out[f"{name}.new_running_var"] = mean, var


def spectral_normalisation(out):
    """Two training passes, each with its power iteration, then one in evaluation; all three use the same weight."""
    layer = spectral_norm(nn.Conv2d(4, 6, 3, padding=1), eps=1e-12).double()
    x = torch.zeros(1, 4, 3, 3, dtype=torch.float64)

    def v_to_ours(v):
        return v.view(4, 3, 3).permute(1, 2, 0).reshape(-1)  # (in,kh,kw) -> (kh,kw,in)

    with torch.no_grad():
        layer.weight_orig.copy_(draw(6, 4, 3, 3))
        layer.weight_u.copy_(F.normalize(draw(6), dim=0).float())
        layer.weight_v.copy_(F.normalize(draw(36), dim=0).float())
    out["spectral_norm.weight"] = channels_last(layer.weight_orig)
    out["spectral_norm.u"], out["spectral_norm.v"] = layer.weight_u.clone(), v_to_ours(layer.weight_v).clone()
    dy = draw(6, 4, 3, 3)
    out["spectral_norm.dy"] = channels_last(dy)
    total = 0
    for i, train in enumerate([True, True, False], start=1):
        layer.train(train)
        layer(x)
        grad, = torch.autograd.grad(layer.weight, layer.weight_orig, dy)
        total = total + grad
        w = layer.weight_orig.reshape(6, -1)
        out[f"spectral_norm.y{i}"], out[f"spectral_norm.dweight{i}"] = channels_last(layer.weight), channels_last(grad)
        out[f"spectral_norm.sigma{i}"] = (layer.weight_u @ w @ layer.weight_v).reshape(1)
        out[f"spectral_norm.u{i}"] = layer.weight_u.clone()
        out[f"spectral_norm.v{i}"] = v_to_ours(layer.weight_v).clone()
    out["spectral_norm.dweight"] = channels_last(total)


def space_and_elements(out):
    for name, shape, op in [
            ("upsample_nearest_2x", (2, 3, 4, 5), lambda x: F.interpolate(x, scale_factor=2, mode="nearest")),
            ("avg_pool_2x2", (2, 3, 6, 4), lambda x: F.avg_pool2d(x, 2)),
            ("sum_space", (2, 5, 3, 4), lambda x: x.sum(dim=(2, 3))),
            ("mean_space", (2, 5, 3, 4), lambda x: x.mean(dim=(2, 3))),
            ("relu", (2, 5, 3, 4), F.relu),
            ("leaky_relu", (2, 5, 3, 4), lambda x: F.leaky_relu(x, 0.25)),
            ("tanh", (2, 5, 3, 4), torch.tanh)]:
        p = leaves(x=draw(*shape))
        record(out, name, p, op(p["x"]))
    p = leaves(a=draw(2, 5, 3, 4), b=draw(2, 5, 3, 4))
    record(out, "add", p, p["a"] + p["b"])
    p = leaves(a=draw(2, 5, 3, 4), b=draw(3, 5, 3, 4))
    record(out, "concat_batch", p, torch.cat([p["a"], p["b"]]))


def gan_losses(out):
    """D sees 5 real and 7 fake images; the losses are means over each, whatever their numbers."""
    softplus = F.softplus
    d_losses = {"hinge": lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean(),
                "bce": lambda r, f: softplus(-r).mean() + softplus(f).mean(),
                "wasserstein": lambda r, f: f.mean() - r.mean()}
    g_losses = {"hinge": lambda f: -f.mean(), "bce": lambda f: softplus(-f).mean(), "wasserstein": lambda f: -f.mean()}
    for name in d_losses:
        p = leaves(logits=draw(12, 1, scale=2))
        record(out, f"gan_loss_d_{name}", p, d_losses[name](p["logits"][:5], p["logits"][5:]).reshape(1))
        out[f"gan_loss_d_{name}.means"] = torch.stack([p["logits"][:5].mean(), p["logits"][5:].mean()])
        p = leaves(logits=draw(12, 1, scale=2))
        record(out, f"gan_loss_g_{name}", p, g_losses[name](p["logits"]).reshape(1))


def adam(out):
    """Five steps with the moving average behind each."""
    for name, betas in [("adam_0_0.9", (0.0, 0.9)), ("adam_0.5_0.999", (0.5, 0.999))]:
        value, grad = draw(40), draw(5, 40, scale=1e-3)
        grad[:, :4] = 0  # parameters without a gradient stay
        grad[:, 4:8] *= 2.0 ** -20  # near eps, where its place in the formula shows
        p = value.clone().requires_grad_()
        ema = value.clone()
        optimizer = torch.optim.Adam([p], lr=1e-2, betas=betas, eps=1e-8)
        for g in grad:
            p.grad = g.clone()
            optimizer.step()
            ema.mul_(0.9).add_(p.detach(), alpha=0.1)
        state = optimizer.state[p]
        out |= {f"{name}.value": value, f"{name}.grad": grad, f"{name}.new_value": p, f"{name}.new_ema": ema,
                f"{name}.new_m": state["exp_avg"], f"{name}.new_v": state["exp_avg_sq"]}


def narrowest(a):
    """float32 where that loses nothing."""
    narrow = a.astype(np.float32)
    return narrow if (narrow == a).all() else a


def layers():
    out = {}
    for part in (linear_and_convolution, batch_norm, spectral_normalisation, space_and_elements, gan_losses, adam):
        part(out)
    return {name: narrowest(t.detach().contiguous().numpy()) for name, t in out.items()}
