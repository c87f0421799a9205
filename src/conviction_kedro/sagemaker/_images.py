"""Which image trains which model, by region, with an override for every model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from conviction_kedro.sagemaker._errors import SageMakerError

# Accounts of the framework images of XGBoost and scikit-learn (one table for both), as the vendor publishes them.
_FRAMEWORK_ACCOUNTS = {
    "af-south-1": "510948584623",
    "ap-east-1": "651117190479",
    "ap-northeast-1": "354813040037",
    "ap-northeast-2": "366743142698",
    "ap-northeast-3": "867004704886",
    "ap-south-1": "720646828776",
    "ap-south-2": "628508329040",
    "ap-southeast-1": "121021644041",
    "ap-southeast-2": "783357654285",
    "ap-southeast-3": "951798379941",
    "ap-southeast-4": "106583098589",
    "ca-central-1": "341280168497",
    "ca-west-1": "190319476487",
    "cn-north-1": "450853457545",
    "cn-northwest-1": "451049120500",
    "eu-central-1": "492215442770",
    "eu-central-2": "680994064768",
    "eu-north-1": "662702820516",
    "eu-south-1": "978288397137",
    "eu-south-2": "104374241257",
    "eu-west-1": "141502667606",
    "eu-west-2": "764974769150",
    "eu-west-3": "659782779980",
    "il-central-1": "898809789911",
    "me-central-1": "272398656194",
    "me-south-1": "801668240914",
    "sa-east-1": "737474898029",
    "us-east-1": "683313688378",
    "us-east-2": "257758044811",
    "us-gov-east-1": "237065988967",
    "us-gov-west-1": "414596584902",
    "us-west-1": "746614075791",
    "us-west-2": "246618743249",
}
# The deep-learning images have one account, but for the regions that were opened apart.
_DEEP_ACCOUNT = "763104351884"
_DEEP_ACCOUNTS = {
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-northeast-3": "364406365360",
    "ap-south-2": "772153158452",
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ca-west-1": "204538143572",
    "cn-north-1": "727897471807",
    "cn-northwest-1": "727897471807",
    "eu-central-2": "380420809688",
    "eu-south-1": "692866216735",
    "eu-south-2": "503227376785",
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
    "us-gov-east-1": "446045086412",
    "us-gov-west-1": "442386744353",
}


@dataclass(frozen=True, kw_only=True)
class Image:
    """What is known of an image before it runs.

    Attributes
    ----------
    repository, tag : str
        `{gpu}` and `{cpu}` in a tag stand for the endings of the two processors.
    deep : bool
        Whether it lies with the deep-learning images.
    packages : tuple of str
        What `requirements.txt` of the archive asks for on top.
    library : bool
        Whether a copy of the library goes along: Python 3.11 or newer, and a model that only the library can train.
    """

    repository: str
    tag: str
    gpu_tag: str = ""
    deep: bool = False
    packages: tuple[str, ...] = ()
    library: bool = False


# `xgboost:latest` is the old algorithm image and knows no script; these are framework images in script mode.
IMAGES: dict[str, Image] = {
    "xgboost": Image(repository="sagemaker-xgboost", tag="3.0-5"),
    "lightgbm": Image(repository="sagemaker-scikit-learn", tag="1.4-2-cpu-py3", packages=("lightgbm>=4.3,<5",)),
    "catboost": Image(repository="sagemaker-scikit-learn", tag="1.4-2-cpu-py3", packages=("catboost>=1.2.5,<2",)),
    "random_forest": Image(repository="sagemaker-scikit-learn", tag="1.4-2-cpu-py3"),
    "gru": Image(
        repository="pytorch-training",
        tag="2.6.0-cpu-py312-ubuntu22.04-sagemaker",
        gpu_tag="2.6.0-gpu-py312-cu126-ubuntu22.04-sagemaker",
        deep=True,
        packages=("polars>=1.30", "pydantic>=2.12,<3"),
        library=True,
    ),
}
# The champion needs the library: an image with a Python that can run it, whose toolkit installs requirements.txt.
INFERENCE = ("pytorch-inference", "2.6.0-cpu-py312-ubuntu22.04-sagemaker")


def is_gpu(instance: str) -> bool:
    """Return whether an instance type has a GPU.

    Examples
    --------
    >>> is_gpu("ml.g4dn.xlarge"), is_gpu("ml.m5.xlarge")
    (True, False)
    """
    return instance.removeprefix("ml.").split(".")[0].startswith(("g", "p"))


def image_uri(
    model: str, *, region: str, instance: str = "ml.m5.xlarge", overrides: Mapping[str, str] | None = None
) -> str:
    """Return the image that trains a model on an instance type in a region.

    Parameters
    ----------
    model : str
        Name of the model registry.
    region : str
    instance : str
        A GPU type gets the GPU image, where there is one.
    overrides : mapping, optional
        Model -> URI, taken as it is.

    Raises
    ------
    SageMakerError
        For a model that no image trains, or a region that the table does not know.

    Examples
    --------
    >>> image_uri("xgboost", region="eu-west-1")
    '141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.0-5'
    """
    given = dict(overrides or {})
    if model in given:
        return given[model]
    if model not in IMAGES:
        raise SageMakerError.from_unknown_name(
            kind="delegated model",
            name=model,
            known=IMAGES,
            fix="leave it out of modeling.models for this environment, or tune it with engine=local",
        )
    image = IMAGES[model]
    account = _DEEP_ACCOUNTS.get(region, _DEEP_ACCOUNT) if image.deep else _FRAMEWORK_ACCOUNTS.get(region)
    if account is None or region not in _FRAMEWORK_ACCOUNTS:
        raise SageMakerError.from_unknown_name(
            kind="region",
            name=region,
            known=_FRAMEWORK_ACCOUNTS,
            fix=f"give the URI yourself: sagemaker.images.{model}",
        )
    tag = image.gpu_tag if is_gpu(instance) and image.gpu_tag else image.tag
    return f"{registry(account, region)}/{image.repository}:{tag}"


def inference_image(*, region: str) -> str:
    """Return the image that serves the champion.

    Examples
    --------
    >>> inference_image(region="eu-west-1")
    '763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312-ubuntu22.04-sagemaker'
    """
    repository, tag = INFERENCE
    return f"{registry(_DEEP_ACCOUNTS.get(region, _DEEP_ACCOUNT), region)}/{repository}:{tag}"


def registry(account: str, region: str) -> str:
    """Return the host of an account's container registry."""
    return f"{account}.dkr.ecr.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
