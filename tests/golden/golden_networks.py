"""The networks of models/ in PyTorch, for golden_models.py. Module names equal ours; only layouts differ."""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import spectral_norm


def up(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


def as_image(flat, size, channels):
    """[N, size*size*C], C fastest as in Poise, to NCHW."""
    return flat.view(-1, size, size, channels).permute(0, 3, 1, 2)


def plain(layer):
    return layer


def spectral(eps=1e-12):
    return lambda layer: spectral_norm(layer, eps=eps)


class ConditionalNorm(nn.BatchNorm2d):
    """Batch norm whose scale is 1 + gain(condition) and whose shift is bias(condition)."""

    def __init__(self, channels, eps, make_map):
        super().__init__(channels, eps=eps, affine=False)
        del self.bias  # the absent parameter, whose name the map takes
        self.gain, self.bias = make_map(channels), make_map(channels)

    def forward(self, x, condition):
        h = F.batch_norm(x, self.running_mean, self.running_var, None, None, self.training, self.momentum, self.eps)
        return (1 + self.gain(condition))[:, :, None, None] * h + self.bias(condition)[:, :, None, None]


class GenBlock(nn.Module):
    def __init__(self, c_in, c, norm=nn.BatchNorm2d, wrap=plain):
        super().__init__()
        self.bn1, self.bn2 = norm(c_in), norm(c)
        self.conv1, self.conv2 = wrap(nn.Conv2d(c_in, c, 3, padding=1)), wrap(nn.Conv2d(c, c, 3, padding=1))
        self.shortcut = wrap(nn.Conv2d(c_in, c, 1))

    def forward(self, x, *condition):
        h = self.conv1(up(F.relu(self.bn1(x, *condition))))
        h = self.conv2(F.relu(self.bn2(h, *condition)))
        return h + self.shortcut(up(x))


class DisBlock(nn.Module):
    def __init__(self, c_in, c, kind, wrap=spectral()):
        super().__init__()
        self.kind = kind
        self.conv1, self.conv2 = wrap(nn.Conv2d(c_in, c, 3, padding=1)), wrap(nn.Conv2d(c, c, 3, padding=1))
        if kind != "plain":
            self.shortcut = wrap(nn.Conv2d(c_in, c, 1))

    def forward(self, x):
        h = self.conv2(F.relu(self.conv1(x if self.kind == "first" else F.relu(x))))
        if self.kind == "first":
            return F.avg_pool2d(h, 2) + self.shortcut(F.avg_pool2d(x, 2))
        if self.kind == "down":
            return F.avg_pool2d(h, 2) + F.avg_pool2d(self.shortcut(x), 2)
        return h + (x if self.kind == "plain" else self.shortcut(x))


class SelfAttention(nn.Module):
    def __init__(self, c, wrap):
        super().__init__()
        self.theta, self.phi = wrap(nn.Conv2d(c, c // 8, 1, bias=False)), wrap(nn.Conv2d(c, c // 8, 1, bias=False))
        self.g, self.out = wrap(nn.Conv2d(c, c // 2, 1, bias=False)), wrap(nn.Conv2d(c // 2, c, 1, bias=False))
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        theta = self.theta(x).flatten(2)                 # [N, C/8, HW]
        phi = F.max_pool2d(self.phi(x), 2).flatten(2)    # [N, C/8, HW/4]
        g = F.max_pool2d(self.g(x), 2).flatten(2)        # [N, C/2, HW/4]
        weights = torch.softmax(theta.transpose(1, 2) @ phi, dim=-1)
        attended = g @ weights.transpose(1, 2)
        return x + self.gate * self.out(attended.view(len(x), -1, *x.shape[2:]))


class SnganGenerator(nn.Module):
    def __init__(self, bottom, channels, latent):
        super().__init__()
        self.bottom, self.channels = bottom, channels
        self.linear = nn.Linear(latent, bottom * bottom * channels[0])
        for i in range(1, len(channels)):
            setattr(self, f"block{i + 1}", GenBlock(channels[i - 1], channels[i]))
        self.bn_out, self.conv_out = nn.BatchNorm2d(channels[-1]), nn.Conv2d(channels[-1], 3, 3, padding=1)

    def forward(self, z, labels):
        h = as_image(self.linear(z), self.bottom, self.channels[0])
        for i in range(1, len(self.channels)):
            h = getattr(self, f"block{i + 1}")(h)
        return torch.tanh(self.conv_out(F.relu(self.bn_out(h))))


class SnganDiscriminator(nn.Module):
    """With the mean over space in front of a linear layer with bias."""

    def __init__(self, stages):
        super().__init__()
        self.count, c_in = len(stages), 3
        for i, (c, kind) in enumerate(stages):
            setattr(self, f"block{i + 1}", DisBlock(c_in, c, kind))
            c_in = c
        self.linear = spectral_norm(nn.Linear(c_in, 1))

    def forward(self, x, labels):
        for i in range(self.count):
            x = getattr(self, f"block{i + 1}")(x)
        return self.linear(F.relu(x).mean(dim=(2, 3)))


class DcganGenerator(nn.Module):
    def __init__(self, w, latent):
        super().__init__()
        self.width = w
        self.linear = nn.Linear(latent, 16 * 8 * w, bias=False)
        self.bn1, self.bn2, self.bn3, self.bn4 = (nn.BatchNorm2d(c * w) for c in (8, 4, 2, 1))
        self.conv1, self.conv2, self.conv3 = (nn.ConvTranspose2d(2 * c * w, c * w, 4, 2, 1, bias=False)
                                              for c in (4, 2, 1))
        self.conv_out = nn.Conv2d(w, 3, 3, padding=1)

    def forward(self, z, labels):
        h = F.relu(self.bn1(as_image(self.linear(z), 4, 8 * self.width)))
        h = F.relu(self.bn2(self.conv1(h)))
        h = F.relu(self.bn3(self.conv2(h)))
        h = F.relu(self.bn4(self.conv3(h)))
        return torch.tanh(self.conv_out(h))


class DcganDiscriminator(nn.Module):
    def __init__(self, w):
        super().__init__()
        plan = [(3, w, 3), (w, w, 4), (w, 2 * w, 3), (2 * w, 2 * w, 4), (2 * w, 4 * w, 3), (4 * w, 4 * w, 4),
                (4 * w, 8 * w, 3)]
        for i, (c_in, c, kernel) in enumerate(plan):
            setattr(self, f"conv{i + 1}", spectral_norm(nn.Conv2d(c_in, c, kernel, kernel - 2, 1)))
        self.linear = spectral_norm(nn.Linear(16 * 8 * w, 1))

    def forward(self, x, labels):
        for i in range(7):
            x = F.leaky_relu(getattr(self, f"conv{i + 1}")(x), float(np.float32(0.1)))
        return self.linear(x.permute(0, 2, 3, 1).flatten(1))


class BigGan32Generator(nn.Module):
    def __init__(self, w, latent, classes):
        super().__init__()
        self.width, wrap = w, spectral()

        def norm(c):
            return ConditionalNorm(c, 1e-5, lambda channels: nn.Embedding(classes, channels))

        self.linear = wrap(nn.Linear(latent, 16 * w))
        self.block1, self.block2, self.block3 = (GenBlock(w, w, norm, wrap) for _ in range(3))
        self.bn_out, self.conv_out = nn.BatchNorm2d(w), wrap(nn.Conv2d(w, 3, 3, padding=1))

    def forward(self, z, labels):
        h = as_image(self.linear(z), 4, self.width)
        for block in (self.block1, self.block2, self.block3):
            h = block(h, labels)
        return torch.tanh(self.conv_out(F.relu(self.bn_out(h))))


class ProjectionDiscriminator(nn.Module):
    def head(self, x, labels):
        h = F.relu(x).sum(dim=(2, 3))
        return self.linear(h) + (self.embedding(labels) * h).sum(dim=1, keepdim=True)


class BigGan32Discriminator(ProjectionDiscriminator):
    def __init__(self, w, classes):
        super().__init__()
        self.block1, self.block2 = DisBlock(3, w, "first"), DisBlock(w, w, "down")
        self.block3, self.block4 = DisBlock(w, w, "plain"), DisBlock(w, w, "plain")
        self.linear, self.embedding = spectral_norm(nn.Linear(w, 1)), spectral_norm(nn.Embedding(classes, w))

    def forward(self, x, labels):
        return self.head(self.block4(self.block3(self.block2(self.block1(x)))), labels)


class BigGan64Generator(nn.Module):
    def __init__(self, w, latent, classes):
        super().__init__()
        self.width, wrap = w, spectral(1e-6)

        def norm(c):
            return ConditionalNorm(c, 1e-4, lambda channels: wrap(nn.Linear(128 + latent // 5, channels, bias=False)))

        self.shared = nn.Embedding(classes, 128)
        self.linear = wrap(nn.Linear(latent // 5, 16 * 16 * w))
        self.block1, self.block2 = GenBlock(16 * w, 8 * w, norm, wrap), GenBlock(8 * w, 4 * w, norm, wrap)
        self.block3, self.block4 = GenBlock(4 * w, 2 * w, norm, wrap), GenBlock(2 * w, w, norm, wrap)
        self.attention = SelfAttention(2 * w, wrap)
        self.bn_out, self.conv_out = nn.BatchNorm2d(w, eps=1e-4), wrap(nn.Conv2d(w, 3, 3, padding=1))

    def forward(self, z, labels):
        chunks = z.chunk(5, dim=1)
        conditions = [torch.cat([self.shared(labels), chunk], dim=1) for chunk in chunks[1:]]
        h = as_image(self.linear(chunks[0]), 4, 16 * self.width)
        h = self.block1(h, conditions[0])
        h = self.block2(h, conditions[1])
        h = self.attention(self.block3(h, conditions[2]))
        h = self.block4(h, conditions[3])
        return torch.tanh(self.conv_out(F.relu(self.bn_out(h))))


class BigGan64Discriminator(ProjectionDiscriminator):
    def __init__(self, w, classes):
        super().__init__()
        wrap = spectral(1e-6)
        self.block1, self.attention = DisBlock(3, w, "first", wrap), SelfAttention(w, wrap)
        self.block2, self.block3 = DisBlock(w, 2 * w, "down", wrap), DisBlock(2 * w, 4 * w, "down", wrap)
        self.block4, self.block5 = DisBlock(4 * w, 8 * w, "down", wrap), DisBlock(8 * w, 16 * w, "wide", wrap)
        self.linear = wrap(nn.Linear(16 * w, 1))
        self.embedding = wrap(nn.Embedding(classes, 16 * w))

    def forward(self, x, labels):
        h = self.attention(self.block1(x))
        for block in (self.block2, self.block3, self.block4, self.block5):
            h = block(h)
        return self.head(h, labels)
