"""Variables of any size into cells and back, in a real kernel."""

from __future__ import annotations

import pytest

from tests.notebook.conftest import Kernel

pytestmark = [pytest.mark.timeout(300), pytest.mark.process]


def test_large_values_of_all_kinds_come_to_a_python_cell_and_back(kernel: Kernel) -> None:
    kernel.run(
        "import numpy as np, pandas as pd, os, pathlib\n"
        "df = pd.DataFrame(np.random.rand(300_000, 4), columns=list('abcd'))\n"
        "raw = os.urandom(9_000_000)\n"
        "pathlib.Path('big.bin').write_bytes(raw)\n"
        "file = pathlib.Path('big.bin')\n"
        "folder = pathlib.Path('folder'); folder.mkdir()\n"
        "(folder / 'x.bin').write_bytes(raw)\n"
        "sent, total = df.copy(), len(raw)"
    )
    ran = kernel.run(
        "%%bacalhau python --in df --in raw --in file --in folder --out df --out sizes\n"
        "sizes = [len(raw), file.stat().st_size, (folder / 'x.bin').stat().st_size]\n"
        "df['e'] = df.a + df.b"
    )
    assert ran.status == "ok", ran.traceback
    assert kernel.value("sizes == [total] * 3")
    assert kernel.value("bool((df.e == sent.a + sent.b).all() and df[list('abcd')].equals(sent))")


def test_a_large_frame_is_a_file_among_the_inputs_of_a_shell_cell(kernel: Kernel) -> None:
    kernel.run(
        "import numpy as np, pandas as pd\ndf = pd.DataFrame(np.random.rand(1_000_000, 2), columns=['a', 'b'])"
    )
    ran = kernel.run("%%bacalhau sh --in df\nhead -c 4 inputs/df.parquet; wc -c < inputs/df.parquet")
    assert ran.status == "ok", ran.traceback
    assert ran.stdout.startswith("PAR1") and int(ran.stdout[4:]) > 6_291_456


@pytest.mark.docker
def test_a_large_frame_comes_to_a_container(kernel: Kernel, python_image: str) -> None:
    kernel.run("import os\nraw = os.urandom(9_000_000)")
    ran = kernel.run(f"%%bacalhau python --image {python_image} --in raw\nprint(len(raw))")
    assert ran.stdout.strip() == "9000000", ran.traceback


def test_a_dry_run_sends_nothing_and_shows_the_variable_by_its_name(kernel: Kernel) -> None:
    kernel.run("raw = bytes(9_000_000)")
    ran = kernel.run("%%bacalhau python --in raw --dry-run\n1")
    shown = str(ran.result) + str(ran.displays) + ran.stdout
    assert ran.status == "ok" and "raw.bytes" in shown and len(shown) < 200_000
