"""SNGAN-32 (the "lottery" variant) in PyTorch: the oracle of the golden files and the peer of the benchmarks.

Same networks, same iteration as sngan32 of models/sngan: D sees real and fake as one concatenated batch, hinge loss,
Adam(beta1 = 0, beta2 = 0.9), EMA of G. Module names equal ours; layouts are PyTorch's (OIHW, ours OHWI).

ReLU and the residual sums work in place wherever PyTorch's autograd allows it: a peer should not lose to its own
temporaries.
"""
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import spectral_norm


def up(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


def relu_(x):
    return F.relu(x, inplace=True)


class GenBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(c), nn.BatchNorm2d(c)
        self.conv1, self.conv2 = nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1)
        self.shortcut = nn.Conv2d(c, c, 1)

    def forward(self, x):
        h = self.conv1(up(relu_(self.bn1(x))))
        h = self.conv2(relu_(self.bn2(h)))
        return h.add_(self.shortcut(up(x)))


class Generator(nn.Module):
    def __init__(self, width=256, latent=128, memory_format=torch.contiguous_format):
        super().__init__()
        self.width, self.memory_format = width, memory_format
        self.linear = nn.Linear(latent, width * 16)
        self.block2, self.block3, self.block4 = GenBlock(width), GenBlock(width), GenBlock(width)
        self.bn_out = nn.BatchNorm2d(width)
        self.conv_out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, z):
        # Poise keeps activations NHWC, so its linear output [N, 4*4*C] has C fastest; the view below is the same map.
        h = self.linear(z).view(-1, 4, 4, self.width).permute(0, 3, 1, 2).contiguous(memory_format=self.memory_format)
        h = self.block4(self.block3(self.block2(h)))
        return torch.tanh(self.conv_out(relu_(self.bn_out(h))))


class DisBlock(nn.Module):
    """kind: 'first' (pooled shortcut before its 1x1), 'down' (1x1 at full resolution, then pooled) or 'plain'."""

    def __init__(self, c_in, c, kind):
        super().__init__()
        self.kind = kind
        self.conv1 = spectral_norm(nn.Conv2d(c_in, c, 3, padding=1))
        self.conv2 = spectral_norm(nn.Conv2d(c, c, 3, padding=1))
        if kind != "plain":
            self.shortcut = spectral_norm(nn.Conv2d(c_in, c, 1))

    def forward(self, x):
        h = x if self.kind == "first" else F.relu(x)
        h = self.conv2(relu_(self.conv1(h)))
        if self.kind == "first":
            return F.avg_pool2d(h, 2).add_(self.shortcut(F.avg_pool2d(x, 2)))
        if self.kind == "down":
            return F.avg_pool2d(h, 2).add_(F.avg_pool2d(self.shortcut(x), 2))
        return h.add_(x)


class Discriminator(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.block1 = DisBlock(3, width, "first")
        self.block2 = DisBlock(width, width, "down")
        self.block3, self.block4 = DisBlock(width, width, "plain"), DisBlock(width, width, "plain")
        self.linear = spectral_norm(nn.Linear(width, 1, bias=False))

    def forward(self, x):
        h = self.block4(self.block3(self.block2(self.block1(x))))
        return self.linear(relu_(h).sum(dim=(2, 3)))


class Trainer:
    """The training iteration: n_critic D steps, one G step, EMA."""

    def __init__(self, g, d, lr_g=2e-4, lr_d=2e-4, betas=(0.0, 0.9), eps=1e-8, ema=0.999):
        self.g, self.d, self.ema_decay = g, d, ema
        self.opt_g = torch.optim.Adam(g.parameters(), lr_g, betas, eps)
        self.opt_d = torch.optim.Adam(d.parameters(), lr_d, betas, eps)
        self.ema = [p.detach().clone() for p in g.parameters()]

    def d_step(self, real, z):
        with torch.no_grad():
            fake = self.g(z)
        self.opt_d.zero_grad(set_to_none=True)
        logits = self.d(torch.cat([real, fake]))
        r, f = logits[:real.shape[0]], logits[real.shape[0]:]
        loss = F.relu(1 - r).mean() + F.relu(1 + f).mean()
        loss.backward()
        self.opt_d.step()
        return loss.detach(), r.detach().mean(), f.detach().mean()

    def g_step(self, z):
        for p in self.d.parameters():
            p.requires_grad_(False)
        self.opt_g.zero_grad(set_to_none=True)
        loss = -self.d(self.g(z)).mean()
        loss.backward()
        self.opt_g.step()
        for p in self.d.parameters():
            p.requires_grad_(True)
        with torch.no_grad():
            for e, p in zip(self.ema, self.g.parameters()):
                e.mul_(self.ema_decay).add_(p, alpha=1 - self.ema_decay)
        return loss.detach()
