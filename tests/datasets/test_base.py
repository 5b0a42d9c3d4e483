"""Samples that cannot be used: how often others are drawn, and what is said in the end."""

import numpy as np
import pytest

from sapiens.datasets import Draw
from sapiens.datasets.base import SampleDataset, join_path
from sapiens.datasets.transforms import BadImage, Rejected


class Fickle(SampleDataset):
    """100 samples. The first draws raise the errors of ``outcomes`` in turn, the next ones are good."""

    def __init__(self, outcomes, **options):
        self.outcomes, self.drawn = iter(outcomes), []
        super().__init__([self.answer], None, **options)

    def __len__(self):
        return 100

    def load(self, index):
        self.drawn.append(index)
        return dict(img_path=f'{index}.jpg')

    def answer(self, results):
        error = next(self.outcomes, None)
        if error:
            raise error
        return dict(results)


BAD, POOR = BadImage('broken'), Rejected('too dark')


@pytest.mark.parametrize('outcomes', [[], [BAD] * 9, [POOR] * 999, [BAD] * 9 + [POOR] * 999, [POOR, BAD] * 9])
def test_others_are_drawn_until_one_is_good(outcomes):
    dataset = Fickle(outcomes)
    sample = dataset[Draw(7, 3)]
    assert len(dataset.drawn) == len(outcomes) + 1 and dataset.drawn[0] == 7
    bad = [index for index, error in zip(dataset.drawn, outcomes, strict=False) if error is BAD]
    bad = [(f'{index}.jpg', 'broken') for index in bad]
    rejected = '\n'.join(['too dark'] * outcomes.count(POOR))
    assert sample == dict(img_path=f'{dataset.drawn[-1]}.jpg', bad=bad, rejected=rejected, seeds=3)
    assert 'seeds' not in Fickle(outcomes)[7]
    again = Fickle(outcomes)
    assert again[Draw(7, 3)] == sample and again.drawn == dataset.drawn, 'they follow from the seed of the draw'
    assert not outcomes or Fickle(outcomes)[Draw(7, 4)] != sample


@pytest.mark.parametrize(
    ('error', 'other', 'limit', 'text'),
    [
        (BAD, POOR, 10, '10 files in a row of .* cannot be used:\n'),
        (POOR, BAD, 1000, 'the pipeline rejected 1000 samples of .* in a row; the last one: too dark$'),
    ],
)
def test_drawing_ends(error, other, limit, text):
    dataset = Fickle([other] * 3 + [error] * 2000)
    with pytest.raises(ValueError, match=text) as raised:
        dataset[Draw(0, 1)]
    assert len(dataset.drawn) == limit + 3
    if error is BAD:
        names = [f'  {index}.jpg: broken' for index in dataset.drawn[3:]]
        assert str(raised.value).split('\n')[1:] == names


@pytest.mark.parametrize('error', [BAD, POOR])
def test_nothing_is_replaced_in_evaluation(error):
    dataset = Fickle([error], test_mode=True)
    with pytest.raises(ValueError, match=f'sample 5 of .*, 5.jpg: {error}. In test mode no other sample'):
        dataset[5]
    assert dataset.drawn == [5]


def test_a_plain_int_seeds_nothing():
    np.random.seed(0)
    expected = np.random.randint(100, size=2).tolist()
    np.random.seed(0)
    dataset = Fickle([BAD, POOR])
    assert dataset[7]['bad'] == [('7.jpg', 'broken')] and dataset.drawn == [7, *expected]


@pytest.mark.parametrize(
    ('root', 'path', 'joined'),
    [
        ('data', 'a/b.jpg', 'data/a/b.jpg'),
        ('data', '/a/b.jpg', '/a/b.jpg'),
        ('data', 's3://a/b.jpg', 's3://a/b.jpg'),
        ('', 'a/b.jpg', 'a/b.jpg'),
        ('s3://data', 'a/b.jpg', 's3://data/a/b.jpg'),
        ('data', '', 'data'),
    ],
)
def test_paths_below_a_root(root, path, joined):
    assert join_path(root, path) == joined
