"""Names that the service accepts and that say what they are."""

from __future__ import annotations

import hashlib
import re

from conviction_kedro.sagemaker._errors import SageMakerError

LONGEST = 32
_AGAIN = "-2"
_SHORT = {
    "xgboost": "xgb",
    "lightgbm": "lgb",
    "random_forest": "rf",
    "catboost": "cat",
    "gru": "gru",
    "direction": "dir",
    "relative": "rel",
}
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}")


def job_name(*, universe: str, target: str, models: tuple[str, ...], fold: int, nonce: str) -> str:
    """Return the name of a tuning job: universe, target, models, fold, and what makes it unique.

    Parameters
    ----------
    universe, target : str
    models : tuple of str
    fold : int
        -1 is the hold-out fold.
    nonce : str
        Identity of the run; five hexadecimal digits of its hash go into the name.

    Returns
    -------
    str
        At most 30 characters of letters, digits and single hyphens: a second attempt adds two.

    Examples
    --------
    >>> job_name(universe="core46", target="relative", models=("xgboost",), fold=3, nonce="2026-11-22T10.00.00.000Z")
    'core46-rel-xgb-f3-22b3c'
    """
    tail = hashlib.sha256(nonce.encode()).hexdigest()[:5]
    what = "".join(_SHORT.get(model, _plain(model)[:4]) for model in models) if len(models) > 1 else ""
    middle = what[:9] or _SHORT.get(models[0], _plain(models[0])[:6])
    where = "h" if fold < 0 else str(fold)
    rest = f"-{_SHORT.get(target, _plain(target)[:4])}-{middle}-f{where}-{tail}"
    name = (_plain(universe)[: LONGEST - len(_AGAIN) - len(rest)].strip("-") or "u") + rest
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        raise SageMakerError(
            what="a job name that the service would refuse",
            got=repr(name),
            allowed=f"at most {LONGEST} letters, digits and hyphens, the first and last no hyphen",
            fix="choose a universe name of letters and digits",
        )
    return name


def _plain(text: str) -> str:
    return re.sub(r"-+", "-", re.sub(r"[^a-zA-Z0-9]+", "-", text)).strip("-")
