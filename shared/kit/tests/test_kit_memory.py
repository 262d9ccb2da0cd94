"""What is freed is used again, and not zeroed by the kernel each time."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from nearfar_kit.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()

def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

np.ones(2**23)
before = page_faults()
for _ in range(10):
    np.ones(2**23)  # 64 MiB
print(page_faults() - before)
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone is told")
def test_large_blocks_are_used_again():
    assert faults("kept") < 0.1 * faults("as it is")
