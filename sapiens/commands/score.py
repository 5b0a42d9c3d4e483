"""Score a file of predicted keypoints, without a model.

`sapiens test CONFIG CHECKPOINT --dump results.json` writes the file, and the numbers equal those of that test. It is a COCO
results file: a list of {image_id, category_id, keypoints: [x, y, score, ...], score}, with the five keypoint lists of
COCO-WholeBody for 133 keypoints. Files of other programs work too. Scores are used as given, without suppression.

Examples:
    sapiens score results.json --skeleton coco17 \\
        --ann-file data/coco/annotations/person_keypoints_val2017.json
    sapiens score results.json --skeleton wholebody133 --groups face whole \\
        --ann-file data/coco/annotations/coco_wholebody_val_v1.0.json --out scores.json
A model of 308 keypoints that was evaluated on the 133 of COCO-WholeBody (the file has the 133):
    sapiens score results.json --skeleton goliath308 --common-with wholebody133 \\
        --ann-file data/coco/annotations/coco_wholebody_val_v1.0.json
"""

import json
from pathlib import Path

from sapiens.evaluation import KeypointMetric
from sapiens.utils.cli import tool_parser


def main(argv: list[str] | None = None) -> None:
    parser = tool_parser(__doc__)
    parser.add_argument('results', help='COCO results file')
    parser.add_argument('--ann-file', required=True, help='COCO annotation file; every person in it counts')
    text = 'that of the model: coco17, wholebody133, goliath308, or a .py file with your own (docs/add_a_dataset.md)'
    parser.add_argument('--skeleton', required=True, help=text)
    parser.add_argument('--groups', nargs='+', help="of the skeleton, and 'whole'; default: as in evaluation")
    parser.add_argument('--common-with', help='the skeleton of the annotation file and the results, if it is another')
    text = "with --common-with: 'published', 'wide', or the names of the keypoints to compare; default: published"
    parser.add_argument('--common-names', nargs='+', default=['published'], help=text)
    text = 'with --common-with: what becomes of keypoints that are not compared; default: %(default)s'
    parser.add_argument('--missing', choices=['skip', 'wrong'], default='skip', help=text)
    parser.add_argument('--box-area', action='store_true', help='for annotations without area: 0.53 of the box')
    parser.add_argument('--prefix', help='of the names; default: that of the annotated skeleton')
    parser.add_argument('--out', help='also write the numbers to this JSON file')
    args = parser.parse_args(argv)

    names = args.common_names[0] if args.common_names in (['published'], ['wide']) else args.common_names
    metric = KeypointMetric(
        args.skeleton,
        args.ann_file,
        groups=args.groups,
        common_with=args.common_with,
        common_names=names,
        missing=args.missing,
        use_area=not args.box_area,
        prefix=args.prefix,
    )
    numbers = {f'{metric.prefix}/{name}': value for name, value in metric.rescore(args.results).items()}
    for name, value in numbers.items():
        print(f'{name}: {value:.4f}')
    if args.out:
        Path(args.out).write_text(json.dumps(numbers, indent=1), encoding='utf-8')
