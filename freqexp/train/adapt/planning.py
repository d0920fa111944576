"""What adapting a reader will take: memory of one device, hours of GPUs; estimated, nothing is
loaded.
"""

from __future__ import annotations

from freqexp_cluster.estimate import gpu_gib, named_gpu

from freqexp.config.run import RunConfig
from freqexp.config.title import title_of
from freqexp.errors import UserError
from freqexp.memory.geometry import geometry_of
from freqexp.memory.plan import GIB
from freqexp.memory.training import PEAK_FLOPS, SHARE_OF_PEAK, TrainingPlan, training_plan
from freqexp.schemas.choices import Device
from freqexp.tokens.learned import LearnedCompressor
from freqexp.train.adapt.config import AdaptConfig, Trained
from freqexp.train.adapt.lessons import draw
from freqexp.train.adapt.shapes import shapes_of

CHARACTERS_A_TOKEN = 4


def plan_text(config: AdaptConfig, run: RunConfig) -> str:
    """Memory plan and cost of a training as text; what can't be known is said to be unknown."""
    head = f"adapting {run.model.name} to {title_of(run)}"
    try:
        found = plan(config, run)
    except UserError as error:
        return f"{head}\n  memory and cost: unknown ({str(error).splitlines()[0]})"
    gpu = named_gpu(run.cluster)
    gib, _ = gpu_gib(run.cluster)
    room = None if gib is None else round(gib * GIB)
    lines = [
        f"{head} (estimated), on each of {run.cluster.tasks} processes",
        *found.lines(room, gpu or "an unnamed device"),
    ]
    if gpu is None or run.model.device is Device.cpu:
        return "\n".join([*lines, "  time: unknown for this device"])
    hours = found.step_seconds(gpu) * config.steps / 3600
    return "\n".join(
        [
            *lines,
            f"  time         {hours:8.1f} h for {config.steps} steps of "
            f"{config.conversations} conversations, {hours * run.cluster.tasks:.1f} GPU-hours "
            f"(at {SHARE_OF_PEAK:.0%} of the {gpu}'s {PEAK_FLOPS[gpu] / 1e12:.0f} TFLOPS; encoder, "
            "drawing and validation apart)",
        ]
    )


def plan(config: AdaptConfig, run: RunConfig) -> TrainingPlan:
    """For the longest shape of conversations. Raises UserError without the model's config."""
    lessons = [draw(shape, 1, config.questions, "plan")[0] for shape in shapes_of(config, run)]
    longest = max(lessons, key=lambda lesson: sum(len(turn.assistant) for turn in lesson.turns))
    drawn = run.model.render.build().render(longest.turns)
    characters = max(len(question) + len(answer) for question, answer in longest.questions)
    shape = geometry_of(run.model)
    ranks = {Trained.decoder: None, Trained.lora: config.rank, Trained.nothing: 0}
    return training_plan(
        run.model,
        [(page.pixels.shape[0], page.pixels.shape[1]) for page in drawn],
        rank=ranks[config.model],
        compressor_parameters=_compressor_parameters(config, run, shape.width),
        questions=len(longest.questions),
        answer_tokens=characters // CHARACTERS_A_TOKEN,
        kept=_kept(run),
        conversations=config.per_pass,
        passes=max(1, config.conversations // config.per_pass // run.cluster.tasks),
        recompute=config.recompute,
        geometry=shape,
    )


def _compressor_parameters(config: AdaptConfig, run: RunConfig, channels: int) -> int:
    """What is trained of the compressor; its network is not made."""
    import torch

    if config.compressor is False:
        return 0
    parts = run.compressor.parts(run.keep_ratio)
    built = [part.build(run.profile) for part in parts]
    with torch.device("meta"):
        networks = [one.make(channels, None) for one in built if isinstance(one, LearnedCompressor)]
    return sum(weight.numel() for network in networks for weight in network.parameters())


def _kept(run: RunConfig) -> float:
    """Share of the vision tokens that stay, at most."""
    for part in run.compressor.parts(run.keep_ratio):
        if part.config.stage == "token":
            size = getattr(part.config, "rows", 1) * getattr(part.config, "columns", 1)
            return 1 / size if part.config.adaptive else part.keep_ratio
    return 1.0
