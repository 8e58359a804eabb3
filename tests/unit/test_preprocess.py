"""Bytes to the model's input: what is accepted, what is refused and as what, and how exact it is."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from serving.preprocess import BadImage, ImageTooLarge, Preprocess, UnreadableImage, UnsupportedImage
from tests.bad_pictures import (
    chunk,
    encode,
    jpeg_of_size,
    many_scans,
    png_of_size,
    scenery,
    sixteen_bit_rgb_png,
    turned,
    webp_of_size,
)
from training.data import Picture
from training.engine import Compiled, to_graph
from training.pictures import read, views
from training.tensors import normalised

PICTURES = Path(__file__).parents[1] / "pictures"
WHOLE = {kind: encode(scenery(), kind) for kind in ("JPEG", "PNG", "WEBP")}


def mean_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def plain(data: bytes, preprocess: Preprocess) -> np.ndarray:
    """What a textbook would do with Pillow alone: decode whole, resize the whole picture, crop the centre."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    share = preprocess.resize / min(picture.size)
    size = (round(picture.width * share), round(picture.height * share))
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - preprocess.size) // 2, (size[1] - preprocess.size) // 2
    return np.asarray(picture.crop((left, top, left + preprocess.size, top + preprocess.size)))


class TestExactness:
    def test_a_small_jpeg_becomes_what_plain_pillow_makes_of_it(self) -> None:
        # 384 x 256 -> 256 high: no resizing, so that nothing but the decoders can differ.
        data = encode(Image.open(PICTURES / "beagle.jpg").resize((384, 256)), "JPEG", quality=90)
        assert mean_difference(Preprocess()(data), plain(data, Preprocess())) == 0

    def test_the_crop_is_that_of_resize_then_crop(self) -> None:
        # 768 x 512 is halved exactly and the crop falls on whole pixels; from PNG, so that no JPEG scaling is in it.
        data = encode(Image.open(PICTURES / "dalmatian.jpg").resize((768, 512)), "PNG")
        assert mean_difference(Preprocess()(data), plain(data, Preprocess())) <= 0.01

    @pytest.mark.parametrize("size", [(1024, 768), (1152, 864), (1600, 1200), (4096, 3072)])
    def test_scaled_decoding_stays_within_one_level_of_decoding_whole(self, size: tuple[int, int]) -> None:
        preprocess = Preprocess()
        data = encode(Image.open(PICTURES / "dalmatian.jpg").resize(size), "JPEG", quality=90)
        whole = preprocess.to_input(preprocess.decode(data, short_side=10_000))
        assert preprocess.decode(data).shape[0] < size[1]
        assert mean_difference(preprocess(data), whole) <= 1.0

    def test_calling_is_decoding_then_to_input_and_the_same_every_time(self) -> None:
        preprocess = Preprocess()
        data = encode(scenery(1200, 900), "JPEG")
        first = preprocess(data)
        assert first.shape == (224, 224, 3)
        assert first.dtype == np.uint8
        np.testing.assert_array_equal(first, preprocess.to_input(preprocess.decode(data)))
        np.testing.assert_array_equal(first, preprocess(data))


class TestTrainingAndServing:
    """The contract: one picture is one tensor, in training, in the graph that serves and by the textbook."""

    @pytest.mark.parametrize("size", [(384, 256), (1200, 900)])
    def test_training_sees_the_very_pixels_of_serving(self, size: tuple[int, int], tmp_path: Path) -> None:
        preprocess = Preprocess()
        path = tmp_path / "dog.jpg"
        path.write_bytes(encode(Image.open(PICTURES / "dalmatian.jpg").resize(size), "JPEG", quality=90))
        picture = Picture("train/a/dog.jpg", path, 0)

        pixels = read(picture, preprocess).pixels
        assert pixels is not None
        found = views(picture, pixels, preprocess, 2, seed=1)[0]

        np.testing.assert_array_equal(found, preprocess(path.read_bytes()))

    def test_the_graph_normalises_to_1e_5_as_torch_and_the_textbook_do(self) -> None:
        preprocess = Preprocess(32, 36)
        batch = np.stack([preprocess(WHOLE["PNG"])])
        compiled = Compiled(to_graph(torch.nn.Identity(), preprocess, "tensor"), threads=1)

        textbook = (batch / 255 - np.array(preprocess.mean)) / np.array(preprocess.std)

        for found in (compiled.run(compiled.request(), batch), normalised(batch, preprocess).numpy()):
            np.testing.assert_allclose(found, textbook.transpose(0, 3, 1, 2), atol=1e-5)


class TestOrientation:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation_is_heeded(self, kind: str, orientation: int) -> None:
        upright = Preprocess().decode(turned(scenery(), orientation, kind))
        assert upright.shape == (64, 96, 3)
        assert mean_difference(upright, np.asarray(scenery())) < 6

    def test_an_orientation_that_makes_no_sense_is_ignored(self) -> None:
        data = turned(scenery(), 6).replace(
            b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06", b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x63"
        )
        assert Preprocess().decode(data).shape == (96, 64, 3)


class TestKindsOfPicture:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    def test_grey(self, kind: str) -> None:
        rgb = Preprocess().decode(encode(Image.new("L", (20, 10), 90), kind))
        assert rgb.shape == (10, 20, 3)
        assert np.abs(rgb.astype(int) - 90).max() <= 1

    def test_cmyk_jpeg(self) -> None:
        red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
        assert mean_difference(Preprocess().decode(encode(red, "JPEG")), np.full((16, 16, 3), (255, 0, 0))) < 4

    def test_16_bit_grey_keeps_its_levels(self) -> None:
        data = encode(Image.fromarray(np.full((8, 8), 0x8000, dtype=np.uint16)), "PNG")
        assert np.unique(Preprocess().decode(data)).tolist() == [0x80]

    def test_16_bit_colour(self) -> None:
        assert Preprocess().decode(sixteen_bit_rgb_png((200, 100, 50)))[0, 0].tolist() == [200, 100, 50]

    def test_palette_and_one_bit(self) -> None:
        palette = Image.new("RGB", (8, 8), (10, 200, 30)).quantize(4)
        assert Preprocess().decode(encode(palette, "PNG"))[0, 0].tolist() == [10, 200, 30]
        assert Preprocess().decode(encode(Image.new("1", (8, 8), 1), "PNG"))[0, 0].tolist() == [255, 255, 255]

    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    def test_what_is_transparent_lies_on_white(self, kind: str) -> None:
        clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
        assert Preprocess().decode(encode(clear, kind, **({"lossless": True} if kind == "WEBP" else {}))).min() == 255

    def test_a_picture_that_is_read_in_bands_is_what_it_is_as_a_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        veiled = scenery()
        veiled.putalpha(scenery().convert("L"))
        pictures = [encode(veiled.convert(mode), "PNG") for mode in ("RGBA", "LA", "RGB", "L")]
        pictures += [encode(veiled.quantize(16), "PNG"), encode(veiled, "WEBP", lossless=True)]
        whole = [Preprocess().decode(data) for data in pictures]
        monkeypatch.setattr("serving.preprocess.BAND_PIXELS", 7 * 96)

        for data, expected in zip(pictures, whole, strict=True):
            np.testing.assert_array_equal(Preprocess().decode(data), expected)

    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    def test_of_an_animation_the_first_frame(self, kind: str) -> None:
        first, second = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
        data = encode(first, kind, save_all=True, append_images=[second], duration=100)
        red, _, blue = Preprocess().decode(data)[8, 8].tolist()
        assert red > 230 > 30 > blue

    @pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1)])
    def test_the_thinnest_pictures_still_make_an_input(self, size: tuple[int, int]) -> None:
        assert Preprocess()(encode(Image.new("RGB", size, "red"), "PNG")).shape == (224, 224, 3)

    def test_a_remark_that_is_named_like_a_block_of_exif_is_a_remark(self) -> None:
        remark = chunk(b"tEXt", b"exif\0of no orientation")
        data = WHOLE["PNG"][:33] + remark + WHOLE["PNG"][33:]
        np.testing.assert_array_equal(Preprocess()(data), Preprocess()(WHOLE["PNG"]))

    def test_a_picture_with_something_else_behind_it_is_read_as_the_picture(self) -> None:
        polyglot = WHOLE["JPEG"] + b"PK\x03\x04<script>"
        np.testing.assert_array_equal(Preprocess()(polyglot), Preprocess()(WHOLE["JPEG"]))


class TestRefusals:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_no_truncation_is_accepted(self, kind: str) -> None:
        data = WHOLE[kind]
        for length in range(12, len(data)):
            with pytest.raises(UnreadableImage):
                Preprocess().decode(data[:length])

    def test_a_truncated_jpeg_with_an_end_mark_is_refused(self) -> None:
        picture = Image.open(PICTURES / "beagle.jpg")
        for data in (
            encode(picture, "JPEG"),
            encode(picture, "JPEG", progressive=True),
            encode(picture.convert("CMYK"), "JPEG"),
        ):
            with pytest.raises(UnreadableImage):
                Preprocess().decode(data[: len(data) // 2] + b"\xff\xd9")

    def test_a_flipped_bit_in_a_png_is_refused(self) -> None:
        data = bytearray(WHOLE["PNG"])
        data[data.index(b"IDAT") + 30] ^= 1
        with pytest.raises(UnreadableImage, match="IDAT"):
            Preprocess().decode(bytes(data))

    @pytest.mark.parametrize(
        "data", [WHOLE["PNG"][:33] + chunk(b"A\n\x1b[", b"")[:-1] + b"x", b"\x00\x00\x00\x18ftyp\x1b[\n1"]
    )
    def test_names_in_a_picture_are_told_in_one_line_without_control_characters(self, data: bytes) -> None:
        with pytest.raises(BadImage, match=r"\\n") as refusal:
            Preprocess().decode(data)
        assert str(refusal.value).isprintable()

    def test_no_bytes_at_all(self) -> None:
        with pytest.raises(UnreadableImage):
            Preprocess().decode(b"")

    @pytest.mark.parametrize(
        "data",
        [
            jpeg_of_size(20_000, 20_000),
            png_of_size(20_000, 20_000),
            webp_of_size(16_000, 16_000),
            jpeg_of_size(65_000, 800),
            png_of_size(2**31 - 1, 1),
        ],
    )
    def test_the_pixel_cap_goes_by_the_header_alone(self, data: bytes) -> None:
        assert len(data) < 2000
        with pytest.raises(ImageTooLarge, match="pixels"):
            Preprocess().decode(data)

    def test_a_second_header_does_not_lead_the_pixel_cap_astray(self) -> None:
        whole = WHOLE["PNG"]  # 96 x 64
        small = png_of_size(16, 16)[8:33]
        with pytest.raises(UnreadableImage, match="read in two ways"):
            Preprocess().decode(whole[:8] + small + whole[8:])

    def test_the_byte_cap(self) -> None:
        with pytest.raises(ImageTooLarge, match="bytes"):
            Preprocess().decode(WHOLE["JPEG"], max_bytes=len(WHOLE["JPEG"]) - 1)
        Preprocess().decode(WHOLE["JPEG"], max_bytes=len(WHOLE["JPEG"]))

    def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(self) -> None:
        data = many_scans(4000, 3000, 100)
        assert len(data) < 6 * 1024 * 1024
        with pytest.raises(UnreadableImage, match="scans"):
            Preprocess().decode(data)

    def test_a_flood_of_empty_parts_is_refused_before_it_is_walked_through(self) -> None:
        png, jpeg = WHOLE["PNG"], WHOLE["JPEG"]
        for data in (png[:33] + chunk(b"teXt", b"") * 100_000 + png[33:], jpeg[:2] + b"\xff\xd0" * 100_000 + jpeg[2:]):
            with pytest.raises(UnreadableImage, match=r"more than 8192 chunks|before its picture begins"):
                Preprocess().decode(data)

    @pytest.mark.parametrize(
        ("data", "named"),
        [
            (encode(scenery(), "GIF"), "GIF"),
            (encode(scenery(), "BMP"), "BMP"),
            (encode(scenery(), "TIFF"), "TIFF"),
            (b"%PDF-1.7", "PDF"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
            (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC"),
            (b'{"url": "https://example.com/dog.jpg"}', "JSON"),
            (b"hello", "no picture format"),
        ],
    )
    def test_other_formats_are_named(self, data: bytes, named: str) -> None:
        with pytest.raises(UnsupportedImage, match=named):
            Preprocess().decode(data)


class TestStoredBesideTheWeights:
    def test_what_is_saved_is_loaded(self, tmp_path: Path) -> None:
        preprocess = Preprocess(size=240, resize=274, interpolation="bilinear", mean=(127, 127, 127), scale=1)
        preprocess.save(tmp_path / "preprocess.json")
        assert Preprocess.load(tmp_path / "preprocess.json") == preprocess
        assert json.loads((tmp_path / "preprocess.json").read_text())["format"] == 1

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"format": 2}, "format"),
            ({"extra": 1}, "extra"),
            ({"size": 0}, "size"),
            ({"size": 300}, "resize"),
            ({"interpolation": "magic"}, "interpolation"),
            ({"mean": [1, 2]}, "mean"),
            ({"std": [1, 0, 1]}, "std"),
            ({"scale": "much"}, "preprocess"),
        ],
    )
    def test_a_file_that_is_not_ours_is_refused_in_one_line(
        self, tmp_path: Path, change: dict[str, object], said: str
    ) -> None:
        path = tmp_path / "preprocess.json"
        Preprocess().save(path)
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(ValueError, match=said) as refusal:
            Preprocess.load(path)
        assert "\n" not in str(refusal.value)
