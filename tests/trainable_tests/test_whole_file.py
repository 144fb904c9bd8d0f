"""A file is whole on disk before it has its name, and its name is before anything goes on."""

import os
from pathlib import Path

import pytest

from trainable.whole_file import commit


def test_what_was_there_stays_until_what_comes_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final, partial = tmp_path / "file", tmp_path / ".file.partial"
    final.write_text("old")
    partial.write_text("new")
    synced: list[tuple[int, str]] = []
    numbers = {path.stat().st_ino for path in (partial, tmp_path)}

    def fsync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, final.read_text()))

    monkeypatch.setattr(os, "fsync", fsync)
    commit(partial, final)

    # The new content was synced under its old name, the folder with the new name after it.
    assert [content for _, content in synced] == ["old", "new"]
    assert {number for number, _ in synced} == numbers
    assert synced[1][0] == tmp_path.stat().st_ino
    assert not partial.exists()
