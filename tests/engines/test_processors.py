"""The vocabulary on other processors, which this one can stand in for, and as plain NumPy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from byhand.engines.cpu import simd

TESTS = [str(Path(__file__).with_name(f"test_{name}.py")) for name in ("simd", "functions")]
ELSEWHERE = {
    "haswell": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+f16c"},
    "x86-64": {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2"},
    "plain Python": {"NUMBA_DISABLE_JIT": "1"},
}


@pytest.mark.skipif("BYHAND_TEST_INSIDE" in os.environ, reason="is one of these runs itself")
@pytest.mark.parametrize("where", ELSEWHERE)
def test_all_of_this_elsewhere(where, tmp_path):
    if where != "plain Python" and not simd.compiled.PROCESSOR.startswith("x86_64"):
        pytest.skip("is another family of processors")
    environment = os.environ | ELSEWHERE[where] | {"BYHAND_CACHE": str(tmp_path), "BYHAND_TEST_INSIDE": where}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    lanes = {"haswell": 8}.get(where, 4)
    shown = f"from byhand.engines.cpu.simd import LANES; assert LANES == {lanes}, LANES"
    subprocess.run([sys.executable, "-c", shown], env=environment, check=True)
