"""Multimodal item vectors: the contract, the laws of attention and fusion, and the same numbers by a slow reference."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from benchbase_llm4rec import benchbase_encoders, build_multimodal
from benchbase_llm4rec.config import MultimodalConfig
from benchbase_llm4rec.features import modalities, why_not
from pydantic import ValidationError

from benchbase.data import Categories
from benchbase.nn import EncoderContext
from benchbase.testing.contracts import EncoderContract
from benchbase.testing.world import tiny_context

pytest.importorskip("sklearn.decomposition")  # to import it moves Python's own generator

SPEC, = benchbase_encoders()
WIDTH, N = 8, 30
EVERYTHING = {"text": ("title", "brand"), "categories": ("genre", "mood"), "numbers": ("price", "pages"),
              "times": ("year",), "place": ("latitude", "longitude"), "vectors": ("image",)}
WORDS = ("red", "green", "blue", "old", "new", "house", "tree", "river", "night", "day")
BARE = 5
"""An item of which nothing is known."""

ITEMS = torch.arange(1, N + 1)


def categories(of_items, labels):
    """Ragged categories of items 1.. from a list of lists."""
    offsets = np.concatenate([[0, 0], np.cumsum([len(each) for each in of_items])])
    return Categories(offsets, np.array([label for each in of_items for label in each], np.int32), labels)


def rich_context(seed=0):
    """The tiny world's context with a catalogue of which much is known, and every fifth item or so lacks each thing."""
    random, context = np.random.default_rng(seed), replace(tiny_context(), width=WIDTH)
    lacks = random.random((7, N + 1)) < 0.2
    lacks[:, [0, BARE]] = True
    lacks[:, 1] = False
    columns = {
        "title": np.array(["" if lost else " ".join(random.choice(WORDS, 3)) for lost in lacks[0]], object),
        "brand": np.array(["" if lost or item % 3 else "acme" for item, lost in enumerate(lacks[0])], object),
        "price": np.where(lacks[1], np.nan, random.lognormal(2, 1, N + 1)),
        "pages": np.where(lacks[2], -1, random.integers(1, 500, N + 1)),
        "year": np.where(lacks[3], -1, 1990 + np.arange(N + 1) % 30),
        "latitude": np.where(lacks[4], np.nan, 40 + random.random(N + 1)),
        "longitude": np.where(lacks[4], np.nan, -74 + random.random(N + 1)),
    }
    genre = categories([[] if lost else sorted({item % 3, item % 2}) for item, lost in enumerate(lacks[5])][1:],
                       ("a", "b", "c"))
    mood = categories([[item % 2] if 1 <= item < 12 and item != BARE else [] for item in range(1, N + 1)],
                      ("calm", "loud"))
    image = np.where(lacks[6][:, None], np.nan, random.normal(size=(N + 1, 6))).astype(np.float32)
    catalogue = replace(context.catalogue, columns=columns, categories={"genre": genre, "mood": mood},
                        vectors={"image": image})
    return replace(context, catalogue=catalogue)


def encoder(seed=0, context=None, **config):
    torch.manual_seed(seed)
    return build_multimodal(MultimodalConfig(**config), context or rich_context()).double()


def vectors(made, items=ITEMS, phase="score"):
    return made(items, EncoderContext(phase, torch.Generator().manual_seed(1)))


class Contract(EncoderContract):
    spec = SPEC

    def context(self):
        return rich_context()


class TestEverything(Contract):
    config = MultimodalConfig(**EVERYTHING)


class TestDropout(Contract):
    config = MultimodalConfig(**EVERYTHING, dropout=0.3, fusion="mean", attention=False)


class TestOneModality(Contract):
    config = MultimodalConfig(text=("title",), beta=0.0)


class TestOneOfLabels(Contract):
    config = MultimodalConfig(categories=("mood",))


class TestVectorsAlone(Contract):
    config = MultimodalConfig(vectors=("image",), attention=False)


@pytest.mark.parametrize("fusion", ["adaptive", "mean"])
@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_vectors_and_gradients_are_those_of_a_slow_reference(fusion, attention, beta):
    made = encoder(**EVERYTHING, fusion=fusion, attention=attention, beta=beta)
    with torch.no_grad():
        made.null.normal_()
    items = torch.tensor([1, BARE, 17, 17, 30])
    found, expected = vectors(made, items), torch.stack([slow(made, int(item)) for item in items])
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-8)
    along = torch.randn(found.shape, dtype=torch.float64)
    parameters = list(made.parameters())
    for one, other in zip(*(torch.autograd.grad((each * along).sum(), parameters) for each in (found, expected)),
                          strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-8)


def slow(made, item):
    """One item's vector, by the formulas, modality by modality."""
    h = []
    for m, reader in enumerate(made.readers):
        if not made.known[item - 1, m]:
            h.append(made.null[m])
        elif hasattr(reader, "values"):
            h.append(reader.norm(reader.map(reader.values[item - 1])))
        else:
            sums = 0
            for place, table in enumerate(reader.tables):
                offsets, labels = getattr(reader, f"offsets_{place}"), getattr(reader, f"labels_{place}")
                own = labels[offsets[item - 1] : offsets[item]]
                sums = sums + (table[own].mean(0) if len(own) else torch.zeros(WIDTH, dtype=torch.float64))
            h.append(reader.norm(sums))
    if made.attention is not None:
        query, key, value = made.attention.map
        read = []
        for m in range(len(h)):
            others = [n for n in range(len(h)) if n != m]
            scores = torch.stack([(h[m] @ query[m]) @ (h[n] @ key[n]) / WIDTH**0.5 for n in others])
            share = scores.exp() / scores.exp().sum()
            read.append(h[m] + sum(share[i] * (h[n] @ value[n]) for i, n in enumerate(others)))
        h = read
    if made.weigh is None:
        alpha = [1 / len(h)] * len(h)
    else:
        scores = torch.stack([made.weigh.outer(torch.tanh(made.weigh.inner(each)))[0] for each in h])
        alpha = scores.exp() / scores.exp().sum()
    fused = sum(alpha[m] * each for m, each in enumerate(h))
    if made.mlp is not None:
        first, _, second = made.mlp
        fused = fused + made.beta * second(F.gelu(first(torch.cat(h))))
    return made.out.weight @ fused


def test_alpha_adds_up_to_one_and_differs_between_items():
    made = encoder(**EVERYTHING)
    alpha = made.weights(made.tokens(ITEMS))
    assert alpha.shape == (N, 6) and (alpha > 0).all()
    torch.testing.assert_close(alpha.sum(1), torch.ones(N, dtype=torch.float64))
    assert not torch.allclose(alpha[0], alpha[1])
    even = encoder(**EVERYTHING, fusion="mean")
    assert torch.equal(even.weights(even.tokens(ITEMS)), torch.full((N, 6), 1 / 6, dtype=torch.float64))


def test_attention_across_modalities_is_a_share_of_the_others_and_asymmetric():
    made = encoder(**EVERYTHING)
    a = made.attention.weights(made.tokens(ITEMS))
    assert a.shape == (N, 6, 6)
    torch.testing.assert_close(a.sum(2), torch.ones(N, 6, dtype=torch.float64))
    assert not a.diagonal(dim1=1, dim2=2).any()
    off = ~torch.eye(6, dtype=torch.bool)
    assert not torch.isclose(a, a.transpose(1, 2))[:, off].any()


def test_one_modality_alone_is_its_encoder():
    for config in ({"text": ["title"]}, {"categories": ["genre"]}, {"vectors": ["image"]}):
        made = encoder(**config, beta=0.0)
        assert made.attention is None and made.weigh is None and made.mlp is None
        read = made.readers[0](ITEMS - 1)
        known = made.known[:, 0]
        torch.testing.assert_close(made.fused(ITEMS)[known], read[known])
        torch.testing.assert_close(made.fused(ITEMS)[~known], made.null.expand(int((~known).sum()), -1))


def test_what_an_item_lacks_cannot_change_its_vector():
    """Whatever stands in place of features that are not known, no number and no gradient moves."""
    plain, stuffed = encoder(**EVERYTHING), encoder(**EVERYTHING)
    for m, reader in enumerate(stuffed.readers):
        if hasattr(reader, "values"):
            missing = ~stuffed.known[:, m]
            assert missing.any() and not plain.readers[m].values[missing].any()
            reader.values[missing] = 1e6
    along = torch.randn(N, WIDTH, dtype=torch.float64)
    results = []
    for made in (plain, stuffed):
        found = vectors(made)
        results.append([found, *torch.autograd.grad((found * along).sum(), list(made.parameters()))])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)
    assert torch.isfinite(results[0][0]).all()


def test_items_of_which_nothing_is_known_share_the_null():
    made = encoder(**EVERYTHING)
    assert not made.known[BARE - 1].any()
    assert [item for item in range(1, N + 1) if not made.known[item - 1].any()] == [BARE]
    torch.testing.assert_close(made.tokens(torch.tensor([BARE]))[0], made.null)


def test_features_are_what_the_catalogue_says():
    config = MultimodalConfig(**EVERYTHING)
    context = rich_context()
    found = modalities(config, context.catalogue)
    assert list(found) == ["text", "categories", "numbers", "times", "place", "vectors image"]
    price, pages = (context.catalogue.columns[name][1:].astype(float) for name in ("price", "pages"))
    known = ~np.isnan(price)
    numbers = found["numbers"].values
    np.testing.assert_allclose(numbers[known, 0], (price[known] - price[known].mean()) / price[known].std(), rtol=1e-5)
    assert (numbers[:, 1] == known).all() and (numbers[:, 3] == (pages != -1)).all()
    assert (found["numbers"].known == (known | (pages != -1))).all()
    assert not numbers[~known, 0].any()
    years = context.catalogue.columns["year"][1:]
    told = years != -1
    place = (years - years[told].min()) / (years[told].max() - years[told].min())
    np.testing.assert_allclose(found["times"].values[told, 0], 2 * place[told] - 1, atol=1e-6)
    np.testing.assert_allclose(found["times"].values[told, 1], np.sin(2 * np.pi * place[told]), atol=1e-6)
    sphere = found["place"].values[:, :3]
    np.testing.assert_allclose(np.linalg.norm(sphere[found["place"].known], axis=1), 1, rtol=1e-6)
    image = found["vectors image"].values[found["vectors image"].known]
    np.testing.assert_allclose(np.sqrt(np.mean(image**2)), 1, rtol=1e-5)
    lengths = np.linalg.norm(found["text"].values, axis=1)
    np.testing.assert_allclose(lengths[found["text"].known], np.sqrt(found["text"].values.shape[1]), rtol=1e-5)


def test_east_and_west_of_the_date_line_are_near():
    context = tiny_context()
    longitude = np.where(np.arange(N + 1) % 2, 179.9, -179.9)
    columns = {"latitude": np.full(N + 1, 10.0), "longitude": longitude}
    found = modalities(MultimodalConfig(place=("latitude", "longitude")),
                       replace(context.catalogue, columns=columns))["place"]
    assert np.abs(found.values[0, :3] - found.values[1, :3]).max() < 0.01


ODD = np.arange(N + 1) % 2 == 1
HAS = ("The data set has text: title, brand; numbers: price, pages, year, latitude, longitude; categories: genre, "
       "mood; vectors: image.")


@pytest.mark.parametrize(("config", "message"), [
    ({}, "multimodal: it names nothing that is known of items. Expected some of text, categories, numbers, times, "
         f"place, vectors. {HAS}"),
    ({"text": ["year"]}, f"multimodal.text: the column year holds numbers. Expected text. {HAS}"),
    ({"numbers": ["price", "title"]}, f"multimodal.numbers: the column title holds text. Expected numbers. {HAS}"),
    ({"place": ["year", "longitude"]},
     "multimodal.place: year goes to 2019. Expected degrees, up to 90. Name another column."),
    ({"place": ["latitude", "year"]},
     "multimodal.place: year goes to 2019. Expected degrees, up to 180. Name another column."),
    (EVERYTHING, None),
])
def test_what_the_data_set_does_not_hold(config, message):
    assert why_not(MultimodalConfig(**config), rich_context()) == message


@pytest.mark.parametrize(("changes", "config", "message"), [
    ({"columns": {"price": np.full(N + 1, np.nan)}}, {"numbers": ["price"]},
     "multimodal.numbers: no item has a price. Expected some. Leave it out."),
    ({"columns": {"year": np.full(N + 1, -1)}}, {"times": ["year"]},
     "multimodal.times: no item has a year. Expected some. Leave it out."),
    ({"columns": {"title": np.full(N + 1, " ?! ", object)}}, {"text": ["title"]},
     "multimodal.text: no item has a word in title. Expected some. Leave it out."),
    ({"categories": {"genre": categories([[]] * N, ())}}, {"categories": ["genre"]},
     "multimodal.categories: no item has a genre. Expected some. Leave it out."),
    ({"columns": {"price": np.full(N + 1, -3e300)}}, {"numbers": ["price"]},
     "multimodal.numbers: price goes to 3e+300. Expected numbers up to 1e+30. Rescale it, or leave it out."),
    ({"columns": {"north": np.where(ODD, np.nan, 1.0), "east": np.where(ODD, 1.0, np.nan)}},
     {"place": ["north", "east"]},
     "multimodal.place: no item has both north and east. Expected some. Leave it out."),
    ({"vectors": {"image": np.full((N + 1, 3), np.nan, np.float32)}}, {"vectors": ["image"]},
     "multimodal.vectors: no item has image. Expected some. Leave it out."),
])
def test_features_that_no_item_has(changes, config, message):
    context = rich_context()
    context = replace(context, catalogue=replace(context.catalogue, **changes))
    assert why_not(MultimodalConfig(**config), context) == message


@pytest.mark.parametrize(("config", "message"), [
    ({"text": ["a", "a"]}, "text names one twice: a, a. Expected each once. Remove one."),
    ({"place": ["latitude"]}, "place names 1 columns. Expected two, of latitude and longitude. Name both."),
    ({"sentences": "mini"}, "sentences is given, and text names no column. Expected some. Name them, or remove it."),
])
def test_parameters_that_say_nothing(config, message):
    with pytest.raises(ValidationError) as error:
        MultimodalConfig(**config)
    assert message in str(error.value)


def test_constant_numbers_and_single_years_are_finite():
    context = tiny_context()
    columns = {"price": np.full(N + 1, 3.0), "year": np.full(N + 1, 1999)}
    context = replace(context, width=WIDTH, catalogue=replace(context.catalogue, columns=columns))
    made = encoder(context=context, numbers=("price",), times=("year",))
    assert torch.isfinite(vectors(made)).all()
