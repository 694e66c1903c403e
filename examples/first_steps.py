# %% [markdown]
# # First steps in Python
#
# Two classifiers of long-tailed handwritten digits: one trained with cross-entropy, one with a loss that knows the
# class sizes. Run the cells in Jupyter (with jupytext), VS Code or Spyder, or run the whole file with
# `python examples/first_steps.py`. It needs no download and no GPU, and takes a few minutes.

# %%
"""First steps in Python: train, evaluate, adjust, predict."""

from PIL import Image
from sklearn.datasets import load_digits

import longtail

EPOCHS = 30

# %% [markdown]
# ## Train
#
# A config is data and method. `longtail list` prints the names; every key can be overridden. Running the cell again
# finds the finished runs and trains nothing.

# %%
runs = {}
for method in ("ce", "balanced_softmax"):
    cfg = longtail.load_config(f"digits_lt,{method}", ["TRAIN.MAX_EPOCH", EPOCHS, "VALID_STEP", -1])
    runs[method] = longtail.train(cfg, gpus="cpu")

# %% [markdown]
# ## Evaluate
#
# Accuracy over all digits, and over classes with at least 100, 21 to 99, and at most 20 training images.

# %%
for method, run in runs.items():
    accuracies = longtail.evaluate(run, gpus="cpu")["ensemble"]
    print(f"{method:18}", *(f"{name} {100 * accuracies[name]:.1f}" for name in ("top1", "many", "medium", "few")))

# %% [markdown]
# ## Adjust
#
# Logit adjustment corrects a network after its training: the larger its strength, the more often it predicts rare
# classes.

# %%
for strength in (0.0, 0.5, 1.0, 1.5):
    adjusted = longtail.evaluate(runs["ce"], ["TEST.LOGIT_ADJUSTMENT", strength], gpus="cpu")["ensemble"]
    print(f"cross-entropy, strength {strength}: {100 * adjusted['top1']:.1f}, few {100 * adjusted['few']:.1f}")

# %% [markdown]
# ## Predict
#
# `predict` takes image files, images of Pillow, or RGB arrays. These digits of 8 x 8 are enlarged as those of the
# training were.

# %%
digits = load_digits()
pictures = []
for pixels in digits.images[-5:]:
    gray = Image.fromarray((pixels * 255 / 16).astype("uint8"))
    pictures.append(gray.resize((32, 32), Image.Resampling.BILINEAR))

trained = longtail.load(runs["balanced_softmax"])
for label, prediction in zip(digits.target[-5:], trained.predict(pictures, top=2), strict=True):
    print(f"digit {label}:", ", ".join(f"{choice.name} {100 * choice.probability:.0f} %" for choice in prediction.top))
