"""Order of images in the pipeline, people that models get, and batches."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from sapiens.apis.inputs import Item
from sapiens.apis.pipeline import Batcher, Job, batched, in_order, ordered, run
from sapiens.datasets.transforms import BadImage


class Counting:
    """A model whose inputs are the people of an image, and whose outputs are their boxes."""

    def __init__(self, needs_boxes=True, batch_size=3, on_cores=False):
        self.preprocess = SimpleNamespace(needs_boxes=needs_boxes)
        self.batch_size, self.on_cores, self.batches = batch_size, on_cores, []

    def units(self, image, boxes, scores):
        return (
            [('whole', None)]
            if boxes is None
            else [(f'{box[2]:g}', score) for box, score in zip(boxes, scores, strict=True)]
        )

    def forward(self, units):
        self.batches.append(len(units))
        return [sample for _, sample, _ in units]

    def result(self, image, path, outputs):
        return f'{path}: {" ".join(outputs)}'


def items(count):
    return [Item(str(number), str(number)) for number in range(count)]


def pixels_of(item):
    if item.name == '1':
        raise BadImage('broken')
    return np.zeros((4, 5 + int(item.name), 3), np.uint8)


def results(predictor, count=5, **options):
    jobs = list(run({'m': predictor}, items(count), pixels_of=pixels_of, **options))
    return {job.item.name: job.error or job.results['m'] for job in jobs}


def test_without_detector_and_boxes_the_image_is_one_person():
    assert results(Counting()) == {'0': '0: 5', '1': 'broken', '2': '2: 7', '3': '3: 8', '4': '4: 9'}
    assert results(Counting(needs_boxes=False)) == {
        '0': '0: whole', '1': 'broken', '2': '2: whole', '3': '3: whole', '4': '4: whole',
    }  # fmt: skip


def test_the_detector_sees_images_in_batches_of_the_largest_model():
    seen = []

    def detector(images):
        seen.append([image.shape[1] for image in images])
        return [(np.tile([0, 0, image.shape[1], 4], (2, 1)), np.ones(2)) for image in images]

    small, large = Counting(batch_size=2), Counting(needs_boxes=False, batch_size=4)
    jobs = list(run({'a': small, 'b': large}, items(7), detector=detector, pixels_of=pixels_of))
    assert seen == [[5, 7, 8], [9, 10, 11]]  # the broken one takes a place
    by_name = {job.item.name: job.results for job in jobs}
    assert len(jobs) == 7 and by_name['6'] == dict(a='6: 11 11', b='6: 11 11')
    assert [job.item.name for job in jobs if job.error] == ['1']
    assert all(job.units == {} for job in jobs)
    seen.clear()
    results(Counting(needs_boxes=False), detector=detector)
    assert seen == []


def test_boxes_that_are_given_come_before_the_detector():
    def boxes_of(item, image):
        return None if item.name == '3' else (np.full((int(item.name), 4), 70), np.ones(int(item.name)))

    def detector(images):
        return [(np.array([[0, 0, 90, 90]]), np.ones(1))] * len(images)

    wanted = {'0': '0: ', '1': 'broken', '2': '2: 70 70', '3': '3: 90', '4': '4: 70 70 70 70'}
    assert results(Counting(), boxes_of=boxes_of, detector=detector) == wanted
    assert results(Counting(), boxes_of=boxes_of) == dict(wanted, **{'3': '3: 8'})


def test_batches_are_full_until_the_last_one():
    model = Counting(needs_boxes=False, batch_size=3)
    results(model, 9)
    assert model.batches == [3, 3, 2]


def test_images_are_read_a_batch_and_the_workers_in_advance():
    taken = []

    def endless():
        for number in range(1000):
            taken.append(number)
            yield Item(str(number), str(number))

    for workers in (2, 4):
        taken.clear()
        jobs = run(
            {'m': Counting(needs_boxes=False)},
            endless(),
            pixels_of=lambda item: np.zeros((4, 5, 3), np.uint8),
            workers=workers,
        )
        next(jobs)
        jobs.close()
        assert len(taken) == 3 + 2 * (3 + workers), 'a batch, and as many images in each of two steps'


def test_an_interrupted_run_reads_nothing_more():
    read = []

    def slow(item):
        read.append(item.name)
        time.sleep(0.02)
        return np.zeros((4, 5, 3), np.uint8)

    jobs = run({'m': Counting(needs_boxes=False, batch_size=1)}, items(100), pixels_of=slow, workers=1)
    next(jobs)
    jobs.close()
    count = len(read)
    time.sleep(0.2)
    assert len(read) == count < 10


@pytest.mark.parametrize('ahead', [0, 3])
def test_inputs_are_read_a_little_in_advance(ahead):
    taken = []

    def values():
        for number in range(10):
            taken.append(number)
            yield number

    with ThreadPoolExecutor(1) as pool:
        mapped = ordered(pool, lambda value: value * value, values(), ahead)
        assert next(mapped) == 0 and len(taken) == ahead + 1
        assert list(mapped) == [number * number for number in range(1, 10)]


def test_images_come_back_in_order():
    jobs = [Job(Item('', name)) for name in '201543']
    assert [job.item.name for job in in_order(jobs)] == list('012345')
    assert [len(group) for group in batched(range(7), 3)] == [3, 3, 1] and list(batched([], 3)) == []


def batcher(size=2, width=2):
    """A model whose batches are computed when they are set."""
    flying = []
    pool = SimpleNamespace(submit=lambda function, units: flying.append((Future(), function, units)) or flying[-1][0])
    return Batcher('m', Counting(batch_size=size), pool, width), flying


def add(made, number, people):
    job = Job(Item(str(number), str(number)), number)
    job.units['m'] = [(f'{number}.{person}', None) for person in range(people)]
    return made.add(job)


def test_people_of_an_image_may_be_in_several_batches():
    made = Batcher('m', Counting(batch_size=2))
    assert add(made, 0, 3) == [] and made.predictor.batches == [2]
    assert [job.results['m'] for job in add(made, 1, 2)] == ['0: 0.0 0.1 0.2'] and made.predictor.batches == [2, 2]
    assert [job.results['m'] for job in add(made, 2, 0)] == []  # behind the second image
    assert [job.results['m'] for job in made.flush()] == ['1: 1.0 1.1', '2: ']
    assert made.predictor.batches == [2, 2, 1] and made.flush() == []


def test_batches_wait_for_the_first_of_those_side_by_side():
    made, flying = batcher()
    for number in range(2):
        assert add(made, number, 2) == [] and len(flying) == number + 1
    for future, function, units in flying:
        future.set_result(function(units))
    threading.Timer(0.1, lambda: flying[2][0].set_result(flying[2][1](flying[2][2]))).start()
    assert [job.image for job in add(made, 2, 2)] == [0], 'a third batch: the first one must be finished'
    assert [job.image for job in made.flush()] == [1, 2] and made.predictor.batches == [2, 2, 2]


def test_the_last_batch_is_computed_here_if_it_is_alone():
    made, flying = batcher()
    assert add(made, 0, 1) == [] and [job.results['m'] for job in made.flush()] == ['0: 0.0'] and not flying
