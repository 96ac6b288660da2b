"""The contract of encoders catches every way to break one of its rules."""

import pytest
import torch
from pydantic import model_validator
from torch import nn

from benchbase.specs import Config, EncoderSpec
from benchbase.testing.contracts import EncoderContract, violations
from benchbase.testing.probes import Facts, ProbeConfig, probe_facts


class TestProbe(EncoderContract):
    spec = probe_facts


class Short(Facts):
    """A vector fewer than items."""

    def forward(self, items, ctx):
        return super().forward(items, ctx)[1:]


class Elsewhere(Facts):
    """Features that are no buffer stay in single precision."""

    def __init__(self, config, context):
        super().__init__(config, context)
        self.kept = self.labels.clone()

    def forward(self, items, ctx):
        return self.kept[items - 1] @ self.table.float()


class Infinite(Facts):
    """Divides by a feature that is 0."""

    def forward(self, items, ctx):
        return super().forward(items, ctx) / self.labels[items - 1][:, :1]


class Sociable(Facts):
    """Centres the vectors of those that are asked for together."""

    def forward(self, items, ctx):
        made = super().forward(items, ctx)
        return made - made.mean(dim=0) if len(made) else made


class Noisy(Facts):
    """Draws in the score phase too."""

    def forward(self, items, ctx):
        made = super().forward(items, ctx)
        return made + torch.randn(made.shape, generator=ctx.generator, dtype=made.dtype)


class Global(Facts):
    """Draws from the generator of all."""

    def forward(self, items, ctx):
        made = super().forward(items, ctx)
        return made if ctx.phase == "score" else made + torch.randn(made.shape, dtype=made.dtype)


class Moody(Facts):
    """Starts otherwise each time."""

    starts = 0

    def __init__(self, config, context):
        super().__init__(config, context)
        Moody.starts += 1
        with torch.no_grad():
            self.table += Moody.starts


class Idle(Facts):
    """Holds a parameter that nothing reads."""

    def __init__(self, config, context):
        super().__init__(config, context)
        self.idle = nn.Parameter(torch.ones(3))


class Silent(Facts):
    """Adds nothing."""

    def forward(self, items, ctx):
        return 0 * super().forward(items, ctx)


class Detached(Facts):
    """Another gradient where all are asked for."""

    def forward(self, items, ctx):
        made = super().forward(items, ctx)
        return made if len(items) == len(self.labels) else made.detach() + 0.5 * (made - made.detach())


class Hidden(Facts):
    """Draws a map that is neither parameter nor buffer."""

    def __init__(self, config, context):
        super().__init__(config, context)
        self.map = torch.randn(context.width, context.width)

    def forward(self, items, ctx):
        made = super().forward(items, ctx)
        return made @ self.map.to(made.dtype)


class Unwritable(Config):
    """Takes filled-in defaults for somebody's choices."""

    strength: float = 1.0

    @model_validator(mode="after")
    def _nothing_given(self):
        if "strength" in self.model_fields_set:
            raise ValueError("strength means nothing here")
        return self


@pytest.mark.parametrize(("build", "rule"), [
    (Short, "each_item_has_a_vector_as_wide_as_the_backbone"),
    (Elsewhere, "each_item_has_a_vector_as_wide_as_the_backbone"),
    (Infinite, "each_item_has_a_vector_as_wide_as_the_backbone"),
    (Sociable, "a_vector_depends_on_no_other_item_that_is_asked_for"),
    (Noisy, "scoring_draws_nothing_and_training_from_its_own_generator_alone"),
    (Global, "scoring_draws_nothing_and_training_from_its_own_generator_alone"),
    (Moody, "equal_seeds_build_equal_encoders"),
    (Idle, "it_changes_the_states_and_is_learned"),
    (Silent, "it_changes_the_states_and_is_learned"),
    (Detached, "gradients_are_those_of_the_vectors"),
    (Hidden, "it_moves_with_the_model"),
])
def test_a_broken_encoder_is_caught(build, rule):
    spec = EncoderSpec(name="broken", config=ProbeConfig, build=build, source="here")
    found = violations(type("Checked", (EncoderContract,), {"spec": spec}), [f"test_{rule}"])
    assert set(found) == {f"test_{rule}"}


def test_parameters_that_cannot_be_written_down_and_needless_refusals_are_caught():
    rules = ["test_parameters_written_down_are_the_same_parameters", "test_it_does_not_refuse_what_it_is_built_with"]
    spec = EncoderSpec(name="broken", config=Unwritable, build=Facts, source="here",
                       refuse=lambda config, context: "broken: no.")
    assert set(violations(type("Checked", (EncoderContract,), {"spec": spec}), rules)) == set(rules)
