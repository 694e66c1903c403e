"""Weights that were trained in another network are told of, not only those that do not fit."""

import logging

import pytest
from longtail.engine.judging import validate
from tiny import CE, NCL

from longtail.engine.training import train

COSINE, RETRAINED = ["CLASSIFIER.TYPE", "cos"], ["CLASSIFIER.TYPE", "cRT"]


@pytest.fixture
def told(caplog):
    """Return the warnings about weights of a piece of work."""

    def told(work):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            work()
        return [record.getMessage() for record in caplog.records if "were trained as" in record.getMessage()]

    return told


def test_weights_of_a_linear_head_under_another_kind_are_told(tiny_cfg, told):
    run = train(tiny_cfg("TRAIN.MAX_EPOCH", 1, "NAME", "first", method=CE), "x.yaml", "cpu")
    start = ["TRAIN.MAX_EPOCH", 1, "NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", str(run.last)]
    expected = (
        f"weights of {run.last} were trained as 1 x tiny with FC heads; here they are taken for 1 x tiny with cos heads"
    )
    assert told(lambda: train(tiny_cfg(*start, *COSINE, method=CE), "x.yaml", "cpu")) == [expected]
    assert told(lambda: train(tiny_cfg(*start, "NAME", "same", method=CE), "x.yaml", "cpu")) == []
    assert told(lambda: train(tiny_cfg(*start, *RETRAINED, "NAME", "later", method=CE), "x.yaml", "cpu")) == []


def test_judging_under_another_head_is_told(tiny_cfg, told):
    run = train(tiny_cfg("TRAIN.MAX_EPOCH", 1, method=NCL), "x.yaml", "cpu")
    (message,) = told(lambda: validate(tiny_cfg(*COSINE, method=NCL), run.path, "cpu"))
    assert message.endswith("were trained as 3 x tiny with FC heads; here they are taken for 3 x tiny with cos heads")
    assert told(lambda: validate(tiny_cfg(method=NCL), run.path, "cpu")) == []
