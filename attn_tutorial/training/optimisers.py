"""The optimisers of a training, and their learning rate at each step."""

from torch import nn
from torch.optim import SGD, Optimizer

from attn_tutorial.spec import TrainingSpec
from attn_tutorial.training.muon import Muon


def make_optimisers(model: nn.Module, recipe: TrainingSpec) -> list[Optimizer]:
    """Return the optimisers of a recipe.

    One is Nesterov SGD for all weights; or Muon moves the backbone's convolutions, and SGD the rest and the blocks. The
    weights of a pooling that attends are treated as a block's.
    """
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    attending = [*model.slots().values(), model.pool]  # type: ignore[operator]
    in_slots = {id(weight) for module in attending for weight in module.parameters()}
    shaped = [weight for weight in weights if weight.ndim > 1 and id(weight) not in in_slots]
    filters = [weight for weight in shaped if weight.ndim == 4 and recipe.conv_optimizer == "muon"]
    moved = {id(weight) for weight in filters}
    decayed = [weight for weight in shaped if id(weight) not in moved]
    moved |= {id(weight) for weight in decayed} | in_slots
    # Gains, biases and blocks do not decay: otherwise a gate pulled to its middle could be an effect of the decay.
    free = [weight for weight in weights if id(weight) not in moved]
    blocks = [weight for weight in weights if id(weight) in in_slots]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay, "peak": recipe.lr},
        {"params": free, "weight_decay": 0.0, "peak": recipe.lr},
        {"params": blocks, "weight_decay": 0.0, "peak": recipe.block_lr or recipe.lr},
    ]
    sgd = SGD(
        [group for group in groups if group["params"]],
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        foreach=True,
    )
    if not filters:
        return [sgd]
    muon = Muon(filters)
    muon.param_groups[0]["peak"] = recipe.conv_lr
    return [sgd, muon]


def set_learning_rates(optimisers: list[Optimizer], recipe: TrainingSpec, step: int, steps: int) -> None:
    """Set each optimiser's learning rate for a step."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * schedule(step, steps, recipe.warmup)


def schedule(step: int, steps: int, warmup: float) -> float:
    """Return the share of the peak learning rate at a step.

    It rises linearly over the share `warmup` of the steps, and then falls linearly to 0.
    """
    rise = warmup * steps
    return min((step + 1) / rise if rise else 1.0, (steps - step) / (steps - rise), 1.0)
