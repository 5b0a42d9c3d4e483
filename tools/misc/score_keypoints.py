"""Score a file of predicted people without the model: the same numbers as when it was written.

Evaluation writes the file:
    python tools/test.py CONFIG CHECKPOINT --dump results.json
It is a COCO results file, a list of {image_id, category_id, keypoints: [x, y, score, ...], score}; the 133 keypoints of
COCO-WholeBody stand in its five lists. Files of other programs in this form are scored too. Scores are used as they are, and
nobody is suppressed.

Examples:
    python tools/misc/score_keypoints.py results.json --skeleton coco17 \\
        --ann-file data/coco/annotations/person_keypoints_val2017.json
    python tools/misc/score_keypoints.py results.json --skeleton wholebody133 --groups face whole \\
        --ann-file data/coco/annotations/coco_wholebody_val_v1.0.json --out scores.json
A model of 308 keypoints that was evaluated on the 133 of COCO-WholeBody (the file has the 133):
    python tools/misc/score_keypoints.py results.json --skeleton goliath308 --common-with wholebody133 \\
        --ann-file data/coco/annotations/coco_wholebody_val_v1.0.json
"""

import argparse
import json

from sapiens.evaluation import KeypointMetric


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', help='COCO results file')
    parser.add_argument('--ann-file', required=True, help='COCO annotation file; everybody in it has to be found')
    parser.add_argument(
        '--skeleton',
        required=True,
        help='that of the model: coco17, wholebody133, goliath308, or a .py file with your own (docs/add_a_dataset.md)',
    )
    parser.add_argument('--groups', nargs='+', help="of the skeleton, and 'whole'; default: as in evaluation")
    parser.add_argument('--common-with', help='the skeleton of the annotation file and the results, if it is another')
    parser.add_argument(
        '--common-names',
        nargs='+',
        default=['published'],
        help="with --common-with: 'published', 'wide', or the names of the keypoints to compare; default: published",
    )
    parser.add_argument(
        '--missing',
        choices=['skip', 'wrong'],
        default='skip',
        help='with --common-with: what becomes of keypoints that are not compared; default: %(default)s',
    )
    parser.add_argument('--box-area', action='store_true', help='for annotations without area: 0.53 of the box')
    parser.add_argument('--prefix', help='of the names; default: that of the annotated skeleton')
    parser.add_argument('--out', help='also write the numbers to this JSON file')
    args = parser.parse_args()

    names = args.common_names[0] if args.common_names in (['published'], ['wide']) else args.common_names
    try:
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
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    for name, value in numbers.items():
        print(f'{name}: {value:.4f}')
    if args.out:
        with open(args.out, 'w', encoding='utf-8') as file:
            json.dump(numbers, file, indent=1)


if __name__ == '__main__':
    main()
