"""Images as two event files, one to train on and one that is held out.

::

    python digits.py --seed 1 --train events.h5 --test held-out.h5
    python digits.py --seed 1 --train events.h5 --test held-out.h5 a.png b.png ...

Without files, the images are the 1,797 handwritten digits of scikit-learn, 8 x 8 pixels with
17 grey levels. The class of a digit is no parameter: between a three and a four there is
nothing. So the events have none, and a model of them generates all ten digits.

A density of numbers that are whole has no bound. So uniform noise as wide as one grey level
is added (dequantisation): the pixel k of L levels becomes (k + r) / L with r between 0
and 1. That noise is no property of the images, and no manifold can follow it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from matplotlib.image import imread
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from lfi_mflow.charts import PIXEL
from lfi_mflow.data import EventMetadata, write_events
from lfi_mflow.errors import DataError, FileFormatError, LfiMflowError
from lfi_mflow.files import require_file
from lfi_mflow.provenance import provenance
from lfi_mflow.simulation import Events, Observable

TEST_FRACTION = 0.2
LEAST = 10
"""Images without which there is nothing to split."""


@dataclass(frozen=True)
class Images:
    """Images of one shape.

    Arguments:
        pixels: Grey levels, with shape (N, C, H, W).
        levels: Number of grey levels L.
        source: Where they come from.
    """

    pixels: NDArray[np.integer]
    levels: int
    source: str

    def dequantised(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Observables between 0 and 1, with shape (N, C H W)."""
        whole = self.pixels.reshape(len(self.pixels), -1)
        return (whole + rng.random(whole.shape)) / self.levels

    def observables(self) -> tuple[Observable, ...]:
        """The pixels row by row, one channel after the other."""
        channels, height, width = self.pixels.shape[1:]
        names = ("_".join(map(str, at)) for at in product(*map(range, (channels, height, width))))
        return tuple(Observable(f"pixel_{name}", PIXEL) for name in names)


def stack(images: Iterable[NDArray[np.integer]], names: Sequence[str]) -> NDArray[np.integer]:
    """Put images (H, W) or (H, W, C) into one array: (N, C, H, W).

    Raises:
        DataError: If they are fewer than ten, or one has another shape than the first.
    """
    if len(names) < LEAST:
        raise DataError(f"{LEAST} images or more", str(len(names)), "add some")
    images = [image[..., None] if image.ndim == 2 else image for image in images]
    for name, image in zip(names, images, strict=True):
        if image.shape != images[0].shape:
            expected, found = (_shape(one) for one in (images[0], image))
            raise DataError(
                f"images of one shape, that of {names[0]}: {expected}",
                f"{found} in {name}",
                "crop, pad or scale them to one shape",
            )
    return np.moveaxis(np.stack(images), -1, 1)


def _shape(image: NDArray[np.integer]) -> str:
    """Return the shape of an image (H, W, C) in words."""
    height, width, channels = image.shape
    return f"{height} x {width} pixels with {channels} channel{'s' if channels > 1 else ''}"


def digits() -> Images:
    """Return the digits of scikit-learn."""
    whole = load_digits().images.astype(int)
    return Images(stack(whole, [f"digit {i}" for i in range(len(whole))]), 17, "scikit-learn")


def read_images(paths: Sequence[Path]) -> Images:
    """Read PNG files of 8 bits per channel.

    Raises:
        FileFormatError: If one is missing or no PNG file.
        DataError: If they are fewer than ten, or have different shapes.
    """
    images = [np.rint(255 * _read_png(path)).astype(int) for path in paths]
    return Images(stack(images, [str(path) for path in paths]), 256, "PNG files")


def _read_png(path: Path) -> NDArray[np.floating]:
    """Read one image with values between 0 and 1."""
    try:
        return np.asarray(imread(require_file(path, "a PNG file"), format="png"))
    except (OSError, ValueError, SyntaxError) as error:
        raise FileFormatError(f"a PNG file at {path}", str(error), "convert it") from error


def write(images: Images, train: Path, test: Path, seed: int) -> None:
    """Write two event files, of all images in random order; old files are replaced."""
    rng = np.random.default_rng(seed)
    x = images.dequantised(rng)[rng.permutation(len(images.pixels))]
    held = max(1, round(TEST_FRACTION * len(x)))
    about = {"images": images.source, "dequantised": "uniform noise of one grey level"}
    metadata = EventMetadata(
        parameters=(),
        observables=images.observables(),
        seed=seed,
        provenance=provenance() | about,
    )
    for path, part in ((test, x[:held]), (train, x[held:])):
        write_events(path, metadata, [Events(np.empty((len(part), 0)), part)], force=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="*", type=Path, help="PNG files; the digits without")
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        images = read_images(options.images) if options.images else digits()
        write(images, options.train, options.test, options.seed)
    except LfiMflowError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
