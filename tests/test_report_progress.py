"""The meter's lines where nobody watches a bar."""

import pytest

from sslaudit.extraction import Progress
from sslaudit.report import progress
from sslaudit.report.progress import Meter


def test_each_extraction_of_a_metric_has_a_rate_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with Meter() as meter:
        meter.wait("measuring ci-condition")
        for begun in (100.0, 900.0):
            for seconds, done in ((0, 0), (40, 400)):
                clock[0] = begun + seconds
                meter.update(Progress(done=done, total=1000, cached=0))
    said = capsys.readouterr().err.splitlines()
    assert said == ["measuring ci-condition: 400 of 1,000 views  10/s, 60 s left"] * 2


def test_a_search_of_unknown_length_says_its_step_and_loss(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with Meter() as meter:
        meter.start("pretext-boost")
        meter.update(Progress(done=10, total=10, cached=0))
        for number in (1, 2, 1200):
            clock[0] += 20
            meter.step(number, 1 / number)
    said = capsys.readouterr().err.splitlines()
    assert said == ["pretext-boost: step 2, loss 0.5000"]


def test_a_message_is_one_line_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    with Meter() as meter:
        meter.say(" ".join(["word"] * 60))
    assert capsys.readouterr().err.splitlines() == [" ".join(["word"] * 60)]
