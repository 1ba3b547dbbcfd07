"""Clips for tests, drawn and encoded here, and what another library sees in them."""

from fractions import Fraction

import av
import numpy as np

SIZE = 64, 48  # width and height


def draw(number, width=SIZE[0], height=SIZE[1]):
    """A smooth frame that differs from the others, red in its upper left corner."""
    y, x = np.mgrid[:height, :width]
    planes = x * 3 % 200, 40 + y * 2, 30 + (x + y + 6 * number) % 160
    pixels = np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8)
    pixels[: height // 4, : width // 4] = 220, 20, 20
    return pixels


def write(
    path,
    stamps=range(6),
    unit=Fraction(1, 25),
    size=SIZE,
    codec="libx264",
    pixels="yuv420p",
    options=(("crf", "1"),),
    rotation=0,
    sound=False,
    attachment=False,
    matrix=None,
    full_range=False,
    shape=None,
    paint=draw,
):
    """Write a clip of painted frames at multiples of a unit of time."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25, options=dict(options))
        (video.width, video.height), video.pix_fmt = size, pixels
        video.codec_context.time_base = unit
        if matrix:
            video.codec_context.colorspace = matrix
        if full_range:
            video.codec_context.color_range = 2
        if shape:
            video.codec_context.sample_aspect_ratio = shape
        if rotation:
            video.set_display_rotation(rotation)
        track = container.add_stream("aac", rate=44_100) if sound else None
        if attachment:
            container.add_attachment("note.txt", "text/plain", b"a note")
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(paint(number, *size), format="rgb24")
            frame = frame.reformat(
                format=pixels, dst_colorspace=matrix, dst_color_range=2 if full_range else None
            )
            frame.pts, frame.time_base = stamp, unit
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if track:
            container.mux(_hum(track))
    return path


def write_sound(path):
    """A file with sound alone."""
    with av.open(str(path), "w") as container:
        container.mux(_hum(container.add_stream("aac", rate=44_100)))
    return path


def _hum(track):
    wave = (np.sin(np.arange(22_050) * 0.06) * 8000).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
    frame.sample_rate, frame.pts = 44_100, 0
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=44_100)
    frames = [*resampler.resample(frame), *resampler.resample(None), None]
    return [packet for each in frames for packet in track.encode(each)]


def write_two_sizes(path):
    """A clip in which the frames from the fourth on are larger."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libvpx-vp9", rate=25, options={"lossless": "1"})]
        with av.open(str(path.with_suffix(".other.webm")), "w") as other:
            streams.append(other.add_stream("libvpx-vp9", rate=25, options={"lossless": "1"}))
            for part, stream in enumerate(streams):
                stream.width, stream.height = (SIZE, (80, 64))[part]
                stream.pix_fmt = "yuv420p"
                packets = []
                for number in range(3):
                    pixels = draw(number, stream.width, stream.height)
                    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                    frame.pts = 3 * part + number
                    packets += stream.encode(frame)
                for packet in packets + stream.encode():
                    packet.stream = streams[0]
                    container.mux(packet)
    return path


def read(path):
    """Frames as RGB, their times in seconds, and the video stream's description."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        frames = list(container.decode(video))
        pixels = [frame.to_ndarray(format="rgb24") for frame in frames]
        times = [frame.pts * frame.time_base for frame in frames]
        return pixels, times, frames[0]


def read_packets(path, kind):
    """Bytes and times of the packets of the streams of a kind."""
    with av.open(str(path)) as container:
        return [
            (bytes(packet), packet.pts * packet.time_base)
            for packet in container.demux(**{kind: 0})
            if packet.size
        ]
