import math

import pytest

from sapiens.evaluation import ValLoss, val_loss


def run(metric, losses):
    for loss in losses:
        metric.process({}, [{} if loss is None else {'loss': loss}])
    return metric.evaluate(len(losses))


def test_mean_over_labelled_samples_without_a_prefix():
    assert run(ValLoss(), [1.0, None, 4.0]) == {'val_loss': 2.5}
    assert run(ValLoss(prefix='pose'), [0.0, 3.0]) == {'pose/val_loss': 1.5}


def test_padding_is_dropped_where_samples_without_a_loss_come_before():
    metric = ValLoss()
    metric.process({}, [{}, {'loss': 1.0}, {'loss': 3.0}, {'loss': 100.0}])
    assert metric.evaluate(3) == {'val_loss': 2.0}


def test_a_loss_that_is_not_a_number_is_not_hidden():
    assert math.isnan(run(ValLoss(), [1.0, math.nan])['val_loss'])


def test_nothing_is_reported_without_any_loss_and_one_warning(monkeypatch):
    said = []
    monkeypatch.setattr(val_loss, 'print_log', lambda message, *_: said.append(message))
    metric = ValLoss()
    assert run(metric, [None, None]) == {} == run(metric, [None])
    assert said == ['ValLoss: no sample has a loss; nothing is reported']
    assert run(metric, [2.0]) == {'val_loss': pytest.approx(2.0)}
