"""The contract of encoders: vectors of the tiny world's items, alone and in the tiny backbones."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..nn import EncodedItems, Encoder, EncoderContext, SequenceModel
from ..nn.embedding import Phase
from ..specs import BackboneSpec, BuildContext, Config, EncoderSpec
from .build import make_model, not_refused, same_written_down, train_step
from .checking import check, cotangent, differ, keeps_global_state, same, states
from .tiny import tiny_bidirectional, tiny_causal, tiny_softmax
from .world import tiny_batch, tiny_context


class EncoderContract:
    """Inherit it with `spec` and an active `config`."""

    spec: ClassVar[EncoderSpec]
    config: ClassVar[Config | Mapping[str, Any] | None] = None
    unreached: ClassVar[frozenset[str]] = frozenset()
    """Parameters, by name inside the encoder, that the tiny world's items need not reach."""

    def context(self) -> BuildContext:
        """Facts to build with; override to add what the part needs."""
        return tiny_context()

    def model(self, backbone: BackboneSpec = tiny_causal, *, with_it: bool = True, seed: int = 0) -> SequenceModel:
        return make_model(backbone, objectives=[tiny_softmax], context=self.context(), seed=seed,
                          encoders=[(self.spec, self.config)] if with_it else []).double()

    def part(self, model: SequenceModel) -> Encoder:
        assert isinstance(model.embedding, EncodedItems)
        return model.embedding.encoders[self.spec.name]

    def vectors(self, model: SequenceModel, items: Tensor | None = None, phase: Phase = "score", seed: int = 1
                ) -> Tensor:
        """What the encoder makes of some items (k), or of all."""
        if items is None:
            items = torch.arange(1, model.embedding.n_items + 1)
        ctx = EncoderContext(phase, torch.Generator().manual_seed(seed))
        made = self.part(model).train(phase == "train")(items, ctx)
        assert isinstance(made, Tensor)
        return made

    def test_parameters_written_down_are_the_same_parameters(self) -> None:
        same_written_down(self.spec, self.config)

    def test_it_does_not_refuse_what_it_is_built_with(self) -> None:
        not_refused(self.spec, self.config, self.context())

    def test_each_item_has_a_vector_as_wide_as_the_backbone(self) -> None:
        model = self.model()
        for items in (None, torch.tensor([3]), torch.zeros(0, dtype=torch.int64)):
            made = self.vectors(model, items)
            shape = (model.embedding.n_items if items is None else len(items), model.embedding.width)
            check(made.shape == shape, f"shape {tuple(made.shape)}. Expected {shape}.")
            check(made.dtype == torch.float64, f"vectors are {made.dtype} in a model of doubles. "
                  "Expected doubles. Keep features in buffers.")
            check(torch.isfinite(made).all(), "a vector is not finite")

    def test_a_vector_depends_on_no_other_item_that_is_asked_for(self) -> None:
        model = self.model()
        whole = self.vectors(model)
        for items in (torch.tensor([5]), torch.tensor([9, 2, 2, 30, 1]), torch.arange(model.embedding.n_items, 0, -1)):
            same(self.vectors(model, items), whole[items - 1], "vectors of some items, beside those of all")

    def test_scoring_draws_nothing_and_training_from_its_own_generator_alone(self) -> None:
        model = self.model()
        with keeps_global_state(self.spec.name):
            first, second = (self.vectors(model, seed=seed) for seed in (1, 2))
            same(first, second, "vectors in the score phase with other generators", atol=0)
            first, second = (self.vectors(model, phase="train") for _ in range(2))
            same(first, second, "vectors in the train phase with equal generators", atol=0)

    def test_equal_seeds_build_equal_encoders(self) -> None:
        with keeps_global_state(self.spec.name):
            first, second = self.model(), self.model()
        same(self.vectors(first), self.vectors(second), "vectors of two encoders built alike", atol=0)

    def test_it_changes_the_states_and_is_learned(self) -> None:
        for backbone in (tiny_causal, tiny_bidirectional):
            batch, targets = tiny_batch(masked=backbone.training == "masked", dtype=torch.float64)
            model = self.model(backbone)
            differ(states(model, batch), states(self.model(backbone, with_it=False), batch), "states beside it")
            train_step(model, batch, targets)
            own = dict(self.part(model).named_parameters())
            missing = {name for name, p in own.items() if p.requires_grad and (p.grad is None or not p.grad.any())}
            check(not missing - self.unreached, f"no gradient reaches {', '.join(sorted(missing - self.unreached))}")
            for name, parameter in own.items():
                check(parameter.grad is None or torch.isfinite(parameter.grad).all(),
                      f"the gradient of {name} is not finite")

    def test_gradients_are_those_of_the_vectors(self) -> None:
        """Two routes to one sum of vectors, all at once and those asked for, have the same gradients."""
        model = self.model()
        part, items = self.part(model), torch.tensor([4, 4, 17, 1])
        parameters = [p for p in part.parameters() if p.requires_grad]
        if not parameters:
            return
        along = cotangent(self.vectors(model, items))
        found = [torch.autograd.grad((made * along).sum(), parameters, allow_unused=True)
                 for made in (self.vectors(model, items), self.vectors(model)[items - 1])]
        for one, other, parameter in zip(*found, parameters, strict=True):
            zero = torch.zeros_like(parameter)
            same(zero if one is None else one, zero if other is None else other, "gradients of vectors of some items")

    def test_it_moves_with_the_model(self) -> None:
        """What forward reads are parameters and buffers: a copy with other ones reads them."""
        model, other = self.model(seed=0), self.model(seed=1)
        self.part(other).load_state_dict(self.part(model).state_dict())
        same(self.vectors(other), self.vectors(model), "vectors of an encoder restored from its state")
