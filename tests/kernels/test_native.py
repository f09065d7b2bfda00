"""The operations compiled for this CPU, against the reference."""

import math
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kernels import reference
from kernels.native import build, matmul
from kernels.native import operations as native

DTYPES = [torch.float32, torch.bfloat16]
SIZE = 16


@pytest.fixture(autouse=True)
def compiled() -> None:
    try:
        build.library()
    except build.Unavailable as reason:
        pytest.fail(str(reason)) if os.environ.get("CI") else pytest.skip(str(reason))


def close(got: Tensor, want: Tensor) -> None:
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 2e-2}[want.dtype]
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance, equal_nan=True)


def of_weights(dtype: torch.dtype) -> set[torch.dtype]:
    """Norm weights are of the numbers' own type, or float32 where the scale must not be rounded."""
    return {dtype, torch.float32}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rows", [1, 7, 200])
def test_rms_norm_and_residual(dtype: torch.dtype, rows: int) -> None:
    x, residual = (torch.randn(rows, 575).to(dtype) for _ in range(2))
    for weight in (torch.randn(575).to(of) for of in of_weights(dtype)):
        close(native.rms_norm(x, weight, 1e-5), reference.rms_norm(x, weight, 1e-5))
        changed, wanted = residual.clone(), residual.clone()
        close(native.add_rms_norm(x, changed, weight, 1e-5), reference.add_rms_norm(x, wanted, weight, 1e-5))
        assert torch.equal(changed, wanted)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gated_activations_at_any_size_of_number(dtype: torch.dtype) -> None:
    packed = (torch.randn(3, 2 * 1030) * torch.tensor([1.0, 8.0, 1e4])[:, None]).to(dtype)
    close(native.silu_mul(packed), reference.silu_mul(packed.clone()))
    close(native.gelu_tanh_mul(packed), reference.gelu_tanh_mul(packed.clone()))


def test_gelu_keeps_its_digits_where_it_is_small() -> None:
    gate = torch.linspace(-5, 5, 1001)
    wanted = torch.nn.functional.gelu(gate.double(), approximate="tanh").float()
    got = native.gelu_tanh_mul(torch.stack([gate, torch.ones_like(gate)], dim=-1))[:, 0]
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("heads", "kv_heads", "dim", "turned"), [(9, 3, 64, 64), (4, 2, 128, 96), (16, 1, 256, 256)])
def test_rope_and_kv_write(heads: int, kv_heads: int, dim: int, turned: int, dtype: torch.dtype) -> None:
    qkv = torch.randn(5, heads + 2 * kv_heads, dim).to(dtype)
    angles = torch.randn(5, 1, turned // 2)
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    slots = torch.tensor([SIZE + 3, 2 * SIZE, 3 * SIZE - 1, 3 * SIZE, 0])
    norms = [(torch.randn(dim).to(of), torch.randn(dim).to(of), 1e-6) for of in of_weights(dtype)]
    for norm in [None, *norms]:
        cache = torch.full((2, kv_heads, 4, SIZE, dim), math.nan).to(dtype).transpose(1, 2)
        wanted = cache.clone()
        close(
            native.rope_and_write_kv(qkv.clone(), cos, sin, cache, slots, norm),
            reference.rope_and_write_kv(qkv.clone(), cos, sin, wanted, slots, norm),
        )
        close(cache, wanted)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("cap", [None, 5.0])
@pytest.mark.parametrize("window", [None, 1, 20])
@pytest.mark.parametrize(
    ("heads", "kv_heads", "dim", "size"),
    [(9, 3, 64, SIZE), (4, 4, 128, SIZE), (5, 1, 80, SIZE), (16, 1, 256, SIZE), (2, 1, 24, 5), (3, 1, 64, 40)],
)
def test_decode_attention(
    heads: int, kv_heads: int, dim: int, size: int, window: int | None, cap: float | None, dtype: torch.dtype
) -> None:
    """What no token has been written to is NaN: slots past each length, and the block that pads the tables."""
    lengths = torch.tensor([1, size - 1, size, size + 1, 3 * size + 2, 4 * size])
    tables = torch.randperm(24).view(6, 4) + 1
    cache = torch.full((2, kv_heads, 25, size, dim), math.nan).to(dtype).transpose(1, 2)
    for table, length in zip(tables, lengths.tolist(), strict=True):
        for place in range(length):
            cache[:, table[place // size], :, place % size] = torch.randn(2, kv_heads, dim).to(dtype)
    padded = torch.where(torch.arange(4) * size < lengths[:, None], tables, 0).int()
    queries = torch.randn(7, heads, dim).to(dtype)
    got = torch.full_like(queries, 3.0)
    native.decode_attention(queries, cache, padded, lengths, window, dim**-0.5, got, cap)
    assert torch.equal(got[6], torch.full_like(got[6], 3.0)), "the last row is not a decode"
    group = reference.decode_group(0, tables, lengths, size, window, dtype)
    wanted = torch.empty_like(queries)
    reference.decode_attention(queries, cache.nan_to_num(), [group], dim**-0.5, wanted, cap)
    close(got[:6], wanted[:6])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("cap", [None, 5.0])
@pytest.mark.parametrize("window", [None, 1, 20])
@pytest.mark.parametrize(
    ("heads", "kv_heads", "dim"), [(9, 3, 64), (4, 4, 128), (3, 1, 80), (16, 1, 256), (2, 1, 24), (128, 1, 32)]
)
def test_prefill_attention(
    heads: int, kv_heads: int, dim: int, window: int | None, cap: float | None, dtype: torch.dtype
) -> None:
    """Chunks of one token and of several tiles, at the beginning and behind a prefix; what was not written is NaN."""
    starts, counts, blocks = [0, 0, 37, SIZE, 130], [1, 70, 40, 1, 9], 9
    tables = torch.randperm(5 * blocks).view(5, blocks) + 1
    cache = torch.full((2, kv_heads, 5 * blocks + 1, SIZE, dim), math.nan).to(dtype).transpose(1, 2)
    chunks, prepared, first = [], [], 1
    for table, start, count in zip(tables, starts, counts, strict=True):
        for place in range(start + count):
            cache[:, table[place // SIZE], :, place % SIZE] = torch.randn(2, kv_heads, dim).to(dtype)
        chunks.append((first, start, count))
        prepared.append(reference.prompt_chunk(first, table, start, count, window, dtype))
        first += count
    queries = torch.randn(first, heads, dim).to(dtype)
    got = torch.full_like(queries, 3.0)
    native.prefill_attention(queries, cache, tables.int(), torch.tensor(chunks), window, dim**-0.5, got, cap)
    assert torch.equal(got[0], torch.full_like(got[0], 3.0)), "the first row is a decode"
    wanted = torch.empty_like(queries)
    reference.prefill_attention(queries, cache.nan_to_num(), prepared, dim**-0.5, wanted, cap)
    close(got[1:], wanted[1:])


@pytest.mark.parametrize("rows", [0, 1, 13, 16, 17, 31, 32, 70])
@pytest.mark.parametrize(("outputs", "inputs"), [(32, 32), (960, 576), (49, 96)])
@pytest.mark.parametrize("biased", [False, True])
def test_matrix_products(rows: int, outputs: int, inputs: int, biased: bool) -> None:
    if not matmul.packable(inputs):
        pytest.skip("this CPU has neither AMX nor AVX-512 for it")
    x = torch.randn(rows, inputs).bfloat16()
    bias = torch.randn(outputs) if biased else None
    weight = torch.randn(outputs, inputs).bfloat16()
    wanted = torch.nn.functional.linear(x.float(), weight.float(), bias).bfloat16()
    packed = matmul.pack(weight)
    got = matmul.linear(x, packed, bias)
    close(got, wanted)
    for row in range(rows):
        assert torch.equal(matmul.linear(x[row : row + 1], packed, bias)[0], got[row])


@pytest.mark.parametrize("rows", [1, 16, 17, 70])
@pytest.mark.parametrize(("outputs", "inputs"), [(32, 64), (960, 576), (49, 96)])
@pytest.mark.parametrize("biased", [False, True])
def test_integer_products(rows: int, outputs: int, inputs: int, biased: bool) -> None:
    """Right to a last bit of bfloat16 and what float sums lose; the same for a row whatever is multiplied with it."""
    if not matmul.packable(inputs):
        pytest.skip("this CPU has neither AMX nor AVX-512 for it")
    x = torch.randn(rows, inputs).bfloat16()
    x[0, 0], x[-1] = 900.0, x[-1] * 1e-6
    weight, scales = torch.randint(-127, 128, (outputs, inputs), dtype=torch.int8), torch.rand(outputs) / 127
    bias = torch.randn(outputs) if biased else None
    exact = torch.nn.functional.linear(x.double(), weight.double() * scales.double()[:, None])
    exact = exact if bias is None else exact + bias
    packed = matmul.pack(weight, scales)
    got = matmul.linear(x, packed, bias)
    lost = x.abs().double() @ (weight.abs() * scales[:, None]).double().T * 2**-20
    assert ((got.double() - exact).abs() <= exact.abs() * 2**-8 + lost).all()
    for row in range(rows):
        assert torch.equal(matmul.linear(x[row : row + 1], packed, bias)[0], got[row])


def test_inputs_that_fill_no_tile_are_not_packable() -> None:
    assert not matmul.packable(40)


def test_a_compiler_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "false")
    build.library.cache_clear()
    with pytest.raises(build.Unavailable, match=r"false could not compile the operations"):
        build.library()
    build.library.cache_clear()
    assert not list((tmp_path / "costadvisor").iterdir()), "nothing half-done stays"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CXX", "no-such-compiler -O1", r"No such file or directory: 'no-such-compiler -O1'"),
        ("XDG_CACHE_HOME", "/" + 300 * "x", r"File name too long"),
    ],
)
def test_what_the_system_refuses_is_named(name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    build.library.cache_clear()
    with pytest.raises(build.Unavailable, match=words):
        build.library()


def test_machines_that_share_a_home_share_what_is_compiled_only_if_their_cpus_are_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    different = [
        "flags\t\t: sse2 avx2\n",
        "flags\t\t: sse2 avx2 avx512f\n",
        "Features\t: fp asimd\nCPU part\t: 0xd0c\n",
        "Features\t: fp asimd sve\nCPU part\t: 0xd0c\n",
        "Features\t: fp asimd\nCPU part\t: 0xd40\n",
    ]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "CPU", tmp_path / "cpuinfo")
    monkeypatch.setattr(
        build, "_compile", lambda compiler, built: (built.parent.mkdir(exist_ok=True, parents=True), built.touch())
    )
    for megahertz in (2000, 3000):
        for cpu in different:
            build.CPU.write_text(2 * f"{cpu}cpu MHz\t\t: {megahertz}\n\n")
            build.library.cache_clear()
            with pytest.raises(build.Unavailable, match="file too short"):
                build.library()
    assert len(list((tmp_path / "cache" / "costadvisor").iterdir())) == len(different)


def test_a_library_that_does_not_load_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "_compile", lambda compiler, built: (built.parent.mkdir(), built.touch()))
    build.library.cache_clear()
    with pytest.raises(build.Unavailable, match=r"can't be compiled and loaded: .*file too short"):
        build.library()
    build.library.cache_clear()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_integer_products_of_what_is_not_finite_are_not(value: float) -> None:
    if not matmul.packable(64):
        pytest.skip("this CPU has neither AMX nor AVX-512 for it")
    x = torch.randn(3, 128).bfloat16()
    x[1, 70] = value
    out = matmul.linear(x, matmul.pack(torch.ones(40, 128, dtype=torch.int8), torch.ones(40)), None)
    assert not out[1].isfinite().any()
    assert out[[0, 2]].isfinite().all()
