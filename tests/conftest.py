"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import avatars
from avatars.heads.anny import default_head as build_default_head
from avatars.heads.head import Head

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""


def pytest_configure(config: pytest.Config) -> None:
    """scripts/test.sh tests what users install: it says so, and then the checkout's package must not be in its way."""
    del config
    if os.environ.get("AVATARS_TEST_INSTALLED") and ROOT in Path(avatars.__file__).resolve().parents:
        installed = Path(avatars.__file__).resolve().relative_to(ROOT).parts[0]
        if installed == "avatars":
            raise pytest.UsageError("the tests import the checkout's package instead of the installed one")


@pytest.fixture(scope="session")
def default_head() -> Head:
    """The default head, from the user's cache (built there first, if need be)."""
    return build_default_head()
