from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import torch
from torch import nn

from kgt import Picture, restore_clip, restore_picture
from kgt.network.windows import check_image
from kgt.video.formats import READ_SUFFIXES
from tests.kgt.video.making import (
    SIZE,
    draw,
    read,
    read_packets,
    write,
    write_sound,
    write_two_sizes,
)

LOSSLESS = (("qp", "0"),)


class Stub(nn.Module):
    """A function of the image as a network, for images of 8x8 pixels and more."""

    def __init__(self, function=lambda x: x, scale=1):
        super().__init__()
        self.function, self.scale = function, scale
        self.task, self.in_channels, self.size_multiple = "denoise", 3, 8

    def forward(self, x):
        check_image(x, self.in_channels, self.size_multiple)
        return self.function(x)


def psnr(a, b):
    error = np.square(np.float64(a) - np.float64(b)).mean()
    return 10 * np.log10(255**2 / max(error, 1e-9))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_every_frame_is_the_restored_picture_of_its_frame(suffix, tmp_path):
    clip = write(tmp_path / "clip.mp4")
    net = Stub(lambda x: 1 - x)
    restored = restore_clip(net, clip, tmp_path / f"out{suffix}")
    assert (restored.size, restored.clip.frames, restored.left_out) == (SIZE, 6, ())
    frames, times, _ = read(clip)
    shown, shown_times, first = read(tmp_path / f"out{suffix}")
    assert shown_times == times
    assert first.format.name == "yuv420p"
    for frame, out in zip(frames, shown, strict=True):
        assert psnr(out, restore_picture(net, Picture(frame)).pixels) > 38


CODECS = {
    ".webm": "libvpx-vp9",
    ".avi": "mpeg4",
    **dict.fromkeys((".mpg", ".mpeg", ".ts"), "mpeg2video"),
}


@pytest.mark.parametrize("suffix", READ_SUFFIXES)
def test_every_kind_of_file_is_read(suffix, tmp_path):
    codec = CODECS.get(suffix, "libx264")
    clip = write(tmp_path / f"clip{suffix}", range(6), codec=codec, options=())
    assert restore_clip(Stub(), clip, tmp_path / "out.mkv").clip.frames == 6
    steps = np.diff(np.float64(read(tmp_path / "out.mkv")[1]))
    assert steps == pytest.approx([0.04] * 5, abs=1e-3)


def test_frames_need_not_be_equally_far_apart(tmp_path):
    stamps = [0, 100, 150, 900, 1000, 1001]
    clip = write(tmp_path / "clip.mp4", stamps, Fraction(1, 1000))
    restore_clip(Stub(), clip, tmp_path / "out.mp4")
    assert read(tmp_path / "out.mp4")[1] == [Fraction(stamp, 1000) for stamp in stamps]


def test_a_larger_result(tmp_path):
    net = Stub(lambda x: x.repeat_interleave(2, -1).repeat_interleave(2, -2), scale=2)
    clip = write(tmp_path / "clip.mp4")
    assert restore_clip(net, clip, tmp_path / "out.mp4").size == (2 * SIZE[0], 2 * SIZE[1])
    frames, shown = read(clip)[0], read(tmp_path / "out.mp4")[0]
    assert psnr(shown[3], frames[3].repeat(2, 0).repeat(2, 1)) > 36


@pytest.mark.parametrize(
    ("made", "name"),
    [
        ({"pixels": "yuv420p10le"}, "yuv420p10le"),
        ({"pixels": "yuv444p"}, "yuv444p"),
        ({"pixels": "yuv422p"}, "yuv422p"),
        ({"pixels": "yuv444p", "size": (63, 47)}, "yuv444p"),
        ({"pixels": "bgr0", "codec": "ffv1", "options": ()}, "yuv444p"),
        ({"pixels": "yuv411p", "codec": "ffv1", "options": ()}, "yuv420p"),
    ],
)
def test_samples_are_stored_as_before_where_the_encoder_can(made, name, tmp_path):
    clip = write(tmp_path / "clip.mkv", **made)
    restore_clip(Stub(), clip, tmp_path / "out.mkv")
    shown, _, first = read(tmp_path / "out.mkv")
    assert first.format.name == name
    assert psnr(shown[0], read(clip)[0][0]) > 34


def test_a_gray_clip_stays_gray(tmp_path):
    clip = write(tmp_path / "clip.mkv", codec="ffv1", pixels="gray", options=())
    tint = torch.tensor([0.9, 1.0, 0.8]).view(3, 1, 1)
    restore_clip(Stub(lambda x: x * tint), clip, tmp_path / "out.mkv")
    shown = read(tmp_path / "out.mkv")[0][0].astype(int)
    assert np.abs(shown - shown[..., :1]).max() <= 1


@pytest.mark.parametrize("size", [SIZE, (1280, 720)])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", [1, 5])
def test_colors_stay_by_every_matrix(matrix, full_range, size, tmp_path):
    clip = write(tmp_path / "clip.mkv", range(2), size=size, matrix=matrix, full_range=full_range)
    restore_clip(Stub(), clip, tmp_path / "out.mkv", None)
    _, _, first = read(tmp_path / "out.mkv")
    assert (first.colorspace, first.color_range == 2) == (matrix, full_range)
    shown = first.reformat(format="rgb24", src_colorspace=matrix).to_ndarray()
    assert np.abs(shown[3:8, 3:8] - np.float64([220, 20, 20])).max() < 6


@pytest.mark.parametrize(("height", "matrix"), [(48, 5), (720, 1)])
def test_a_clip_that_does_not_say_its_matrix_is_taken_as_players_do(height, matrix, tmp_path):
    clip = write(tmp_path / "clip.mkv", range(1), size=(64, height))
    restore_clip(Stub(), clip, tmp_path / "out.mkv")
    assert read(tmp_path / "out.mkv")[2].colorspace == matrix


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_a_turned_clip_stands_upright(rotation, tmp_path):
    clip = write(tmp_path / "clip.mp4", rotation=rotation, options=LOSSLESS)
    restore_clip(Stub(), clip, tmp_path / "out.mp4")
    # OpenCV turns frames as players do.
    capture = cv2.VideoCapture(str(clip))
    _, upright = capture.read()
    capture.release()
    shown, _, first = read(tmp_path / "out.mp4")
    assert first.rotation == 0
    assert psnr(shown[0], upright[..., ::-1]) > 30


@pytest.mark.parametrize(("rotation", "shape"), [(0, (4, 3)), (180, (4, 3)), (90, (3, 4))])
def test_pixels_that_are_no_squares_stay_so(rotation, shape, tmp_path):
    made = {"size": (64, 64), "rotation": rotation, "shape": Fraction(4, 3)}
    restore_clip(Stub(), write(tmp_path / "clip.mp4", **made), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(*shape)


def test_sound_is_copied_as_it_is(tmp_path):
    clip = write(tmp_path / "clip.mp4", sound=True)
    restore_clip(Stub(), clip, tmp_path / "out.mp4")
    sound = read_packets(clip, "audio")
    assert len(sound) > 10
    assert read_packets(tmp_path / "out.mp4", "audio") == sound


def test_what_is_neither_sound_nor_subtitles_is_named(tmp_path):
    clip = write(tmp_path / "clip.mkv", attachment=True)
    assert restore_clip(Stub(), clip, tmp_path / "out.mkv").left_out == ("stream 1 (attachment)",)


def cut(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def damage(path):
    content = bytearray(path.read_bytes())
    begin = content.find(b"mdat") + 1500
    content[begin : begin + 200] = bytes(byte ^ 0x5A for byte in content[begin : begin + 200])
    path.write_bytes(content)
    return path


def write_text(path):
    path.write_text("no clip")
    return path


FAULTS = {
    "is no clip": lambda folder: write_text(folder / "clip.mp4"),
    "has no video": lambda folder: write_sound(folder / "clip.mp4"),
    "frame 4 is 80x64, and those before are 64x48": lambda folder: write_two_sizes(
        folder / "clip.webm"
    ),
    "frame 1 has transparency": lambda folder: write(
        folder / "clip.mkv", codec="ffv1", pixels="yuva420p", options=()
    ),
    "frame 1 is interlaced": lambda folder: write(
        folder / "clip.mkv", size=(64, 64), options=(("x264-params", "interlaced=1"),)
    ),
    "or damaged": lambda folder: damage(write(folder / "clip.mp4")),
    "damaged: Invalid": lambda folder: cut(write(folder / "clip.mp4"), 0.5),
    "is cut short: ": lambda folder: cut(write(folder / "clip.mkv", range(75)), 0.5),
}


@pytest.mark.parametrize("message", FAULTS)
def test_what_cannot_be_restored_is_refused_before_time_is_spent(message, tmp_path):
    clip = FAULTS[message](tmp_path)
    calls = []
    net = Stub(lambda x: calls.append(1) or x)
    with pytest.raises((ValueError, OSError), match=message) as refused:
        restore_clip(net, clip, tmp_path / "out.mp4")
    assert str(clip) in str(refused.value)
    assert not calls
    assert not (tmp_path / "out.mp4").exists()


def test_a_suffix_that_is_not_written_is_refused(tmp_path):
    clip = write(tmp_path / "clip.mp4")
    with pytest.raises(ValueError, match=r"suffix '.avi'; written are .mp4, .mov, .mkv"):
        restore_clip(Stub(), clip, tmp_path / "out.avi")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_of_a_clip_that_is_not_finished(error, tmp_path):
    clip = write(tmp_path / "clip.mp4")
    (tmp_path / "out.mp4").write_bytes(b"the one before")

    def stop(what, share):
        if share > 0.5:
            raise error("stopped")

    with pytest.raises(error):
        restore_clip(Stub(), clip, tmp_path / "out.mp4", on_progress=stop)
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "out.mp4"}
    assert (tmp_path / "out.mp4").read_bytes() == b"the one before"


def test_a_result_that_is_no_number_is_refused(tmp_path):
    clip = write(tmp_path / "clip.mp4")
    with pytest.raises(ValueError, match="NaN"):
        restore_clip(Stub(lambda x: x * torch.nan), clip, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_progress_names_frames_and_grows(tmp_path):
    clip, said = write(tmp_path / "clip.mp4"), []
    restore_clip(Stub(), clip, tmp_path / "out.mp4", on_progress=lambda *news: said.append(news))
    shares = [share for _, share in said]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert said[0][0] == "looking at frame 1"
    assert said[-1][0].startswith("frame 6 of 6, ")
    assert said[-1][0].endswith(" frames/s")


def test_sixteen_bits_are_kept_to_ten(tmp_path):
    clip = tmp_path / "clip.mkv"
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    deep = np.repeat(np.broadcast_to(ramp, (48, 64))[..., None], 3, axis=-1).copy()
    with av.open(str(clip), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        (video.width, video.height), video.pix_fmt = SIZE, "yuv444p10le"
        frame = av.VideoFrame.from_ndarray(deep, format="rgb48le").reformat(format="yuv444p10le")
        frame.pts = 0
        container.mux(video.encode(frame))
        container.mux(video.encode())
    restore_clip(Stub(), clip, tmp_path / "out.mkv")
    _, _, first = read(tmp_path / "out.mkv")
    assert first.format.name == "yuv444p10le"
    error = first.to_ndarray(format="rgb48le").astype(float) - deep
    # A step of 8 bits is 257.
    assert np.abs(error).mean() < 128


def test_the_red_corner_is_where_it_was(tmp_path):
    restore_clip(Stub(), write(tmp_path / "clip.mp4"), tmp_path / "out.mp4")
    shown = read(tmp_path / "out.mp4")[0]
    assert np.abs(shown[0][2:9, 2:12] - np.float64(draw(0)[2:9, 2:12])).max() < 8
