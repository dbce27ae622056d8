"""Golden values of three training iterations of SNGAN-32 at reduced width, from PyTorch in float64.

The start is the state of a run under way, not of a fresh one: Adam's second moment is above zero and its clock stands
at 3. From v = 0 the comparison would be ill-conditioned, whatever computes it: Adam's first step is lr * sign(g), and
the nine biases of G in front of a batch norm have gradient zero but for rounding, so their steps are the sign of
noise (PyTorch in float32 against PyTorch in float64: 0.08 apart after three iterations; from this start 4e-6).
A fresh start of Adam is a case of the layer file.

Initial values are float64 numbers that float32 holds exactly; pictures are bytes b that stand for b / 128 - 1, exact as
well. So a float32 and a float64 run start from the same state.
"""
import os
import sys

import numpy as np
import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench", "peers"))
from sngan32_pytorch import Discriminator, Generator, Trainer  # noqa: E402

WIDTH_G, WIDTH_D, LATENT = 16, 16, 16
BATCH_D, BATCH_G, N_CRITIC, ITERATIONS = 4, 6, 2, 3
LR_G, LR_D, EMA_DECAY = 2e-3, 4e-4, 0.9  # two learning rates and a short memory, so that a mix-up shows
ADAM_STEPS_TAKEN = 3
SEED = 7


def exact(a):
    """Rounded to float32, held in float64."""
    return torch.from_numpy(np.asarray(a, dtype=np.float32).astype(np.float64))


def initialise(net, rng):
    """PyTorch's uniform(+-1/sqrt(fan_in)), from numpy so that the numbers do not depend on PyTorch's version.

    Batch norm starts away from the identity, and u, v after a few power iterations, where a run soon is.
    """
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.copy_(exact(1 + 0.2 * rng.standard_normal(module.weight.shape)))
            module.bias.copy_(exact(0.2 * rng.standard_normal(module.bias.shape)))
            module.running_mean.copy_(exact(0.2 * rng.standard_normal(module.bias.shape)))
            module.running_var.copy_(exact(rng.uniform(0.5, 1.5, module.bias.shape)))
        elif isinstance(module, (nn.Linear, nn.Conv2d)):
            weight = getattr(module, "weight_orig", None)
            spectral = weight is not None
            weight = weight if spectral else module.weight
            bound = 1 / np.sqrt(weight[0].numel())
            weight.copy_(exact(rng.uniform(-bound, bound, weight.shape)))
            if module.bias is not None:
                module.bias.copy_(exact(rng.uniform(-bound, bound, module.bias.shape)))
            if spectral:
                w = weight.reshape(len(weight), -1)
                u = torch.from_numpy(rng.standard_normal(len(w)))
                for _ in range(3):
                    v = w.t() @ u
                    v = v / v.norm()
                    u = w @ v
                    u = u / u.norm()
                module.weight_u.copy_(u.float())
                module.weight_v.copy_(v.float())


def our_view(net, net_name, tensor_of=None):
    """name -> tensor in Poise's names and layouts. Without `tensor_of` the state (parameters and buffers); with it, one
    tensor per parameter: tensor_of(index of the parameter in net.parameters(), parameter)."""
    out = {}
    of_parameter = {id(p): i for i, p in enumerate(net.parameters())}
    for path, module in net.named_modules():
        batch_norm = isinstance(module, nn.BatchNorm2d)
        for key, p in module.named_parameters(recurse=False):
            key = {"weight": "gamma", "bias": "beta"}[key] if batch_norm else key.removesuffix("_orig")
            t = tensor_of(of_parameter[id(p)], p) if tensor_of else p
            out[f"{net_name}.{path}.{key}"] = t.permute(0, 2, 3, 1) if t.dim() == 4 else t  # OIHW -> OHWI
        for key, b in module.named_buffers(recurse=False):
            if tensor_of or key == "num_batches_tracked":
                continue
            if key == "weight_v" and module.weight_orig.dim() == 4:
                b = b.view(module.weight_orig.shape[1:]).permute(1, 2, 0).reshape(-1)  # (in,kh,kw) -> (kh,kw,in)
            out[f"{net_name}.{path}.{key.removeprefix('weight_')}"] = b
    return out


def start(rng):
    g, d = Generator(WIDTH_G, LATENT).double(), Discriminator(WIDTH_D).double()
    with torch.no_grad():
        initialise(g, rng)
        initialise(d, rng)
    trainer = Trainer(g, d, LR_G, LR_D, ema=EMA_DECAY)
    for net, optimizer in ((g, trainer.opt_g), (d, trainer.opt_d)):
        for p in net.parameters():
            optimizer.state[p] = {"step": torch.tensor(float(ADAM_STEPS_TAKEN)), "exp_avg": torch.zeros_like(p),
                                  "exp_avg_sq": exact(0.01 * rng.uniform(0.5, 1.5, p.shape))}
    trainer.ema = [exact(e + 0.01 * rng.standard_normal(e.shape)) for e in trainer.ema]
    return trainer


def state_of(trainer):
    def moment(optimizer):
        return lambda _, p: optimizer.state[p]["exp_avg_sq"]
    out = our_view(trainer.g, "G") | our_view(trainer.d, "D")
    out |= our_view(trainer.g, "G.ema", lambda i, _: trainer.ema[i])
    out |= our_view(trainer.g, "G.adam_v", moment(trainer.opt_g))
    out |= our_view(trainer.d, "D.adam_v", moment(trainer.opt_d))
    return {name: t.detach().clone().contiguous() for name, t in out.items()}


def draw_pictures(rng):
    """A bright smooth blob on noise, [B,H,W,C] bytes."""
    side = np.arange(32) / 31
    height, width = rng.uniform(0.2, 0.8, (2, BATCH_D, 1, 1, 1))
    bump = np.exp(-8 * ((side[:, None, None] - height) ** 2 + (side[None, :, None] - width) ** 2))
    color = rng.uniform(-1, 1, (BATCH_D, 1, 1, 3))
    return np.clip(128 + 100 * bump * color + 20 * rng.standard_normal((BATCH_D, 32, 32, 3)), 0, 255).astype(np.uint8)


def check_hinge(logits):
    """The file is of use only if both branches of the hinge were taken for real and for fake, and none by a hair."""
    real, fake = (torch.cat(parts) for parts in zip(*(t.flatten().split(BATCH_D) for t in logits)))
    assert (real > 1).any() and (real < 1).any() and (fake < -1).any() and (fake > -1).any(), "choose another SEED"
    assert min((real - 1).abs().min(), (fake + 1).abs().min()) > 0.01, "choose another SEED"


def sngan32():
    """Returns (start, end): the state and everything drawn; the state and the losses after the last iteration."""
    rng = np.random.default_rng(SEED)
    trainer = start(rng)
    before = {name: t.numpy().astype(np.float32) for name, t in state_of(trainer).items()}
    after, logits = {}, []
    watch = trainer.d.register_forward_hook(lambda module, inputs, output: logits.append(output.detach()))
    for i in range(ITERATIONS):
        for k in range(N_CRITIC):
            pictures, z = draw_pictures(rng), exact(rng.standard_normal((BATCH_D, LATENT)))
            before[f"real.{i}.{k}"], before[f"z_d.{i}.{k}"] = pictures, z.numpy().astype(np.float32)
            real = torch.from_numpy(pictures / 128.0 - 1).permute(0, 3, 1, 2).contiguous()
            loss, mean_real, mean_fake = trainer.d_step(real, z)
            after[f"loss_d.{i}.{k}"] = loss.reshape(1).numpy()
            after[f"means_d.{i}.{k}"] = torch.stack([mean_real, mean_fake]).numpy()
        z = exact(rng.standard_normal((BATCH_G, LATENT)))
        before[f"z_g.{i}"] = z.numpy().astype(np.float32)
        after[f"loss_g.{i}"] = trainer.g_step(z).reshape(1).numpy()
    watch.remove()
    check_hinge([t for t in logits if len(t) == 2 * BATCH_D])
    after |= {name: t.numpy() for name, t in state_of(trainer).items()}
    return before, after
