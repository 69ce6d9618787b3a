"""Networks: layers of real channels-last tensors, without physics.

Importing this package makes every layer known to Keras, so that saved models load.
"""

from tfrecon.nets.attention import CrossAttention, TokenAttention
from tfrecon.nets.autoencoder import KLAutoencoder
from tfrecon.nets.ddpm_unet import DDPM
from tfrecon.nets.embeddings import FourierFeatures, TimeEmbedding
from tfrecon.nets.equalized import EqualizedConv2D, EqualizedDense
from tfrecon.nets.improved_unet import ImprovedUNet
from tfrecon.nets.modulated import ModulatedConv2D, StyledLayer
from tfrecon.nets.ncsnpp import NCSNpp
from tfrecon.nets.normalization import GroupNorm
from tfrecon.nets.resampling import StridedConv2D
from tfrecon.nets.residual import PixelAttention, ResidualBlock

__all__ = [
    "DDPM",
    "CrossAttention",
    "EqualizedConv2D",
    "EqualizedDense",
    "FourierFeatures",
    "GroupNorm",
    "ImprovedUNet",
    "KLAutoencoder",
    "ModulatedConv2D",
    "NCSNpp",
    "PixelAttention",
    "ResidualBlock",
    "StridedConv2D",
    "StyledLayer",
    "TimeEmbedding",
    "TokenAttention",
]
