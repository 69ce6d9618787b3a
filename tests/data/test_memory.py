import subprocess
import sys

import pytest

from tfrecon.data import memory


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_own_settings_of_the_user_are_respected(monkeypatch):
    for name in memory._OWN_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    assert memory.keep_freed_memory()
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    assert not memory.keep_freed_memory()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_freed_memory_is_reused_by_threads():
    """Page faults of a thread that makes and frees the same large buffer again and again."""
    code = """
import resource, threading
{first}
def work():
    for _ in range(40):
        bytearray(12 << 20)
start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
thread = threading.Thread(target=work); thread.start(); thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start)
"""

    first = f"import runpy; runpy.run_path({memory.__file__!r})['keep_freed_memory']()"
    command = [sys.executable, "-c", code.format(first=first)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2 * (12 << 20) / 4096  # the buffer is faulted in once, not forty times
