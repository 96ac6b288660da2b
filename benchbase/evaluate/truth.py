"""What the truth behind a generated data set says of a trained model."""

import torch

from ..assemble import Experiment, settled
from ..data import Truth
from .attention import attending_rows, attention, each_event, has_shares
from .forward import autocast
from .ranking import ranked_events


def against_truth(experiment: Experiment, truth: Truth) -> dict[str, float]:
    """What the truth behind a data set says of the model on the test part; nothing of a recommender, which has none."""
    model, feed = experiment.model, experiment.feed
    if model is None or feed is None:
        return {}
    model.eval()
    groups, rows = each_event if has_shares(model) else None, attending_rows(experiment)
    with settled(experiment.suite.train.threads), torch.inference_mode():
        known = model.items("score")
        for chunk in feed.score_batches(ranked_events(experiment, "test"), rows):
            batch = chunk.batch.to(experiment.device)
            with autocast(experiment):
                encoded = model.encode(batch, "score", groups, known)
            items = batch.items.masked_fill(batch.hide_item | ~batch.valid, 0)
            traces = {name: encoded.traces[name].float().cpu().numpy() for name in truth.traces & set(encoded.traces)}
            truth.observe(items.cpu().numpy(), traces, attention(encoded))
    return truth.metrics()
