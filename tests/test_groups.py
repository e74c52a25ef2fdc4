"""Tests of one `xdist_group` are one worker's: else each worker starts every server of the tests for itself."""

import pytest

_GROUP = "a group"


@pytest.mark.xdist_group(_GROUP)
def test_a_group_is_known_to_who_deals_out_the_tests(request: pytest.FixtureRequest) -> None:
    """pytest-xdist 3.8 deals out by the ids of the tests, and pytest 9.2 lost what it adds to them, without a word."""
    if not request.config.getoption("loadgroup", False):
        pytest.skip("all on one worker, or dealt out in another way")
    assert request.node.nodeid.endswith(f"@{_GROUP}")
