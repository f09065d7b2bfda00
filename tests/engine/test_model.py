"""The decoder's logits, where greedy tokens alone would not tell."""

from pathlib import Path

import torch
import transformers
from torch import Tensor

from engine import batch
from engine.config import ModelShape, SchedulerConfig
from engine.model import Decoder
from engine.request import Request, SamplingParams
from engine.scheduler import Scheduler
from engine.weights import load_weights
from kernels import reference
from tests.engine.conftest import save_checkpoint
from tests.engine.test_equality import random_prompts


def last_logits(folder: Path, prompts: list[list[int]], dtype: torch.dtype) -> Tensor:
    """Logits `[prompts, V]` after each prompt, computed in one step."""
    shape = ModelShape.from_folder(folder)
    limits = SchedulerConfig(block_size=8, num_blocks=40, max_model_len=shape.max_position)
    scheduler = Scheduler(limits)
    for number, prompt in enumerate(prompts):
        scheduler.submit(Request(number, prompt, SamplingParams()))
    laid_out = batch.build(scheduler.plan(), limits, shape, dtype)
    caches = torch.zeros(shape.layers, 2, limits.num_blocks, shape.kv_heads, limits.block_size, shape.head_dim).to(
        dtype
    )
    with torch.inference_mode():
        decoder = Decoder(shape, load_weights(folder, shape, dtype, dummy=False))
        return decoder.logits(decoder(laid_out, caches)[laid_out.sampled])


def test_logits_equal_transformers(checkpoint: Path) -> None:
    """Caps and scales of logits change no greedy token, but they change every probability."""
    prompts = random_prompts(320)
    oracle = transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    with torch.inference_mode():
        expected = torch.cat([oracle(torch.tensor([prompt])).logits[:, -1] for prompt in prompts])
    torch.testing.assert_close(last_logits(checkpoint, prompts, torch.float32), expected, rtol=1e-4, atol=1e-3)


def test_gemma_keeps_the_precision_of_its_norms_in_bfloat16(tmp_path: Path) -> None:
    """Weights are stored as w - 1: adding 1 in bfloat16 would lose all that is below 1/256."""
    folder = save_checkpoint("gemma2", tmp_path)
    shape = ModelShape.from_folder(folder)
    weights = load_weights(folder, shape, torch.bfloat16, dummy=False)
    assert weights.norm.dtype == torch.float32
    x = torch.randn(5, shape.hidden, generator=torch.Generator().manual_seed(0)).bfloat16()
    normed = reference.rms_norm(x, weights.norm, shape.rms_eps)
    wide = reference.rms_norm(x.double(), weights.norm.double(), shape.rms_eps)
    assert torch.equal(normed, wide.bfloat16())
