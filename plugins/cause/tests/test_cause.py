"""What CAUSE must obey: its equations one item at a time, its limits, what history may touch and what not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from benchbase_cause import benchbase_compressors, refuse_cause, refuse_pma
from benchbase_cause.clusters import cluster
from benchbase_cause.config import CauseConfig, PMAConfig
from pydantic import ValidationError

from benchbase.data import split
from benchbase.data.batches import Feed, FeedConfig
from benchbase.data.sequences import Events, gather
from benchbase.errors import BenchbaseError
from benchbase.nn import Kind
from benchbase.specs import LayoutConfig
from benchbase.testing.build import make_model
from benchbase.testing.tiny import tiny_causal, tiny_softmax
from benchbase.testing.world import tiny_context, tiny_world

SPECS = {spec.name: spec for spec in benchbase_compressors()}
WINDOW = 6
CONTEXT = tiny_context(window=WINDOW)


def part_of(name="cause", seed=0, **config):
    torch.manual_seed(seed)
    spec = SPECS[name]
    return spec.build(spec.config(**config), replace(CONTEXT, width=8)).double()


def random_table(seed=0):
    return torch.randn(31, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def embed_by(table):
    return lambda items: table[items] * (items > 0).unsqueeze(-1)


def rows(longest=None):
    """History and window of every user of the tiny world."""
    events = tiny_world().interactions
    first, last = events.offsets[:-1], events.offsets[1:]
    begins = np.maximum(first, last - WINDOW)
    if longest is not None:
        first = np.maximum(first, begins - longest)
    return gather(events, first, begins), gather(events, begins, last)


def shaken(part):
    """Every parameter moved, so that nothing is 0 or 1 by chance."""
    with torch.no_grad():
        for parameter in part.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, dtype=parameter.dtype)
    return part


@pytest.mark.parametrize("decay", [1.0, 0.6])
@pytest.mark.parametrize("fusion", ["sum", "align_sum", "concat", "mean"])
def test_tokens_are_those_of_the_equations_with_their_gradients(fusion, decay):
    part = shaken(part_of(fusion=fusion, decay=decay, buckets=2, items=3))
    history, window = rows()
    plan = part.plan(history, window, WINDOW).to("cpu")
    table = random_table().requires_grad_()
    made = part.encode(plan, embed_by(table))
    leaves = [table, *part.parameters()]
    total, by_hand = 0, 0
    for row in range(history.n_rows):
        for place in range(int(plan.tokens[row])):
            held = [int(item) for item in plan.arrays["items"][row, place] if item > 0]
            weights = [decay**n for n in range(len(held))]
            aligned = [table[item] if part.align is None else part.align.weight @ table[item] + part.align.bias
                       for item in held]
            category = part.category[plan.arrays["category"][row, place]]
            summed = sum(weight * each for weight, each in zip(weights, aligned, strict=True))
            if fusion == "mean":
                token = (category + summed) / (1 + sum(weights))
            elif fusion == "concat":
                token = part.fuse.weight @ torch.cat([category, summed / sum(weights)]) + part.fuse.bias
            else:
                token = category + summed / sum(weights)
            token = token + part.slots[place]
            torch.testing.assert_close(made.x[row, place], token, atol=1e-12, rtol=0)
            direction = torch.randn(8, generator=torch.Generator().manual_seed(100 * row + place), dtype=torch.float64)
            total, by_hand = total + made.x[row, place] @ direction, by_hand + token @ direction
    for one, other in zip(torch.autograd.grad(total, leaves), torch.autograd.grad(by_hand, leaves), strict=True):
        torch.testing.assert_close(one, other, atol=1e-11, rtol=0)
        assert (one != 0).any()


def test_alignment_starts_as_none():
    """W is the identity and b is 0, so that training begins where `fusion: sum` does."""
    history, window = rows()
    aligned, plain = part_of(), part_of(fusion="sum")
    with torch.no_grad():
        plain.category.copy_(aligned.category)
    tokens = [part.encode(part.plan(history, window, WINDOW).to("cpu"), embed_by(random_table())).x
              for part in (aligned, plain)]
    torch.testing.assert_close(*tokens, atol=1e-12, rtol=0)


def test_a_bucket_of_one_item_without_a_vector_of_its_category_is_the_item():
    part = part_of(fusion="sum", items=1)
    torch.nn.init.zeros_(part.category)
    history, window = rows()
    plan, table = part.plan(history, window, WINDOW).to("cpu"), random_table()
    made = part.encode(plan, embed_by(table)).x
    assert torch.equal(made[plan.used], table[plan.arrays["items"][:, : plan.latest.shape[1], 0].long()][plan.used])


def exchanged(history, categories):
    """The history with two neighbours of one bucket exchanged in each row that has such; and how many rows."""
    items, changed = history.item.copy(), 0
    for row in range(history.n_rows):
        begins, ends = history.offsets[row : row + 2].tolist()
        for at in range(begins, ends):
            same = [other for other in range(at + 1, ends) if items[other] != items[at]
                    and categories.of(int(items[other])).tolist() == categories.of(int(items[at])).tolist()]
            if same:
                items[at], items[same[0]] = items[same[0]], items[at]
                changed += 1
                break
    return replace(history, item=items), changed


@pytest.mark.parametrize(("decay", "moves"), [(1.0, False), (0.5, True)])
def test_order_inside_a_bucket_counts_only_under_decay(decay, moves):
    part = part_of(decay=decay, items=0)
    history, window = rows()
    other, changed = exchanged(history, part.categories)
    assert changed > 3
    one, two = (part.encode(part.plan(each, window, WINDOW).to("cpu"), embed_by(random_table())).x
                for each in (history, other))
    assert torch.allclose(one, two, atol=1e-12) != moves


def test_under_decay_newer_items_weigh_more():
    part = part_of(decay=0.5, fusion="sum", slots=False)
    history, window = rows()
    table = random_table().requires_grad_()
    plan = part.plan(history, window, WINDOW).to("cpu")
    row, place = next((row, place) for row in range(history.n_rows) for place in range(int(plan.tokens[row]))
                      if len({int(i) for i in plan.arrays["items"][row, place] if i}) >= 3)
    grad, = torch.autograd.grad(part.encode(plan, embed_by(table)).x[row, place].sum(), table)
    held = list(dict.fromkeys(int(i) for i in plan.arrays["items"][row, place] if i))
    weights = [float(grad[item].sum()) for item in held]
    assert sorted(weights, reverse=True) == weights and weights[0] > weights[-1] > 0


def model_of(layout, *, user_token=True, seed=0, **config):
    return make_model(tiny_causal, {"n_layers": 2}, objectives=[tiny_softmax], compressor=(SPECS["cause"], config),
                      layout=LayoutConfig(kind=layout, user_token=user_token), context=CONTEXT, seed=seed).double()


def batches(model, size=24):
    world = tiny_world()
    divided = split(world.interactions, world.catalogue, "leave_one_out")
    feed = Feed(world.interactions, world.catalogue, divided, FeedConfig(window=WINDOW), model.compressor)
    for chunk in feed.score_batches(divided.test_events, size):
        yield replace(chunk.batch, actions=chunk.batch.actions.double(), features=chunk.batch.features.double()), chunk


@pytest.mark.parametrize(("layout", "each"), [("stacked", 1), ("items", 1), ("interleaved", 2)])
def test_sequences_have_as_many_tokens_as_the_paper_counts(layout, each):
    """1 + V' + (L - V') tokens stacked, 1 + V' + 2 (L - V') interleaved, where the window is full."""
    model, seen = model_of(layout), 0
    for batch, _ in batches(model):
        encoded = model.encode(batch, "score")
        plan = batch.plan
        full = torch.as_tensor(plan.displaced == plan.tokens) & (torch.as_tensor(plan.tokens) > 0)
        tokens = torch.as_tensor(plan.tokens)
        wanted = 1 + tokens + each * (WINDOW - tokens)
        assert (encoded.tokens.valid.sum(1)[full] == wanted[full]).all()
        seen += int(full.sum())
    assert seen > 10


def test_under_an_extra_budget_no_event_gives_way():
    model, plain = model_of("stacked", budget="extra"), model_of("stacked")
    (batch, _), = batches(model)
    (fewer, _), = batches(plain)
    assert (batch.plan.displaced == 0).all() and (batch.lengths == WINDOW).any()
    assert fewer.plan.displaced.max() > 0 and (fewer.plan.displaced <= fewer.plan.tokens).all()


def test_limits_above_all_there_is_leave_states_as_they_are():
    one, other = model_of("items"), model_of("items", buckets=0, items=0)
    other.load_state_dict(one.state_dict())
    (batch, _), (same, _) = next(batches(one)), next(batches(other))
    assert torch.equal(one.encode(batch, "score").states.after, other.encode(same, "score").states.after)


def test_history_moves_events_and_never_the_user():
    model = model_of("items")
    (batch, _), = batches(model)
    encoded, hidden = hidden_of(model, batch)
    user = (encoded.tokens.kind[0] == Kind.USER).nonzero().item()
    reached = [torch.autograd.grad(h.square().sum(), model.compressor.category, retain_graph=True)[0]
               for h in (hidden[:, user], hidden[:, encoded.tokens.n_prefix])]
    assert (reached[0] == 0).all() and (reached[1] != 0).any(1).all()


def hidden_of(model, batch):
    """One forward pass and the hidden of every token."""
    kept = []
    handle = model.backbone.register_forward_hook(lambda module, given, h: kept.append(h))
    encoded = model.encode(batch, "score")
    handle.remove()
    return encoded, kept[0]


def test_history_is_older_than_every_event_and_is_asked_for_nowhere():
    model = model_of("items")
    for batch, chunk in batches(model):
        tokens = model.encode(batch, "score").tokens
        before = (tokens.kind == Kind.HISTORY) & tokens.valid
        assert before.any() and (tokens.event[before] == -1).all()
        first = batch.timestamps[:, :1]
        assert (torch.where(before, tokens.timestamp, 0) <= first).all()
        assert (chunk.targets.event >= 1).all() and len(chunk.targets) == batch.n_rows


def test_refilled_buckets_hold_what_gave_way():
    """As many tokens as without, and the displaced events are in them."""
    history, window = rows()
    plain, refilled = (part_of(refill=refill, items=0).plan(history, window, WINDOW) for refill in (False, True))
    assert (plain.tokens == refilled.tokens).all() and (plain.displaced == refilled.displaced).all()
    categories, gained = part_of().categories, 0
    for row in range(history.n_rows):
        gone = window.item[window.offsets[row] : window.offsets[row] + plain.displaced[row]]
        held = {(int(c), int(i)) for c, bucket in zip(refilled.arrays["category"][row], refilled.arrays["items"][row],
                                                      strict=True) for i in bucket if i}
        kept = set(refilled.arrays["category"][row, : refilled.tokens[row]].tolist())
        for item in gone.tolist():
            for category in set(categories.of(item).tolist()) & kept:
                assert (category, item) in held
                gained += 1
    assert gained > 10


def test_history_of_one_action_leaves_the_others_out():
    history, window = rows()
    part = part_of(action="like", items=0, buckets=0)
    liked = history.actions[:, CONTEXT.action_names.index("like")] > 0
    assert 0 < liked.sum() < len(liked)
    plan = part.plan(history, window, WINDOW)
    for row in range(history.n_rows):
        mine = slice(history.offsets[row], history.offsets[row + 1])
        assert set(plan.arrays["items"][row].ravel().tolist()) - {0} == set(history.item[mine][liked[mine]].tolist())


def test_chronological_buckets_are_the_same_ones_turned_round():
    history, window = rows()
    newest, oldest = (part_of(order=order).plan(history, window, WINDOW) for order in ("recent_first", "chronological"))
    for row, count in enumerate(newest.tokens.tolist()):
        for name, column in newest.columns().items():
            if name not in ("tokens", "displaced"):
                assert (oldest.columns()[name][row, :count] == column[row, :count][::-1]).all()
        assert (np.diff(oldest.latest[row, :count]) >= 0).all()


def test_a_mean_of_the_newest_items():
    part, (history, window), table = part_of("mean_pool", items=3), rows(), random_table()
    plan = part.plan(history, window, WINDOW).to("cpu")
    made = part.encode(plan, embed_by(table)).x
    for row, length in enumerate(history.lengths.tolist()):
        newest = history.item[history.offsets[row + 1] - min(length, 3) : history.offsets[row + 1]]
        assert int(plan.tokens[row]) == (length > 0)
        if length:
            torch.testing.assert_close(made[row, 0], table[newest.astype(int)].mean(0), atol=1e-12, rtol=0)
    assert part.plan(*rows(0), WINDOW).tokens.sum() == 0


def test_learned_queries_are_those_of_the_set_transformer():
    """One query, head and item at a time, with gradients."""
    part = shaken(part_of("pma", tokens=3, heads=2, items=4))
    history, window = rows()
    table = random_table().requires_grad_()
    plan = part.plan(history, window, WINDOW).to("cpu")
    made, total, by_hand = part.encode(plan, embed_by(table)).x, 0, 0
    assert made.shape == (history.n_rows, 3, 8)
    for row in range(history.n_rows):
        items = [int(item) for item in plan.arrays["items"][row] if item > 0]
        for place in range(3 if items else 0):
            seed, heads = part.seeds[place], []
            for head in range(2):
                some = slice(4 * head, 4 * head + 4)
                scores = torch.stack([part.query(seed)[some] @ part.key(table[item])[some] / 2 for item in items])
                values = torch.stack([part.value(table[item])[some] for item in items])
                heads.append(scores.softmax(0) @ values)
            h = part.first(seed + part.out(torch.cat(heads)))
            token = part.second(h + torch.relu(part.rest(h)))
            torch.testing.assert_close(made[row, place], token, atol=1e-10, rtol=0)
            direction = torch.randn(8, generator=torch.Generator().manual_seed(10 * row + place), dtype=torch.float64)
            total, by_hand = total + made[row, place] @ direction, by_hand + token @ direction
    leaves = [table, *part.parameters()]
    for one, other in zip(torch.autograd.grad(total, leaves), torch.autograd.grad(by_hand, leaves), strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=0)


def test_without_history_tokens_the_window_alone_gets_shorter():
    plan = part_of("recent_only", displaced=2).plan(*rows(), WINDOW)
    history, _ = rows()
    assert (plan.tokens == 0).all() and (plan.displaced == np.where(history.lengths > 0, 2, 0)).all()


def block_events(users=60, n_items=40, blocks=4, each=15):
    """Users who meet the items of one block alone; the last two items are met by nobody."""
    draw = np.random.default_rng(0)
    items = np.concatenate([1 + (user % blocks) + blocks * draw.integers(0, (n_items - 2) // blocks, each)
                            for user in range(users)])
    offsets = np.arange(0, len(items) + 1, each)
    return Events(offsets, items.astype(np.int32), np.zeros(len(items), np.int64), np.zeros((len(items), 0)))


def test_clusters_are_of_items_that_the_same_users_meet():
    events = block_events()
    found = cluster(events, 40, 4)
    met = np.unique(events.item)
    labels = {int(item): found.of(int(item)).tolist() for item in range(1, 41)}
    assert all(len(labels[int(item)]) == 1 for item in met)
    assert labels[39] == labels[40] == [] and len(found.offsets) == 42
    of_block = [{labels[int(item)][0] for item in met if (item - 1) % 4 == block} for block in range(4)]
    assert all(len(each) == 1 for each in of_block) and len(set().union(*of_block)) == 4
    again = cluster(events, 40, 4)
    assert (again.values == found.values).all() and again.labels == found.labels == tuple(
        f"cluster {n}" for n in range(4))


def test_how_often_an_item_is_met_does_not_matter():
    events = block_events()
    twice = Events(events.offsets * 2, np.repeat(events.item, 2), np.repeat(events.timestamp, 2), np.zeros((1800, 0)))
    assert (cluster(events, 40, 4).values == cluster(twice, 40, 4).values).all()


def test_clusters_without_scikit_learn_say_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.cluster", None)
    with pytest.raises(BenchbaseError, match=r"^cause: clusters need a library .* Install benchbase-cause\[kmeans\]"):
        cluster(block_events(), 40, 4)


@pytest.mark.parametrize(("users", "count", "told"), [(60, 39, "39 clusters of 36 items that 60 users met"),
                                                      (1, 2, r"2 clusters of \d+ items that 1 users met")])
def test_more_clusters_than_items_are_refused(users, count, told):
    with pytest.raises(BenchbaseError, match=f"^cause: {told}. Expected fewer clusters than items, and two users"):
        cluster(block_events(users), 40, count)


@pytest.mark.parametrize(("config", "told"), [
    ({"clusters": 1}, r"clusters: 1 tells no items apart\. Expected 0, for those of the catalogue, or 2 and more"),
    ({"clusters": 4, "categories": "genre"}, r"categories: genre beside clusters: 4\. Expected one of them"),
    ({"refill": True, "budget": "extra"}, r"refill: no event gives way under budget: extra\. Expected false, or"),
])
def test_parameters_that_contradict_each_other_are_refused(config, told):
    with pytest.raises(ValidationError, match=told):
        CauseConfig(**config)


def test_what_the_data_lacks_is_refused_with_what_it_has():
    known = CONTEXT.catalogue.categories["genre"]
    several = replace(CONTEXT, catalogue=replace(CONTEXT.catalogue, categories={"genre": known, "tag": known}))
    assert refuse_cause(CauseConfig(), several) == (
        "cause: the data set has several columns of categories. Expected `categories`, one of genre, tag.")
    assert refuse_cause(CauseConfig(categories="tag"), several) is None
    assert refuse_cause(CauseConfig(clusters=3), several) is None
    assert refuse_cause(CauseConfig(action="buy"), CONTEXT) == (
        "cause: action buy is not in the data. Expected one of like, share.")
    assert refuse_cause(CauseConfig(action="buy"), replace(CONTEXT, action_names=())) == (
        "cause: action buy is not in the data. Expected one of none, the data has no actions.")
    assert SPECS["cause"].resolve("needs", CauseConfig()).categories is True
    assert SPECS["cause"].resolve("needs", CauseConfig(categories="tag")).categories == {"tag"}
    assert SPECS["cause"].resolve("needs", CauseConfig(clusters=3)).categories is False


def test_heads_that_do_not_divide_the_width_are_refused():
    assert refuse_pma(PMAConfig(heads=3), replace(CONTEXT, width=8)) == (
        "pma: 3 heads do not divide the backbone's width 8. Expected a divisor of it.")
    assert refuse_pma(PMAConfig(heads=4), replace(CONTEXT, width=8)) is None
