"""The core's contract of objectives, for each way to weigh and to adjust."""

from dataclasses import replace

import numpy as np
from benchbase_llm4rec import benchbase_objectives

from benchbase.testing.contracts import ObjectiveContract
from benchbase.testing.world import tiny_context

SPECS = {spec.name: spec for spec in benchbase_objectives()}


class TestIPS(ObjectiveContract):
    spec = SPECS["ips"]
    names_matter = True


class TestIPSColumn(ObjectiveContract):
    spec = SPECS["ips"]
    config = spec.config(propensity="column", column="shown", clip=0.2)
    names_matter = True

    def context(self):
        context = tiny_context()
        columns = {**context.catalogue.columns, "shown": np.linspace(0, 1, 31)}
        return replace(context, catalogue=replace(context.catalogue, columns=columns))


class TestBackdoor(ObjectiveContract):
    spec = SPECS["popularity_backdoor"]
    names_matter = True


class TestBackdoorOfItems(ObjectiveContract):
    spec = SPECS["popularity_backdoor"]
    config = spec.config(bins=3, prior="items")
    names_matter = True


class TestBackdoorMultiplicative(ObjectiveContract):
    spec = SPECS["popularity_backdoor"]
    config = spec.config(form="multiplicative", power=0.7, inject=0.2)
    names_matter = True


class TestParity(ObjectiveContract):
    spec = SPECS["demographic_parity"]


class TestParityOfThePrior(ObjectiveContract):
    spec = SPECS["demographic_parity"]
    config = SPECS["demographic_parity"].config(game="prior", strength=2.0, hidden=8)


class TestBackdoorOfActions(ObjectiveContract):
    spec = SPECS["popularity_backdoor"]
    config = spec.config(bins=3)
    names_matter = True
    task = "action"

    def context(self):
        return replace(tiny_context(), tasks=("action",))


class TestEWC(ObjectiveContract):
    spec = SPECS["ewc"]
    config = SPECS["ewc"].config(strength=10.0, examples=20)
    names_matter = True


class TestEWCOfActions(ObjectiveContract):
    spec = SPECS["ewc"]
    config = SPECS["ewc"].config(examples=20)
    names_matter = True
    task = "action"

    def context(self):
        return replace(tiny_context(), tasks=("action",))
