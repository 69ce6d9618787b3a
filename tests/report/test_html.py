import base64
import html.parser
import re

import pytest
from image_folders import images_of, make_folder, truth

from tfrecon.report.html import write_report
from tfrecon.report.html_parts import origin_html
from tfrecon.report.images import open_images
from tfrecon.util.errors import InputError

VOID = {"meta", "img", "br"}


class Page(html.parser.HTMLParser):
    """Checks that tags close, and collects text, links and images."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.sources, self.cells = [], [], [], 0
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert tag not in ("script", "link", "iframe")
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def page_of(path):
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    page.flat = " ".join(" ".join(page.text).split())
    return page


@pytest.fixture
def folders(tmp_path):
    return [
        make_folder(tmp_path / "a", images_of(noise=0.05)),
        make_folder(tmp_path / "b", images_of(noise=0.02), method="tv <script>"),
    ]


def test_the_page_stands_alone_and_says_all(tmp_path, folders):
    page = page_of(write_report(folders, tmp_path / "out" / "report.html", convention="all", indices=[1, 77]))
    assert len(page.sources) == 1  # one picture asked for and there
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert base64.b64decode(page.sources[0].split(",")[1]).startswith(b"\x89PNG")
    for words in (
        "Simulated acquisition",
        "not measured: coils (kind random, count 8), phase smooth random",
        "undersampled in retrospect: kind equispaced, acceleration 4",
        "convention fastmri: scored per volume",
        "convention v2: scored per slice",
        "reference rss",
        "tv <script>",
        "3.20",
        "24 × 4",
        "0.25 s per image; iterations 5",
        "there is no image number 77 to show",
        "file1",
        "Mean ± standard deviation",
        "seed 0",
    ):
        assert words in page.flat, words


def test_the_zero_filled_image_is_in_every_table_and_the_best_is_marked(tmp_path, folders):
    text = write_report(folders, tmp_path / "r.html", convention="all").read_text()
    for section in re.findall(r"<h3>(?:fastmri|slice|v2)</h3>.*?</table>", text, re.S):
        names = re.findall(r"<tr><td>([^<]*)</td>", section)
        assert names == ["zero_filled", "cg_sense", "tv &lt;script&gt;"]
        best = [line for line in section.split("<tr>") if 'class="best"' in line]
        assert len(best) == 1 and "tv" in best[0] and best[0].count("best") == 4
    assert "none: left out on request" not in text


def test_several_groups_on_one_page(tmp_path, folders):
    other = make_folder(tmp_path / "c", images_of(1, 2), attrs={"reference_type": "rss"})
    page = page_of(write_report({"Phantom": folders, "Knee": [other]}, tmp_path / "r.html", title="Two <cases>"))
    assert "Two <cases>" in page.flat and "Phantom" in page.flat and "3 reconstructions" in page.flat
    assert page.flat.index("Simulated acquisition") < page.flat.index("Measured k-space.")
    assert len(page.sources) == 4 + 2


def test_measured_simulated_or_unknown(tmp_path):
    mixed = make_folder(tmp_path / "mixed")
    text = (mixed / "index.json").read_text()
    without = re.sub(r'"simulated": \{.*?\}, "phase": "smooth random"\}', '"x": 1', text, count=2)
    (mixed / "index.json").write_text(without)
    assert "(4 of 6 images)" in origin_html(open_images(mixed))
    bare = make_folder(tmp_path / "bare", index=False)
    assert "Of unknown origin" in origin_html(open_images(bare))
    measured = make_folder(tmp_path / "measured", attrs={})
    assert "Measured k-space." in origin_html(open_images(measured))


def test_a_bare_folder_has_a_page_too(tmp_path):
    folder = make_folder(tmp_path / "bare", images_of(1, 1), index=False)
    page = page_of(write_report([folder], tmp_path / "r.html", convention="slice"))
    assert "not recorded" in page.flat and "time not recorded" in page.flat and "1 reconstruction," in page.flat


def test_methods_scored_on_different_images_are_called_out(tmp_path, folders):
    fewer = make_folder(tmp_path / "d", images_of(1), method="short")
    page = page_of(write_report([folders[0], fewer], tmp_path / "r.html", indices=[0]))
    assert "different numbers of images (cg_sense 6, short 3)" in page.flat and "–" in page.flat


def test_no_baseline_only_on_request(tmp_path, folders):
    page = page_of(write_report(folders, tmp_path / "r.html", zero_filled="none", indices=[0]))
    assert "none: left out on request" in page.flat


def test_zero_filled_as_a_method_beside_its_baseline(tmp_path, folders):
    own = make_folder(tmp_path / "zf", images_of(noise=0.2), method="zero_filled")
    page = page_of(write_report([folders[0], own], tmp_path / "r.html", indices=[0]))
    assert "zero_filled (baseline)" in page.flat


def test_volumes_without_a_reference_say_why(tmp_path):
    images = images_of()
    images["file1"]["reference"] = 0 * images["file1"]["reference"]
    page = page_of(write_report([make_folder(tmp_path / "a", images)], tmp_path / "r.html", indices=[0, 4]))
    assert "reference is zero everywhere" in page.flat


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        ([], "r.html", "no folder was given"),
        (["a"], "r.pdf", r"not an \.html file"),
        (["a"], "r.html", "no such folder"),
    ],
)
def test_bad_input_leaves_no_page(tmp_path, inputs, output, message):
    with pytest.raises(InputError, match=message):
        write_report([tmp_path / name for name in inputs], tmp_path / output)
    assert list(tmp_path.iterdir()) == []


def test_without_references_images_are_shown_and_nothing_is_scored(tmp_path):
    images = {"file0": {"": truth(0)[None], "zero_filled": truth(1)[None]}}
    folders = [make_folder(tmp_path / name, images) for name in ("a", "b")]
    page = page_of(write_report(folders, tmp_path / "r.html"))
    assert "no reference, so nothing is scored" in page.flat
    assert "PSNR" not in page.flat and "2 reconstructions, not scored" in page.flat
    assert len(page.sources) == 1 and page.sources[0].startswith("data:image/png")


def test_references_that_are_named_must_exist(tmp_path):
    folder = make_folder(tmp_path / "a", {"file0": {"": truth(0)[None], "zero_filled": truth(1)[None]}})
    with pytest.raises(InputError, match="no such folder"):
        write_report([folder], tmp_path / "r.html", reference=tmp_path / "absent")
