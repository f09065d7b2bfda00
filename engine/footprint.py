"""What a model takes in memory, in bytes. Torch-free."""

from engine.config import ModelShape


def weight_bytes(shape: ModelShape, value_bytes: int, quantization: str) -> int:
    """What weight matrices take on a GPU. A tied head is the embedding itself, or a quantized copy of it; CPUs copy it
    always (`engine.quantization.weight_bytes`)."""
    if quantization == "none":
        return shape.weight_values * value_bytes
    embedding = shape.vocab * shape.hidden
    return embedding * value_bytes + shape.weight_values - (0 if shape.tied else embedding)


def copied_bytes(shape: ModelShape, value_bytes: int, ranks: int) -> int:
    """What `ranks` processes take beyond one: each has the whole embedding."""
    return (ranks - 1) * shape.vocab * shape.hidden * value_bytes


def kv_bytes_per_token(shape: ModelShape, value_bytes: int, ranks: int = 1) -> int:
    """Keys and values of a token over all layers and ranks; of fewer KV heads than ranks each is kept several times."""
    return shape.kv_values_per_token * max(1, ranks // shape.kv_heads) * value_bytes


def read_bytes(shape: ModelShape, value_bytes: int, quantization: str) -> int:
    """What a step that decodes one sequence reads of the weights: no embedding, and of the experts one token's."""
    quantized = quantization != "none"
    everything = weight_bytes(shape, value_bytes, quantization)
    embedding = 0 if shape.tied and not quantized else shape.vocab * shape.hidden * value_bytes
    idle = 0
    if shape.experts:
        others = (shape.experts.count - shape.experts.per_token) * len(shape.experts.layers)
        idle = others * 3 * shape.hidden * shape.experts.intermediate * (1 if quantized else value_bytes)
    return everything - embedding - idle
