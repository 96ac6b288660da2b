"""The explainer `template`: a sentence with places for the evidence."""

from benchbase import BuildContext
from benchbase.data import Explainer, Explanation, Names, Recommendation, quoted

from .config import TemplateConfig
from .evidence import choose, chosen, labelled, shared


class Template(Explainer):
    """“X” is recommended because you chose “A” and “B”; like “A”, it is “Drama”.

    Source: Ma et al. 2025, its explanations out of a template; here without a language model.
    """

    def __init__(self, config: TemplateConfig, context: BuildContext):
        self.config, self.names = config, Names(context.catalogue)

    def explain(self, recommendation: Recommendation) -> Explanation:
        asked, names = recommendation, self.names
        events = choose(self.config, asked, names)
        features = shared(asked, events[0], names)
        text = f"{quoted(names.item(asked.item))} is recommended because you chose {chosen(asked, events, names)}"
        if features:
            text += f"; like {quoted(names.item(int(asked.past[events[0]])))}, it is {labelled(features)}"
        return Explanation(events, f"{text}.", features)
