"""The same random tensors each time, so that two of half precision never tie by chance."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
