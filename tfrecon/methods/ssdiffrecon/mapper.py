"""The mapper: from time and label to the tokens that steer the denoiser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from tfrecon.methods.ssdiffrecon.model import SSDiffReconModel
from tfrecon.nets.attention import TokenAttention, rms_normalize
from tfrecon.nets.embeddings import time_features
from tfrecon.nets.equalized import EqualizedDense, child_seed, normal_initializer, uniform_initializer
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.errors import InputError
from tfrecon.util.settings import make_settings, to_dictionary

MULTIPLIER = 0.01
"""Learning-rate multiplier of the trunks' dense layers."""


@keras.saving.register_keras_serializable(package="tfrecon")
class Mapper(keras.Model):
    """Time and label to tokens `[B, depth, tokens + 1, token_width]`, float32 under any precision policy.

    The embeddings of time and label are tiled over the tokens. The local tokens go through blocks of
    self-attention and two dense layers, the global token, the last, through the dense layers alone.

    Inputs, a dictionary: "time" float32 `[B]`; "label" float32 `[B, label_width]` unless that is 0;
    "dropout_seed" `[B, 2]` where dropout is active.

    Args:
        settings: the architecture.
        seed: of the initial weights.
        **kwargs: name and the like; a dtype is ignored.
    """

    def __init__(self, settings: SSDiffReconModel, seed: int = 0, **kwargs: Any) -> None:
        kwargs.pop("dtype", None)
        super().__init__(dtype="float32", autocast=False, **kwargs)
        self.settings, self.seed = settings, seed
        self._add_tables()
        self.attentions, self.local_dense, self.global_dense = [], [], []
        width = self._input_width
        for block in range(settings.mapper_blocks):
            self.attentions.append(self._attention(block, width))
            for dense in (self.local_dense, self.global_dense):
                dense.append(self._dense(dense, width, leaky=True))
                dense.append(self._dense(dense, settings.token_width, leaky=False))
            width = settings.token_width
        for dense in (self.local_dense, self.global_dense):
            dense.append(self._dense(dense, width, leaky=True))
        self.built = True

    @property
    def _input_width(self) -> int:
        return self.settings.token_width * (2 if self.settings.label_width else 1)

    def _add_tables(self) -> None:
        settings, seed = self.settings, self.seed
        width = settings.token_width
        self.time_table = self.add_weight(
            shape=(width, width), initializer=normal_initializer(seed, "time"), name="time_table", autocast=False
        )
        if settings.label_width:
            self.label_table = self.add_weight(
                shape=(settings.label_width, width),
                initializer=normal_initializer(seed, "label"),
                name="label_table",
                autocast=False,
            )
        if settings.token_content:
            shape = (settings.tokens + 1, self._input_width)
            content = normal_initializer(seed, "content")
            self.content_table = self.add_weight(shape=shape, initializer=content, name="content_table", autocast=False)
        self.position_table = self.add_weight(
            shape=(settings.tokens, width),
            initializer=uniform_initializer(seed, "positions"),
            trainable=settings.train_positions,
            name="position_table",
            autocast=False,
        )

    def _attention(self, block: int, width: int) -> TokenAttention:
        settings = self.settings
        attention = TokenAttention(
            settings.token_width,
            epsilon=settings.epsilon,
            logit_offset=settings.logit_offset,
            dropout=settings.dropout,
            seed=child_seed(self.seed, f"attention_{block}"),
            name=f"attention_{block}",
        )
        attention.build((None, settings.tokens, width), (settings.tokens, settings.token_width))
        return attention

    def _dense(self, trunk: list[Any], width: int, leaky: bool) -> EqualizedDense:
        name = f"{'local' if trunk is self.local_dense else 'global'}_{len(trunk)}"
        dense = EqualizedDense(
            self.settings.token_width,
            multiplier=MULTIPLIER,
            leaky=leaky,
            seed=child_seed(self.seed, name),
            dtype="float32",
            name=name,
        )
        dense.build((None, width))
        return dense

    def call(self, inputs: Mapping[str, Tensor], training: bool = False) -> Tensor:
        settings = self.settings
        seeds = active_seeds(settings, inputs, training)
        embedding = self._embed(inputs)
        tokens = ops.tile(embedding[:, None], (1, settings.tokens + 1, 1))
        if settings.token_content:
            tokens = rms_normalize(tokens + self.content_table, settings.epsilon)
        local, style = tokens[:, :-1], tokens[:, -1]
        if not settings.token_content:
            local = rms_normalize(local, settings.epsilon)
        for block, attention in enumerate(self.attentions):
            block_seeds = None if seeds is None else rng.fold_in(seeds, block)
            local = attention(local, self.position_table, block_seeds)
            for dense in self.local_dense[2 * block : 2 * block + 2]:
                local = dense(local)
        local = self.local_dense[-1](local)
        for dense in self.global_dense:
            style = dense(style)
        tokens = ops.concatenate([local, style[:, None]], axis=1)
        return ops.tile(tokens[:, None], (1, settings.depth, 1, 1))

    def _embed(self, inputs: Mapping[str, Tensor]) -> Tensor:
        width = self.settings.label_width
        label = inputs.get("label")
        given = 0 if label is None else label.shape[-1]
        if given != width:
            raise InputError(
                f"labels have width {given} but the model's is {width}", fix="set config.model.label_width"
            )
        features = time_features(inputs["time"], self.settings.token_width)
        embedding = ops.matmul(features, self.time_table)
        if not width:
            return embedding
        return ops.concatenate([embedding, ops.matmul(ops.cast(label, "float32"), self.label_table)], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "settings": to_dictionary(self.settings), "seed": self.seed}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Mapper:
        """The model of a `get_config`."""
        settings = make_settings(SSDiffReconModel, config["settings"], "mapper")
        return cls(**{**config, "settings": settings})


def active_seeds(settings: SSDiffReconModel, inputs: Mapping[str, Tensor], training: bool) -> Tensor | None:
    """The seeds `[B, 2]` of this call's dropout; None where it is not active.

    Raises:
        InputError: dropout is active but there are no seeds.
    """
    if not settings.drops(training):
        return None
    if inputs.get("dropout_seed") is None:
        raise InputError("dropout is active but the inputs have no 'dropout_seed'", fix="give seeds [B, 2]")
    return inputs["dropout_seed"]
