"""How the stand-in searches: it draws from the request's own ranges, and ends trials as the request asks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

_MIN_FINISHED = 3
_REDUCTION = 3


class Draw:
    """Draws hyper-parameters, as the service would: all text.

    Parameters
    ----------
    strategy : str
        Bayesian (Optuna's TPE), Random, Hyperband (random, ended early) or Grid.
    ranges : mapping
        `ParameterRanges`.
    seed : int
    """

    def __init__(self, strategy: str, ranges: Mapping[str, Any], *, seed: int) -> None:
        self._ranges = ranges
        self._random = np.random.default_rng(seed)
        self._grid = self._combinations() if strategy == "Grid" else None
        self._study: Any = None
        if strategy == "Bayesian":
            import optuna

            optuna.logging.set_verbosity(optuna.logging.WARNING)
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=3, constant_liar=True)
            self._study = optuna.create_study(direction="maximize", sampler=sampler)

    def next(self) -> tuple[dict[str, str], Any]:
        """Return the next hyper-parameters and a handle for `tell`."""
        if self._grid is not None:
            return next(self._grid), None
        if self._study is None:
            return self._drawn(), None
        trial = self._study.ask()
        return self._asked(trial), trial

    def tell(self, handle: Any, value: float | None) -> None:
        """Say what a trial scored; None when it failed."""
        if handle is None:
            return
        import optuna

        if value is None:
            self._study.tell(handle, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(handle, value)

    def _drawn(self) -> dict[str, str]:
        drawn = {}
        for one in self._ranges.get("IntegerParameterRanges", []):
            low, high = int(one["MinValue"]), int(one["MaxValue"])
            value = round(math.exp(self._random.uniform(math.log(low), math.log(high)))) if _log(one) else None
            drawn[one["Name"]] = str(int(self._random.integers(low, high + 1)) if value is None else value)
        for one in self._ranges.get("ContinuousParameterRanges", []):
            low_, high_ = float(one["MinValue"]), float(one["MaxValue"])
            uniform = self._random.uniform
            drawn[one["Name"]] = repr(
                math.exp(uniform(math.log(low_), math.log(high_))) if _log(one) else uniform(low_, high_)
            )
        for one in self._ranges.get("CategoricalParameterRanges", []):
            drawn[one["Name"]] = str(self._random.choice(one["Values"]))
        return drawn

    def _asked(self, trial: Any) -> dict[str, str]:
        drawn = {}
        for one in self._ranges.get("IntegerParameterRanges", []):
            low, high = int(one["MinValue"]), int(one["MaxValue"])
            drawn[one["Name"]] = str(trial.suggest_int(one["Name"], low, high, log=_log(one)))
        for one in self._ranges.get("ContinuousParameterRanges", []):
            bounds = float(one["MinValue"]), float(one["MaxValue"])
            drawn[one["Name"]] = repr(trial.suggest_float(one["Name"], *bounds, log=_log(one)))
        for one in self._ranges.get("CategoricalParameterRanges", []):
            drawn[one["Name"]] = str(trial.suggest_categorical(one["Name"], one["Values"]))
        return drawn

    def _combinations(self) -> Iterator[dict[str, str]]:
        ones = self._ranges.get("CategoricalParameterRanges", [])
        names = [one["Name"] for one in ones]
        return (dict(zip(names, values, strict=True)) for values in itertools.product(*(one["Values"] for one in ones)))


def _log(one: Mapping[str, Any]) -> bool:
    return bool(one.get("ScalingType") == "Logarithmic")


class Ending:
    """Decides whether a running trial is to be ended, from what others reported after as many rounds."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        band = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
        self._auto = config.get("TrainingJobEarlyStoppingType") == "Auto"
        self._rungs: list[int] = []
        if config["Strategy"] == "Hyperband":
            rung, most = int(band.get("MinResource", 1)), int(band.get("MaxResource", 100))
            while rung < most:
                self._rungs.append(rung)
                rung *= _REDUCTION
        self._curves: list[list[float]] = []
        self._at_rung: dict[int, list[float]] = {rung: [] for rung in self._rungs}

    def finished(self, curve: list[float]) -> None:
        """Take in the curve of a trial that ran to its end."""
        self._curves.append(list(curve))

    def should_end(self, curve: list[float]) -> bool:
        """Return whether a trial with this curve so far is not worth going on."""
        rounds = len(curve)
        if rounds in self._at_rung:
            others = self._at_rung[rounds]
            others.append(max(curve))
            if len(others) >= _MIN_FINISHED:
                place = sum(value > max(curve) for value in others)
                if place >= math.ceil(len(others) / _REDUCTION):
                    return True
        if self._auto:
            others = [max(one[:rounds]) for one in self._curves if len(one) >= rounds]
            return len(others) >= _MIN_FINISHED and max(curve) < float(np.median(others))
        return False
