"""From settings to a training that can begin, and from a folder to one that can go on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from byhand import engines
from byhand.checkpoints import stored
from byhand.errors import InputError
from byhand.families import FAMILIES
from byhand.loading import load, make
from byhand.model import Model
from byhand.train import costs, initial, samples, saving
from byhand.train.corpus import Corpus, gather
from byhand.train.loop import Training
from byhand.train.objectives import batches
from byhand.train.settings import Settings, gone_on, made, to_toml

Tick = Callable[[int, int], None]  # how much of the data is encoded, and how much there is
WIDTH, CONTEXT = 128, 128  # of a new model that nothing is said of
DATA, SETTINGS = "data", "settings.toml"
HIDING = "bpe:1000"  # the usual tokenizer that has a token to hide others with
USUAL_OF_MASKS = {"causal": "causal", "everything": "masked"}
USUAL = {"gpt2": "causal", "llama": "causal", "bert": "masked"}
PARTS = {"translation": "encoder-decoder", "causal": "decoder", "masked": "encoder"}


def silent(done: int, total: int) -> None:
    """The progress nobody watches."""


def begin(settings: Settings, folder: Path, progress: Tick = silent) -> Training:
    """A new training in a folder, which must hold none yet. Raises InputError, ShapeError, MemoryRefused."""
    if stored.stored_steps(folder):
        raise InputError(f"{folder} holds a training; go on with --resume, or name another folder")
    start = None if settings.start is None else load(settings.start)
    corpus = gathered(settings, folder, start, progress)
    settings = replace(settings, objective=objective_of(settings, start, corpus))
    model = new(settings, corpus) if start is None else fitting(start, corpus)
    if start is None:
        settings = replace(settings, sizes=sizes_of(model.config))
    training = ready(settings, model, corpus, folder)
    training.log.cut(0)
    (folder / SETTINGS).write_text(to_toml(training.settings), encoding="utf-8")
    return training


def resume(
    folder: Path, given: Mapping[str, Any], progress: Tick = silent, tell: Callable[[str], None] = print
) -> Training:
    """The training in a folder, as it was at its last whole checkpoint. tell: of later ones that are damaged.

    given: settings that were given again; those that may not differ must not. Raises InputError naming one that does.
    """
    path = saving.latest(folder, tell)
    if path is None:
        raise InputError(f"{folder} holds no checkpoint to go on from; begin without --resume")
    facts = stored.checked(path, read=False)
    settings = gone_on(made(facts["settings"]), given)
    model = load(path)
    corpus = gathered(settings, folder, model, progress)
    if facts.get("data") not in (None, corpus.identity):
        raise InputError(
            f"{settings.data} is no longer what this training learned from; put it back as it was, or begin another "
            f"training with --from {path}"
        )
    training = ready(settings, replace(model, name=facts["model"]), corpus, folder)
    training.go_on(path)
    return training


def gathered(settings: Settings, folder: Path, start: Model | None, progress: Tick) -> Corpus:
    """The data, encoded by the model's own tokenizer, or by one that is chosen or learned."""
    own = None if start is None else start.tokenizer
    hides = settings.objective == "masked" or settings.family == "bert"
    given = {name: getattr(settings, name) for name in ("seed", "validation", "examples")}
    tokenizer = own or settings.tokenizer or (HIDING if hides else "characters")
    return gather(settings.data, tokenizer, folder=folder / DATA, masked=hides, progress=progress, **given)


def objective_of(settings: Settings, start: Model | None, corpus: Corpus) -> str:
    """What is learned: what was asked for, else what the model is for. Raises InputError where both do not fit."""
    given, part = settings.objective, settings.sizes.get("part")
    if start is not None:
        name, inputs = start.name, start.program.inputs
        own = "translation" if "source.tokens" in inputs else USUAL_OF_MASKS.get(inputs["mask"].rule, "")
    else:
        name = settings.family
        own = USUAL.get(str(name)) or next((each for each, named in PARTS.items() if named == part), None)
        own = own or given or ("translation" if corpus.train.pairs else "causal")
    if given not in (None, own) or (start is not None and "logits" not in start.program):
        raise InputError(f"{name} cannot learn the objective {given or 'masked'}; leave objective out, or take another")
    return own


def new(settings: Settings, corpus: Corpus) -> Model:
    """A new model with random weights: as said, and small where nothing is said. Raises InputError, ShapeError."""
    family, given = str(settings.family), dict(settings.sizes)
    width = given.get("width", WIDTH)
    sizes: dict[str, Any] = {"layers": 4, "width": width, "heads": 4, "vocabulary": corpus.vocabulary}
    sizes |= {"hidden": 4 * int(width), "context": settings.length or CONTEXT}
    match family:
        case "llama":
            heads = int(given.get("heads", 4))
            thirds = -(-8 * int(width) // 3 // 32) * 32  # as many parameters as with 4 × width and no gate
            sizes |= {"hidden": thirds, "groups": heads, "head_width": int(width) // heads, "theta": 10_000.0}
            sizes |= {"tied": True}
        case "bert":
            sizes |= {"pooler": False}  # nothing would learn what the first position says of the whole
        case "original":
            sizes |= {"part": PARTS[str(settings.objective)]}
    config = FAMILIES[family].Config(**sizes | given)
    model = make(family, config, tokenizer=corpus.tokenizer, name=family)
    return replace(model, weights=initial.weights(model, settings.seed))


def sizes_of(config: Any) -> dict[str, Any]:
    """All sizes of a new model, so that what is usual one day can be another the next."""
    return {name: value for name, value in vars(config).items() if name != "vocabulary" and value is not None}


def fitting(start: Model, corpus: Corpus) -> Model:
    """The model that training goes on from. Raises InputError where the data has tokens that it does not know."""
    if corpus.vocabulary > (most := start.program.sizes["V"]):
        raise InputError(f"the data has {corpus.vocabulary} tokens, but {start.name} knows {most}; use its tokenizer")
    return replace(start, tokenizer=start.tokenizer or corpus.tokenizer)


def ready(settings: Settings, model: Model, corpus: Corpus, folder: Path) -> Training:
    """The training, with every setting that was left open decided, and what can be refused before it starts."""
    length = settings.length or model.config.context
    if length > model.config.context:
        raise InputError(f"length is {length}, but {model.name} reads at most {model.config.context} tokens; give less")
    engine = engines.engine(settings.engine, "float32").name
    settings = replace(
        settings, length=length, engine=engine, threads=threads(settings, engine), warmup=settings.warming
    )
    samples.prompt(model, settings)
    costs.refuse_too_large(model.program_with(targets=True), settings.batch, length)
    given = {"batch": settings.batch, "length": length, "seed": settings.seed, "packed": not settings.padded}
    training = Training(settings, model, batches(str(settings.objective), corpus, **given), folder)
    training.corpus = corpus
    return training


def threads(settings: Settings, engine: str) -> int | None:
    """How many threads compute; their number goes into the last bits."""
    if engine != "cpu":
        return settings.threads
    from byhand.engines.cpu.team import ENVIRONMENT, wanted

    if settings.threads is not None:
        os.environ[ENVIRONMENT] = str(settings.threads)
    return wanted()
