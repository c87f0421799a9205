"""What the two neural models share: the extra, seeds and threads that are put back, weights as plain arrays."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.errors import MissingExtraError, ModelError
from conviction.models._scaling import Scaling

if TYPE_CHECKING:
    from numpy.typing import NDArray

# PyTorch keeps its random state and thread count per process, so fits take turns.
_TURN = threading.RLock()


def need_extra(model: str, *packages: str) -> None:
    """Raise a MissingExtraError unless the packages of the extra `deep` are installed."""
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError.for_extra(feature=f"the model {model!r}", package=package, extra="deep")


@contextmanager
def torch_turn(*, seed: int, n_threads: int) -> Iterator[None]:
    """Hold PyTorch alone, seeded, on `n_threads` threads, and put its state back afterwards."""
    import torch

    with _TURN:
        before = torch.get_num_threads()
        torch.set_num_threads(n_threads)
        numpy_state = np.random.get_state()  # noqa: NPY002 (pytorch-tabnet shuffles with the global generator)
        try:
            with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                warnings.simplefilter("ignore", FutureWarning)
                warnings.simplefilter("ignore", DeprecationWarning)
                torch.manual_seed(seed)
                np.random.seed(seed)  # noqa: NPY002
                yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            torch.set_num_threads(before)


def weights_of(network: Any) -> dict[str, NDArray[Any]]:
    """Return the state of a network as arrays."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def put_weights(network: Any, arrays: dict[str, NDArray[Any]]) -> None:
    """Load arrays into a network of the same shape."""
    import torch

    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in arrays.items()})
    network.eval()


def save_network(
    folder: Path, *, file: str, scaling: Scaling, shape: dict[str, Any], weights: dict[str, NDArray[Any]]
) -> None:
    """Write weights as arrays (no pickle) and the rest as JSON."""
    np.savez(folder / f"{file}.npz", **weights)  # type: ignore[arg-type]
    plain = {"scaling": scaling.to_plain(), "shape": shape}
    (folder / f"{file}.json").write_text(json.dumps(plain, sort_keys=True) + "\n", encoding="utf-8")


def load_network(folder: Path, *, file: str) -> tuple[Scaling, dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `save_network` wrote."""
    plain = json.loads((folder / f"{file}.json").read_text(encoding="utf-8"))
    with np.load(folder / f"{file}.npz", allow_pickle=False) as stored:
        weights = {name: stored[name] for name in stored.files}
    return Scaling.from_plain(plain["scaling"]), plain["shape"], weights


def need_watched(inner: object, *, name: str) -> None:
    """Raise a ModelError when a neural model has nothing to stop early on."""
    if inner is None:
        raise ModelError(
            what=f"{name} has no inner block to stop early on",
            got="inner=None",
            allowed="an inner block, purged from training and not the scored fold",
            fix="pass inner=(X, y)",
        )
