"""Rules of learning: gradients reach all there is to learn, one batch is learned by heart, a stopped run goes on."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor

from ..nn import SequenceModel
from .backbone_case import BackboneCase
from .build import train_step
from .checking import check, copied, cotangent, distinct, no_dropout, rewound, same, states

LOSS = "tiny_softmax.softmax"


class LearningRules(BackboneCase):
    """Gradients, overfitting, `state_dict` and resuming."""

    def test_gradients_reach_every_parameter(self) -> None:
        model, (batch, targets) = self.model(), self.batch()
        step = train_step(model, batch, targets)
        check(all(torch.isfinite(loss) for loss in step.losses.values()), "a loss is not finite. Expected numbers.")
        parameters = dict(model.backbone.named_parameters())
        unknown = self.unreached - set(parameters)
        check(not unknown, f"unreached names {sorted(unknown)}, which the backbone lacks. Expected its parameters.")
        for name, parameter in parameters.items():
            reached = parameter.grad is not None and bool((parameter.grad != 0).any())
            check(reached or name in self.unreached, f"no gradient reaches {name}. Expected some. Use it, or list "
                  "it as `unreached`.")

    def test_gradients_are_finite_everywhere(self) -> None:
        for case in self.situations():
            for kind, state in case.states().items():
                case.model.zero_grad(set_to_none=True)
                known = state[case.batch.valid]
                if known.requires_grad:
                    (known * cotangent(known)).sum().backward(retain_graph=True)  # type: ignore[no-untyped-call]
                for name, parameter in case.model.named_parameters():
                    finite = parameter.grad is None or bool(torch.isfinite(parameter.grad).all())
                    check(finite, f"{case.name}: the gradient of states {kind} events to {name} is not finite. "
                          "Expected numbers.")

    def test_one_batch_is_learned_by_heart(self) -> None:
        model, (batch, targets) = self.model(), self.batch()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        first, last = 0.0, 0.0
        with no_dropout():
            for step in range(self.steps):
                last = float(train_step(model, distinct(batch), targets).losses[LOSS].detach())
                first = first if step else last
                if last < first / 10:
                    return
                optimizer.step()
        check(False, f"the loss on one batch went from {first:.3f} to {last:.3f} in {self.steps} steps. Expected less "
              "than a tenth. If it only learns slowly, raise `steps`.")

    def test_a_state_dict_restores_the_model(self) -> None:
        self.only_if_it_repeats()
        batch, targets = self.batch()
        model, other = self.model(), self.model(seed=5)
        train_step(model, batch, targets)
        held = model.state_dict()
        odd = sorted(name for name, value in held.items() if not isinstance(value, Tensor))
        check(not odd, f"state_dict: {', '.join(odd)} is no tensor. Expected tensors: a checkpoint holds no other.")
        other.load_state_dict(copied(held))
        first, second = (states(rewound(each), batch) for each in (model, other))
        same(first, second, "states after a state_dict round trip", atol=0)

    def test_a_run_resumes_bit_for_bit(self) -> None:
        whole, half, rest = self.model(), self.model(), self.model()
        losses = self._train(whole, adam(whole), range(4))
        optimizer = adam(half)
        found = self._train(half, optimizer, range(2))
        rest.load_state_dict(copied(half.state_dict()))
        resumed = adam(rest)
        resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for name, generator in half.generators.items():
            rest.generators[name].set_state(generator.get_state())
        found += self._train(rest, resumed, range(2, 4))
        what = "of a run that was stopped and resumed, and of one that was not"
        same(torch.stack(losses), torch.stack(found), f"losses {what}", atol=0)
        for name, value in whole.state_dict().items():
            if isinstance(value, Tensor):
                same(value, rest.state_dict()[name], f"{name} {what}", atol=0)
        batch, _ = self.batch()
        same(states(whole, batch), states(rest, batch), f"states {what}", atol=0)

    def _train(self, model: SequenceModel, optimizer: torch.optim.Optimizer, steps: Iterable[int]) -> list[Tensor]:
        """The losses of some steps, each on a batch of its own."""
        losses = []
        for step in steps:
            batch, targets = self.batch(seed=step, length=5 + step)
            losses.append(train_step(model, batch, targets).losses[LOSS].detach())
            optimizer.step()
        return losses


def adam(model: SequenceModel) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=0.01)
