"""Fold batch norms into the convolutions before them: the same function of the picture in fewer passes."""

from __future__ import annotations

import itertools

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from fomaug.networks.blocks import ResBlock, SameBlock

_PAIRS: dict[type[nn.Module], tuple[str, str]] = {SameBlock: ("conv", "norm"), ResBlock: ("conv1", "norm2")}


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Fold in place, and return the network. It is for evaluation only from then on.

    Args:
        network: any network of this package, in evaluation mode.
    """
    for module in network.modules():
        for kind, (convolution, norm) in _PAIRS.items():
            if isinstance(module, kind):
                _fold(module, convolution, norm)
        if isinstance(module, nn.Sequential):
            _fold_sequence(module)
    return network


def _fold_sequence(module: nn.Sequential) -> None:
    names = list(module._modules)
    for before, after in itertools.pairwise(names):
        if isinstance(module._modules[before], nn.Conv2d) and isinstance(module._modules[after], nn.BatchNorm2d):
            _fold(module, before, after)


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    conv, batch_norm = module.get_submodule(convolution), module.get_submodule(norm)
    if isinstance(conv, nn.Conv2d) and isinstance(batch_norm, nn.BatchNorm2d):
        assert not batch_norm.training, "a batch norm that still learns cannot be folded"
        mean, variance = batch_norm.running_mean, batch_norm.running_var
        assert mean is not None and variance is not None
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, mean, variance, batch_norm.eps, batch_norm.weight, batch_norm.bias
        )
        setattr(module, norm, nn.Identity())
