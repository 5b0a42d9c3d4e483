"""Options of the commands with their defaults, which scripts rely on: a wanted change belongs in CHANGELOG.md.

Each line has the option, what it takes (``?``, ``*``, ``+`` or a number of values, a type, choices), and its default unless that
is None, False, 0 or an empty list. ``!`` marks options that must be given.
"""

import argparse
import importlib

import pytest

OPTIONS = """
sapiens.commands.ablate:
study
action ? plan|run|status|table|diff|clean =plan
names *
--on =local
--gpus positive
--only
--seeds
--root Path =work_dirs/ablations
--no-trial flag
--gpu =H100
--retry-failed flag
--yes flag
--checkpoints flag
--tensorboard flag
--out Path
--into Path
--cpus-per-task positive =12
--partition
--time
--account
--qos
--constraint
--exclude
--signal-seconds positive =300
--setup +
--sbatch +
--srun-args

sapiens.commands.browse:
config
--out Path =work_dirs/browse.png
--split/--phase train|val|test =train
--samples/--num-samples positive =24
--tile positive =256
--palette distinct|published =distinct
--seed int
--cfg-options +

sapiens.commands.check:
config
--split/--phase train|val|test =train
--samples/--num-samples positive =100
--images flag
--seed int
--cfg-options +

sapiens.commands.config:
config
--only =
--json flag
--cfg-options +

sapiens.commands.convert inspect:
file
--config
--min-share float =0.5
--cfg-options +
--tensors flag

sapiens.commands.convert convert:
file
--config
--min-share float =0.5
--cfg-options +
out Path
--part all|encoder =all
--task
--dtype fp32|bf16|fp16

sapiens.commands.curate:
sources *
--out! Path
--config =curation/humans300m.py
--from-table Path
--column =path
--no-shards flag
--examples zero_or_more =24
--cfg-options +
--engine local|ray =local
--workers zero_or_more
--address
--devices +
--gpus-per-worker above_zero

sapiens.commands.curves:
runs +
--keys +
--names +
--baseline + key_and_number
--minutes flag
--begin float
--out =curves.png

sapiens.commands.demo:
--model +
--checkpoint +
--detector +
--device =auto
--dtype fp32|bf16|fp16 =fp32
--host =127.0.0.1
--port int
--open flag

sapiens.commands.download:
names *
--form original|torchscript|bfloat16
--root Path
--list flag

sapiens.commands.estimate:
config
--gpus positive =8
--gpus-per-node positive =8
--memory above_zero =80.0
--nic above_zero =400.0
--link above_zero =370.0
--gpu =H100
--mfu fraction =0.4
--price above_zero =2.5
--images positive
--json Path
--cfg-options +

sapiens.commands.export:
config
checkpoint ?
--format! torchscript|export|onnx|safetensors|clean
--dtype fp32|bf16|fp16 =fp32
--dynamic-batch flag
--dynamic-size flag
--with-preprocess ? uint8|float const=uint8
--with-decode flag
--int8 flag
--size 2 int
--out Path
--image + Path
--device =cpu
--overwrite flag
--cfg-options +

sapiens.commands.features:
config
checkpoint ?
images Path
--out! Path
--format npy|safetensors =npy
--out-type featmap|raw|cls_token =featmap
--blocks + int =[-1]
--dtype fp32|bf16|fp16 =fp32
--device =auto
--batch-size int =8
--num-workers int =2
--cfg-options +

sapiens.commands.infer:
task
input +
--model +
--checkpoint +
--out! Path
--overwrite flag
--device =auto
--devices
--jobs-per-device positive =1
--batch-size int =8
--dtype fp32|bf16|fp16 =fp32
--compile flag
--flip-test/--no-flip-test
--processing published|huggingface =published
--workers positive =2
--cfg-options +
--detector =auto
--boxes
--box-threshold float
--nms-threshold float
--tiles positive
--if-no-detections empty|whole-image =empty
--when-nobody empty|whole-image
--views positive 1|2|3|4|5|6|7
--num-keypoints keypoint_count 17|133|308
--keypoints-as
--save +
--json-layout plain|published|lite =plain
--coco/--no-coco =True
--csv flag
--map-format npy|png =npy
--normal-frame published|camera =published
--fov float =50.0
--ply-distance float =2.0
--ply-extent float =0.5
--focal
--intrinsics
--rays predicted|project
--over
--light srgb|linear
--colors predicted|photo
--mask-dir Path
--mask-model
--mask-checkpoint
--mask-by
--mask-classes +
--background gray|black|white
--figure flag
--picture-format jpg|png =jpg
--style default|openpose =default
--threshold float =0.3
--radius float
--thickness int
--show-boxes flag
--show-indices flag
--heatmaps flag
--crop + face|hand
--palette distinct|published =distinct
--legend/--no-legend =True
--opacity float =0.5
--depth-limits 2 float
--track flag
--smooth flag
--side-by-side flag
--max-frames positive

sapiens.commands.keypoints:
input + Path
--as!
--out! Path
--from
--overwrite flag

sapiens.commands.labels:
source Path
--out! Path
--overlap smaller|later =smaller

sapiens.commands.prepare:
name ?
--root Path
--from + Path
--only train|val
--images flag

sapiens.commands.quickstart:
--images Path
--people int =64
--iterations int =400
--work-dir Path =work_dirs/quickstart

sapiens.commands.render:
--out! Path
--num! positive
--size parse =(768,1024)
--seed int
--people parse =(1,4)
--backgrounds Path
--labels =mask,depth,normal,seg,seg29,lip,instance,albedo,alpha,foreground,camera
--format png|jpg =png
--compact flag
--preview flag
--scene +
--generator =sapiens.synthetic.generator:HumanGenerator
--engine local|ray =local
--workers zero_or_more
--address
--devices +
--gpus-per-worker above_zero

sapiens.commands.reproduce:
name ?
--quick flag
--root Path
--devices
--batch-size positive
--workers positive
--checkpoint Path
--work-dir Path
--table Path
--cfg-options +

sapiens.commands.score:
results
--ann-file!
--skeleton!
--groups +
--common-with
--common-names + =['published']
--missing skip|wrong =skip
--box-area flag
--prefix
--out

sapiens.commands.submit:
config
checkpoint ?
--nodes positive =1
--gpus positive =8
--cpus-per-task positive =12
--partition
--time
--job-name
--account
--qos
--constraint
--exclude
--container
--container-mounts
--max-restarts int =3
--signal-seconds positive =300
--setup +
--sbatch +
--srun-args
--dry-run flag

sapiens.commands.test:
config
checkpoint
--graph flag
--out Path
--dump
--show-dir Path
--show-limit positive
--show-heatmaps flag
--palette distinct|published
--work-dir
--cfg-options +
--launcher none|pytorch|slurm|mpi =none
--local_rank/--local-rank int

sapiens.commands.train:
config
--resume ? const=auto
--amp flag
--work-dir
--cfg-options +
--launcher none|pytorch|slurm|mpi =none
--local_rank/--local-rank int

sapiens.commands.verify:
name ?
--config
--checkpoint
--torchscript Path
--image! Path
--download flag
--device =cpu
--tolerance float =0.001
--cfg-options +
"""


def describe(action: argparse.Action) -> str:
    words = ['/'.join(action.option_strings) or action.dest]
    if action.option_strings and action.required:
        words[0] += '!'
    if action.nargs == 0 and action.const is True:
        words.append('flag')
    elif action.nargs:
        words.append(str(action.nargs))
    words += [action.type.__name__] if action.type else []
    words += ['|'.join(map(str, action.choices))] if action.choices else []
    words += [f'const={action.const}'] if action.const not in (None, True) else []
    return ' '.join(
        [*words, *([f'={action.default}'.replace(' ', '')] if action.default not in (None, False, []) else [])]
    )


def parsers(monkeypatch, name: str) -> dict[str, argparse.ArgumentParser]:
    """The parser of a command, and those of its subcommands, by name."""

    class Made(Exception):
        pass

    def grab(self, *_, **__):
        raise Made(self)

    for method in ('parse_args', 'parse_intermixed_args'):
        monkeypatch.setattr(argparse.ArgumentParser, method, grab)
    with pytest.raises(Made) as made:
        importlib.import_module(name).main([])
    (parser,) = made.value.args
    found = {name: parser}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {f'{name} {sub}': other for sub, other in action.choices.items()}
    return found


@pytest.mark.parametrize(
    'block', OPTIONS.strip().split('\n\n'), ids=lambda block: block.split('\n')[0].removesuffix(':')
)
def test_options(monkeypatch, block):
    name, *lines = block.split('\n')
    name = name.removesuffix(':')
    parser = parsers(monkeypatch, name.split(' ')[0])[name]
    given = [describe(action) for action in parser._actions]
    assert [line for line in lines if line not in given] == []
