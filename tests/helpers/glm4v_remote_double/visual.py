"""An image encoder with the outer interface of zai-org/glm-4v-9b's `visual.py`.

images [batch, 3, side, side] -> [batch, 1 + (side / patch / 2)^2 + 1, channels]: the first and last
vectors are learned markers, the rest the tokens in raster order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class EVA2CLIPModel(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        vision = config.vision_config
        patch, width = vision["patch_size"], vision["hidden_size"]
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.mix = nn.Conv2d(width, width, 3, padding=1)
        self.merge = nn.Conv2d(width, config.hidden_size, 2, stride=2)
        self.boi = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.eoi = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.scaling_factor = vision["scaling_factor"]

    def forward(self, images: Tensor) -> Tensor:
        grid = torch.tanh(self.mix(torch.tanh(self.patches(images))))
        tokens = self.merge(grid).flatten(2).transpose(1, 2)
        ends = [marker.expand(len(images), -1, -1) for marker in (self.boi, self.eoi)]
        marked = torch.cat((ends[0], tokens, ends[1]), dim=1)
        scaled: Tensor = marked / self.scaling_factor
        return scaled
