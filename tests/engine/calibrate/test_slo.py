"""The SLO as given on the command line."""

import pytest

from engine.calibrate.slo import PRESETS, Slo, slo_parse
from engine.errors import InputError


def test_limits_and_presets() -> None:
    assert slo_parse("ttft_p95_ms=1000,tpot_p95_ms=50") == Slo(1000, 50)
    assert slo_parse("tpot_p95_ms=62.5, ttft_p95_ms=800") == Slo(800, 62.5)
    assert slo_parse("chat") == Slo(200, 50, preset="chat")
    assert all(slo_parse(name).preset == name for name in PRESETS)


@pytest.mark.parametrize(
    ("text", "named", "right"),
    [
        ("fast", "'fast'", "chat"),
        ("ttft_p95_ms=1000", "tpot_p95_ms", "both"),
        ("ttft_p95_ms=soon,tpot_p95_ms=50", "'soon'", "number of milliseconds"),
        ("ttft_p95_ms=0,tpot_p95_ms=50", "ttft_p95_ms is 0", "above 0"),
        ("ttft_p95_ms=1000,tpot_p95_ms=nan", "tpot_p95_ms is nan", "above 0"),
        ("ttft_p95_ms=1,ttft_p95_ms=2", "ttft_p95_ms", "tpot_p95_ms"),
        ("", "''", "tpot_p95_ms=50"),
    ],
)
def test_refusals_name_the_part_and_what_is_right(text: str, named: str, right: str) -> None:
    with pytest.raises(InputError) as refusal:
        slo_parse(text)
    assert named in str(refusal.value)
    assert right in str(refusal.value)
    assert "\n" not in str(refusal.value)
