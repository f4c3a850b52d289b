"""A repository in the format of ``transformers`` as an encoder: its files, its preprocessing, its pooling."""

import json
from collections.abc import Mapping
from typing import Any

import torch

from sslaudit.encoder import Encoder, LoadAudit, Preprocess, count_parameters, embedding_dim, module_digest
from sslaudit.errors import EncoderError
from sslaudit.refs import EncoderRef
from sslaudit_formats.read import read
from sslaudit_hub import preprocessor, timm_preprocessing, vision
from sslaudit_hub.layout import shipped_code, weights_of
from sslaudit_hub.repository import Repository
from sslaudit_hub.strict import refuse_non_finite

# In config.json, but no part of what the model computes
_INCIDENTAL = {"transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype", "auto_map"}
_INCIDENTAL |= {"id2label", "label2id", "num_labels", "problem_type"}


def load(
    ref: EncoderRef,
    repository: Repository,
    config: Mapping[str, Any],
    options: Mapping[str, Any],
    device: str,
    seed: int | None,
) -> Encoder:
    """The encoder of a repository in the format of transformers; with ``seed`` its untrained copy.

    Raises ``EncoderError`` kinds when it did not load whole.
    """
    name, trust = repository.name, bool(options["trust-remote-code"]) and bool(shipped_code(config))
    folder = repository.fetch("config.json").parent
    if trust:
        for file in repository.files:
            if file.endswith(".py") and "/" not in file:
                repository.fetch(file)
    plan = vision.blueprint(folder, name, trust=trust)
    preprocess, notes = _preprocessing(repository, config, plan.image_size, options["size"])
    if seed is not None:
        model = vision.fresh(plan, folder, seed, trust=trust)
        tensors = len(model.state_dict())
        audit = LoadAudit(matched=tensors, expected=tensors, assumptions=notes)
    else:
        files = weights_of(repository, "transformers")
        # A pointer, a web page or a pickle with code is named here, before transformers fails on it
        first, *_ = [repository.fetch(file) for file in files]
        opened = read(str(first))
        model, tensors, ignored, more = vision.load_weights(
            plan, folder, name, safetensors="safetensors" in files[0], pool=options["pool"], trust=trust
        )
        opened.verify()
        refuse_non_finite(name, model)
        audit = LoadAudit(
            matched=tensors,
            expected=tensors,
            ignored=ignored,
            assumptions=(*more, *notes, *repository.stale()),
            file=opened.title,
        )
    embed = vision.Pooled(model, plan.config, plan.image_size).eval().to(device)
    embed.pool = vision.choose_pool(embed, _probe(embed, preprocess, device, name), options["pool"], name)
    facts: dict[str, str] = {"pooling": embed.pool}
    if seed is None:
        facts |= {**repository.facts(), "format": "transformers"}
    if trust:
        facts["remote code"] = "run, by --trust-remote-code"
    computed = {key: value for key, value in config.items() if key not in _INCIDENTAL}
    return Encoder(
        ref=str(ref),
        name=type(model).__name__,
        embed=embed,
        dim=embedding_dim(embed, preprocess, device),
        preprocess=preprocess,
        digest=module_digest(model, type(model).__name__, embed.pool, json.dumps(computed, sort_keys=True)),
        parameters=count_parameters(model),
        facts=facts,
        load=audit,
        module=embed,
    )


def _preprocessing(
    repository: Repository, config: Mapping[str, Any], image_size: int, size: int | None
) -> tuple[Preprocess, tuple[str, ...]]:
    """What the repository records, in one of the three files that can hold it, and what is assumed."""
    nested = repository.json("processor_config.json").get("image_processor")
    found = repository.json(preprocessor.FILE) or (nested if isinstance(nested, dict) else {})
    record = found.get("pretrained_cfg") or config.get("pretrained_cfg")
    if record and config["model_type"] == "timm_wrapper":
        return timm_preprocessing.recorded(record, size=size), timm_preprocessing.assumed(config)
    return preprocessor.preprocessing(found, image_size=image_size, size=size)


def _probe(embed: Any, preprocess: Preprocess, device: str, name: str) -> Any:
    """What the model returns for one gray image. Raises ``EncoderError`` when it takes none of this size."""
    height, width = preprocess.size
    gray = torch.full((1, 3, height, width), 128, dtype=torch.uint8, device=device)
    try:
        with torch.inference_mode():
            return embed.outputs(preprocess.normalise(gray))
    except Exception as error:  # whatever the network raises, it does not embed this image
        reason = " ".join(str(error).split())[:160].rstrip(".")
        raise EncoderError(f"'{name}' cannot embed an image of {height} x {width}: {reason}.") from error
