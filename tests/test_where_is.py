"""Twenty questions that a new contributor asks about the tree, with the file that answers each.

The questions do not change when files move; the answers do. The test keeps the answers true: each file exists and holds the line
that makes it the answer.
"""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# (question, file, a line that makes this file the answer)
QUESTIONS = [
    (
        'Where is the list of tasks, with the fields and outputs of each?',
        'sapiens/tasks/spec.py',
        'class TaskSpec',
    ),
    (
        'Where is it decided for which task and size a file of weights is?',
        'sapiens/checkpoints/recognition.py',
        'def recognise(',
    ),
    (
        'Where is the table of published models with their files and licenses read?',
        'sapiens/checkpoints/zoo.py',
        'def find(name: str)',
    ),
    (
        'Where are embed_dims and num_layers of the encoder sizes?',
        'sapiens/models/backbones/archs.py',
        'SAPIENS_ARCHS',
    ),
    (
        'Where is a COCO file of annotated people read and checked?',
        'sapiens/coco/people.py',
        'def read_people(',
    ),
    (
        'Where are the names and colors of the 28 body-part classes?',
        'sapiens/metainfo/body_part_classes.py',
        'GOLIATH',
    ),
    (
        'Where are keypoints of one skeleton converted to another one?',
        'sapiens/metainfo/convert_keypoints.py',
        'def match_keypoints(',
    ),
    (
        'Where are folders, patterns, lists and URLs expanded to the images of an inference run?',
        'sapiens/apis/inputs.py',
        'def find_inputs(',
    ),
    (
        'Where is an image cropped and resized to the input of the network, in inference?',
        'sapiens/apis/preprocess.py',
        'class PersonInput',
    ),
    (
        'Where are images read in threads and computed in batches, in inference?',
        'sapiens/apis/pipeline.py',
        'class Batcher',
    ),
    (
        'Where are results written to .npy, .png and .ply files?',
        'sapiens/apis/writers/files.py',
        'def _write_ply(',
    ),
    (
        'Where is the JSON of keypoints laid out?',
        'sapiens/apis/writers/pose_formats.py',
        'def pose_document(',
    ),
    (
        'Where are the pictures of a test (tools/test.py --show-dir) written?',
        'sapiens/engine/hooks/test_figures/base.py',
        '.save(self.out_dir',
    ),
    (
        'Where are the pictures drawn that training writes at intervals?',
        'sapiens/engine/hooks/training_figures/base.py',
        'def draw(',
    ),
    (
        'Where does random geometry (flip, crop, rotation) of an image and its label maps happen?',
        'sapiens/datasets/transforms/random_geometry.py',
        'class RandomFlip',
    ),
    (
        'Where is a dataset of depth and normal files?',
        'sapiens/datasets/depth_normal.py',
        'class GeometryDataset',
    ),
    (
        'Where is an exported file compared with the eager model?',
        'sapiens/apis/export/compare.py',
        'def compare(',
    ),
    (
        'Where is the output of a dense head upsampled to the size of the image?',
        'sapiens/models/layers/upsample.py',
        'def upsample(',
    ),
    (
        'Where is the learning rate of each layer (layer-wise decay) computed?',
        'sapiens/engine/optim/param_groups.py',
        'class ParamGroupConstructor',
    ),
    (
        'Where is what the command line of inference takes and does?',
        'sapiens/commands/infer.py',
        'def parse_args(',
    ),
]


@pytest.mark.parametrize(('question', 'file', 'line'), QUESTIONS, ids=[file for _, file, _ in QUESTIONS])
def test_the_answer_is_true(question, file, line):
    assert line in (ROOT / file).read_text(), question


def test_there_are_twenty_questions_with_an_answer_each():
    assert len({question for question, _, _ in QUESTIONS}) == 20
    assert len({file for _, file, _ in QUESTIONS}) == 20
