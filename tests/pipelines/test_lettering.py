import numpy as np
import pytest

from sliceweave.pipelines import lettering
from sliceweave.pipelines.lettering import drawn_text, latin, text_width_px, write


@pytest.fixture(params=[True, False], ids=["unicode font", "built-in font"])
def each_font(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param and not lettering.UNICODE_FONT:
        pytest.skip("this OpenCV has no Unicode font")
    monkeypatch.setattr(lettering, "UNICODE_FONT", request.param)


@pytest.mark.usefixtures("each_font")
@pytest.mark.parametrize("text", ["slice 14 · 8.31 cm²", "Müller", "张伟", "Ωμέγα", "محمد"])
def test_text_of_any_script_leaves_its_mark_within_its_width(text: str) -> None:
    picture = np.zeros((40, 400, 3), np.uint8)
    write(picture, text, (10, 30), 16, (255, 200, 0))
    columns = np.flatnonzero(picture.any(axis=(0, 2)))
    assert columns[0] >= 8
    assert columns[-1] <= 12 + text_width_px(drawn_text(text), 16)
    assert picture[..., 2].max() == 0


@pytest.mark.parametrize(
    ("text", "plain"),
    [("Müller_Żółć", "Muller_Zo\\u0142c"), ("8.31 cm²", "8.31 cm2"), ("a · b", "a - b"), ("张", "\\u5f20")],
)
def test_without_a_unicode_font_text_becomes_latin_letters(text: str, plain: str) -> None:
    assert latin(text) == plain
    assert latin(plain) == plain
