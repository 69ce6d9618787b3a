"""Networks: layers of real channels-last tensors, without physics.

Importing this package makes every layer known to Keras, so that saved models load.
"""

from tfrecon.nets.attention import CrossAttention, TokenAttention
from tfrecon.nets.equalized import EqualizedConv2D, EqualizedDense
from tfrecon.nets.modulated import ModulatedConv2D, StyledLayer

__all__ = [
    "CrossAttention",
    "EqualizedConv2D",
    "EqualizedDense",
    "ModulatedConv2D",
    "StyledLayer",
    "TokenAttention",
]
