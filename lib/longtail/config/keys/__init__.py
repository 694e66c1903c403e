"""All configuration keys, one table per section.

The names are those of the released Bag of Tricks and NCL, so that their YAML files load unchanged. Where the two
releases have different defaults for one key, its meaning says which one was chosen.
"""

from longtail.config.key import Keys
from longtail.config.keys.data import DATA
from longtail.config.keys.evaluation import EVALUATION
from longtail.config.keys.loss import LOSS
from longtail.config.keys.network import NETWORK
from longtail.config.keys.run import RUN
from longtail.config.keys.training import TRAINING

SECTIONS: dict[str, Keys] = {
    "Run": RUN,
    "Data": DATA,
    "Network": NETWORK,
    "Loss": LOSS,
    "Training": TRAINING,
    "Evaluation": EVALUATION,
}
KEYS: Keys = {name: key for section in SECTIONS.values() for name, key in section.items()}

__all__ = ["KEYS", "SECTIONS"]
