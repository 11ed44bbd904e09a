"""Users of jobs of a node of root."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bacalhau_jupyter.engines.supervised.users import Users, problem

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="supervisors need Linux"),
]
ASK = "from bacalhau_jupyter.engines.supervised import users; print(users.problem())"


def test_no_two_executions_have_one_user() -> None:
    users = Users()
    assert len({users.take("n", f"e-{number}") for number in range(20)}) == 20


def test_this_machine_has_the_users_of_jobs() -> None:
    assert problem() == ""


def test_root_of_a_namespace_without_the_users_of_jobs_hears_so() -> None:
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", ASK]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if ran.returncode and ran.stderr.startswith("unshare:"):
        pytest.skip(f"no user namespace can be made here: {ran.stderr.strip()}")
    assert ran.stdout.startswith(
        "this node runs as root of a user namespace that lacks the users of jobs (61500 "
    )
