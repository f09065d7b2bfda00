"""The example in docs/engine.md does what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.xdist_group("smollm2")
def test_example_of_the_engine_page(smollm2: Path) -> None:
    page = Path("docs/engine.md").read_text()
    script, printed = re.findall(r"```(?:sh|json)\n(.*?)```", page, flags=re.DOTALL)
    script = script.replace("python -m", f"{sys.executable} -m")
    done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, check=True)
    assert str(smollm2) in script
    assert done.stdout == printed
