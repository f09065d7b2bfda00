"""Without a GPU the kernels run on Triton's interpreter, which has to be asked for before they are imported."""

import os

os.environ.setdefault("TRITON_INTERPRET", "1")
