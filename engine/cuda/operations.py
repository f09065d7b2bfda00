"""The Triton kernels as the decoder and the sampler call them."""

from engine.operations import Operations
from kernels import mlp, moe, norm, rope, sample

TRITON = Operations(
    rms_norm=norm.rms_norm,
    add_rms_norm=norm.add_rms_norm,
    activations={"silu": mlp.silu_mul, "gelu_tanh": mlp.gelu_tanh_mul},
    route=moe.route,
    experts=moe.experts,
    rope_and_write_kv=rope.rope_and_write_kv,
    sample=sample.sample,
    logprobs=sample.logprobs,
)
