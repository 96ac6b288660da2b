"""How much of a model's attention goes from events of one domain to those of another."""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..assemble import Experiment, settled
from ..data.batches import Batch
from ..nn import Encoded, Tokens
from .forward import ROWS, autocast
from .ranking import ranked_events


def attention_across(experiment: Experiment) -> np.ndarray | None:
    """For each ranked event of the test part, the weight that the events before it have for those of other domains.

    (n,) float32 from 0 to 1, in the order of a `Ranking`: the mean over layers, heads and events, before dropout, by
    the domains of the data, whatever the model was told. None where nothing crosses or nothing can be said: a
    recommender, weights that are no shares, fewer than two domains, sequences of one domain each.
    """
    model, feed, catalogue = experiment.model, experiment.feed, experiment.data.prepared.catalogue
    if model is None or feed is None or model.traits.normaliser is not None:
        return None
    if catalogue.domain is None or len(catalogue.domain_names) < 2 \
            or experiment.configuration.sequence.events == "own_domain":
        return None
    domain = torch.from_numpy(catalogue.domain.astype(np.int64)).to(experiment.device)
    events = ranked_events(experiment, "test")
    found = np.zeros(len(events), np.float32)
    model.eval()
    with settled(experiment.suite.train.threads), torch.inference_mode():
        items = model.items("score")
        for chunk in feed.score_batches(events, ROWS):
            batch = chunk.batch.to(experiment.device)
            with autocast(experiment):
                encoded = model.encode(batch, "score", partial(_groups, batch=batch, domain=domain), items)
            if not encoded.masses:
                return None
            crosses = _crosses(encoded, batch, domain)
            found[chunk.index] = crosses[chunk.targets.row.to(crosses.device)].cpu().numpy()
    return found


def _domains(tokens: Tokens, batch: Batch, domain: Tensor) -> Tensor:
    """The domain of each token's event, (B, S); -1 where there is none, it is hidden, or nobody knows."""
    shown = batch.valid & ~batch.hide_item
    of_event = torch.where(shown, domain[batch.items], -1)
    found = of_event.gather(1, tokens.event.clamp_min(0))
    return torch.where(tokens.valid & (tokens.event >= 0), found, -1)


def _groups(tokens: Tokens, batch: Batch, domain: Tensor) -> Tensor:
    """A group of keys for each domain, (B, S, domains)."""
    return F.one_hot(_domains(tokens, batch, domain) + 1, int(domain.max()) + 2)[..., 1:]


def _crosses(encoded: Encoded, batch: Batch, domain: Tensor) -> Tensor:
    """The mean over a row's events of the weight that leaves their domain, (B)."""
    own = _groups(encoded.tokens, batch, domain).to(torch.bool)
    mass = torch.stack(list(encoded.masses)).float().mean(dim=(0, 2))  # (B, S, domains)
    known = own.any(dim=-1)
    left = mass.masked_fill(own, 0).sum(dim=-1) * known
    return left.sum(dim=1) / known.sum(dim=1).clamp_min(1)
