"""What lists and headings say of a record. Pure."""

from engine.calibrate.record import Record


def hardware_name(record: Record) -> str:
    """`2 × NVIDIA H100`, or the CPU's name."""
    gpus = record.hardware.gpus
    if gpus:
        return gpus[0].name if len(gpus) == 1 else f"{len(gpus)} × {gpus[0].name}"
    cpu = record.hardware.cpu
    return "unknown hardware" if cpu is None else f"{cpu.model}, {cpu.cores} cores"


def tokens_processed(record: Record) -> int:
    """Input and output tokens inside the windows of all levels; what is unknown is left out."""
    return sum((level.input_tokens or 0) + (level.output_tokens or 0) for level in record.levels)
