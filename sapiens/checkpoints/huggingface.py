"""Folders of Hugging Face transformers: ``config.json``, ``preprocessor_config.json`` and ``model.safetensors``.

transformers has classes for encoders, pose, segmentation, normals, pointmaps and matting of Sapiens2. Its files have the
published names of tensors.
"""

import json
from collections.abc import Collection
from pathlib import Path

from mmengine.config import Config, ConfigDict
from torch import nn

from sapiens.models import Sapiens2ViT
from sapiens.utils.checkpoint import save_weights
from sapiens.utils.checkpoint.sharded import INDEX
from sapiens.utils.config import load_config
from sapiens.utils.files import write_atomically

from .encoder_config import encoder_config
from .huggingface_heads import head_fields, head_options, outputs_of, task_with_class

__all__ = ['is_huggingface_folder', 'read_fields', 'read_huggingface_config', 'save_huggingface']

# Class in transformers -> task here, and the published recipe whose pipelines fit, if it has a head.
CLASSES = {
    'Sapiens2Model': ('pretrain', None),
    'Sapiens2Backbone': ('pretrain', None),
    'Sapiens2ForPoseEstimation': ('pose', 'pose/sapiens2_0.4b_goliath-1024x768.py'),
    'Sapiens2ForSemanticSegmentation': ('seg', 'seg/sapiens2_0.4b_goliath-1024x768.py'),
    'Sapiens2ForNormalEstimation': ('normal', 'normal/sapiens2_0.4b_renderpeople-1024x768.py'),
    'Sapiens2ForPointmapEstimation': ('pointmap', 'pointmap/sapiens2_0.4b_renderpeople-1024x768.py'),
    'Sapiens2ForImageMatting': ('matting', 'matting/sapiens2_1b_general-1024x768.py'),
}
LETTERBOXED = ('normal', 'pointmap')
# Fields of config.json that this encoder has no option for, with the only value that it computes.
FIXED = {
    'hidden_act': 'silu',
    'num_channels': 3,
    'num_first_full_attention_layers': 8,
    'num_last_full_attention_layers': 8,
    'num_register_tokens': 8,
    'rms_norm_eps': 1e-6,
    'rope_theta': 100.0,
    'attention_dropout': 0.0,
    **dict.fromkeys(
        ('query_bias', 'key_bias', 'value_bias', 'proj_bias', 'mlp_bias', 'use_gated_mlp', 'use_qk_norm'), True
    ),
    'use_mask_token': False,
}
# Fields of config.json that the sizes of the encoder follow from.
SIZES = ('num_attention_heads', 'image_size', 'hidden_size', 'num_hidden_layers', 'intermediate_size', 'patch_size')


def is_huggingface_folder(path: str | Path) -> bool:
    """Whether a path is a folder that transformers saved: one with ``config.json``."""
    return (Path(path).expanduser() / 'config.json').is_file()


def read_fields(path: Path, wanted: Collection[str] = ()) -> dict:
    """Fields of a JSON file of transformers.

    Args:
        wanted: fields that it must have.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON, not fields with values, or one of ``wanted`` is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing: copy or download the whole folder')
    try:
        fields = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f'{path} is not JSON: {error}') from error
    if not isinstance(fields, dict):
        raise ValueError(f'{path} holds {type(fields).__name__}, expected an object of fields')
    missing = [name for name in wanted if fields.get(name) is None]
    if missing:
        raise ValueError(f'{path} has no {", ".join(missing)}: it is damaged, or of another version of transformers')
    return fields


def read_huggingface_config(folder: str | Path) -> Config:
    """The config of a model that transformers saved, on the pipelines and data of the published recipe of its task.

    Raises:
        ValueError: another kind of model, a part that this package does not have, or a number of outputs without a known meaning.
    """
    path = Path(folder).expanduser() / 'config.json'
    fields = read_fields(path)
    kind = (fields.get('architectures') or ['Sapiens2Model'])[0]
    if fields.get('model_type') != 'sapiens2' or kind not in CLASSES:
        raise ValueError(
            f'{path}: {kind} of model_type={fields.get("model_type")!r} is not one of {", ".join(CLASSES)} of model_type sapiens2'
        )
    fields = read_fields(path, SIZES)
    task, recipe = CLASSES[kind]
    backbone = _backbone_options(fields, path)
    if recipe is None:
        return encoder_config(backbone)
    cfg = load_config(recipe)
    head = head_options(fields, task, backbone, path)
    model = dict(cfg.model, backbone=backbone, head=head, **outputs_of(fields, task, path))
    cfg.model = ConfigDict(model)
    for step in cfg.val_pipeline:
        if 'size' in step:
            step.size = backbone['img_size'][::-1]
    return cfg


def _backbone_options(fields: dict, path: Path) -> dict:
    heads = fields['num_attention_heads']
    fixed = dict(FIXED, num_key_value_attention_heads=heads // 2)
    for name, value in fixed.items():
        if fields.get(name, value) != value:
            raise ValueError(f'{path}: {name}={fields[name]!r}, but Sapiens2ViT has {value!r} and no option for it')
    size = fields['image_size']
    return dict(
        type='Sapiens2ViT',
        arch=dict(
            embed_dims=fields['hidden_size'],
            num_layers=fields['num_hidden_layers'],
            num_heads=heads,
            feedforward_channels=fields['intermediate_size'],
        ),
        img_size=(size, size) if isinstance(size, int) else tuple(size),
        patch_size=fields['patch_size'],
        drop_path_rate=fields.get('drop_path_rate', 0.0),
        rope_shift=fields.get('pos_embed_shift'),
        rope_jitter=fields.get('pos_embed_jitter'),
        rope_rescale=fields.get('pos_embed_rescale'),
    )


def save_huggingface(model: nn.Module, folder: str | Path) -> None:
    """Save a model as transformers' classes of Sapiens2 read it.

    Args:
        model: a :class:`~sapiens.models.Sapiens2ViT`, or an estimator of pose, segmentation, normals, pointmaps or matting with
            one.
        folder: is made where it does not exist.

    Raises:
        FileExistsError: a file has this name, or the folder holds a model in parts, which would stay beside this one.
        ValueError: transformers has no class for this model; the message says why.
    """
    encoder = model if isinstance(model, Sapiens2ViT) else getattr(model, 'backbone', None)
    if not isinstance(encoder, Sapiens2ViT):
        raise ValueError(
            f'{type(encoder or model).__name__}: transformers has no class for this encoder, only for Sapiens2ViT'
        )
    if encoder.tokenizer is not None:
        raise ValueError('an encoder with a tokenizer (4K): transformers has no class for it')
    if not encoder.final_norm:
        raise ValueError('final_norm=False: transformers has no encoder without the final norm')
    first = encoder.blocks[0]
    height, width = encoder.img_size
    fields = dict(
        model_type='sapiens2',
        architectures=['Sapiens2Model'],
        hidden_size=encoder.embed_dims,
        num_hidden_layers=encoder.num_layers,
        num_attention_heads=first.attn.num_heads,
        num_key_value_attention_heads=first.attn.num_heads // 2,
        intermediate_size=first.ffn.w3.in_features,
        image_size=[height, width],
        patch_size=encoder.patch_size,
        pos_embed_shift=encoder.rope_embed.shift,
        pos_embed_jitter=encoder.rope_embed.jitter,
        pos_embed_rescale=encoder.rope_embed.rescale,
        **{name: value for name, value in FIXED.items() if name != 'num_channels'},
    )
    weights = {name: value for name, value in model.state_dict().items() if not name.endswith('rope_embed.periods')}
    letterboxed = False
    if model is not encoder:
        task = task_with_class(model)
        kind = next(name for name, (known, _) in CLASSES.items() if known == task)
        fields.update(head_fields(model, task), architectures=[kind])
        letterboxed = task in LETTERBOXED
        last = f'decode_head.{model.head.predictor}.'
        weights = {name.replace(last, f'decode_head.conv_{task}.'): value for name, value in weights.items()}
    folder = Path(folder).expanduser()
    if folder.is_file():
        raise FileExistsError(f'{folder} is a file, expected a folder to write to')
    if (folder / INDEX).exists():
        raise FileExistsError(f'{folder} holds a model in parts ({INDEX}): choose another folder')
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(weights, folder / 'model.safetensors')
    processor = dict(
        image_processor_type='Sapiens2ImageProcessor',
        size=dict(height=height, width=width),
        do_resize=True,
        do_rescale=True,
        rescale_factor=1 / 255,
        do_normalize=True,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
        do_pad=letterboxed,
        resample=2,
    )
    for name, content in (('config', fields), ('preprocessor_config', processor)):
        write_atomically(folder / f'{name}.json', json.dumps(content, indent=2) + '\n')
