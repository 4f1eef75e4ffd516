"""The error family: message parts and suggestions."""

from __future__ import annotations

import pytest

from gapkit.errors import DataError, GapkitError, OptionError, SourceError, StorageError, did_you_mean, nearest


@pytest.mark.parametrize("kind", [DataError, OptionError, SourceError, StorageError])
def test_every_kind_is_caught_as_gapkit_error_and_says_got_expected_remedy(kind: type[GapkitError]) -> None:
    with pytest.raises(GapkitError, match=r"^a\.npz: x is empty; expected samples; add some$") as caught:
        raise kind("a.npz: x is empty", expected="samples", remedy="add some")
    assert (caught.value.got, caught.value.expected, caught.value.remedy) == (
        "a.npz: x is empty",
        "samples",
        "add some",
    )


def test_nearest_ignores_case_and_keeps_the_spelling() -> None:
    assert nearest("BLOCKS.3", ["blocks.3", "norm"]) == "'blocks.3'"


def test_did_you_mean_lists_all_where_none_is_near() -> None:
    assert did_you_mean("zzz", ["resize", "fold"]) == "choose one of 'resize', 'fold'"
