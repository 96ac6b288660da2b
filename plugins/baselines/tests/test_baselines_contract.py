"""The core's contract of recommenders, for all of them."""

from benchbase_baselines import benchbase_recommenders

from benchbase.testing.contracts import RecommenderContract

SPECS = {spec.name: spec for spec in benchbase_recommenders()}


class TestPopularityContract(RecommenderContract):
    spec = SPECS["popularity"]


class TestUserCountContract(RecommenderContract):
    spec = SPECS["popularity"]
    config = spec.config(count="users")


class TestItemKNNContract(RecommenderContract):
    spec = SPECS["itemknn"]
    config = spec.config(neighbours=5)


class TestEASEContract(RecommenderContract):
    spec = SPECS["ease"]


class TestRecentPopularityContract(RecommenderContract):
    spec = SPECS["recent_popularity"]
    config = spec.config(days=2)


class TestMarkovContract(RecommenderContract):
    spec = SPECS["markov"]


class TestIALSContract(RecommenderContract):
    spec = SPECS["ials"]
    config = spec.config(factors=4)
    names_matter = True  # item vectors start at random, by id


class TestExactIALSContract(RecommenderContract):
    spec = SPECS["ials"]
    config = spec.config(factors=4, solver="cholesky")
    names_matter = True
